//! Tables that are longer than what they hold.

mod credential;
