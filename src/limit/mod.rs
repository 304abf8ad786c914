//! How often a caller may ask: limits, and how they read on the wire.

pub use crate::window::{Limit, LimitError, Verdict, Window};
