//! How often a caller may ask: limits, and how they read on the wire.

mod fields;

pub use fields::Fields;

pub use crate::window::{Limit, LimitError, Verdict, Window};
