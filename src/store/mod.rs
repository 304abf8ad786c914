//! Ports: the questions this crate asks of stores, and adapters that answer them.

mod memory;
mod window;
mod window_key;

pub use memory::{MemoryWindows, WhenFull, WindowsError, WindowsFull};
pub use window::{Answer, Ask, AskError, AskItem, Standing, WindowStore};
pub use window_key::{LogId, PolicyName, PolicyNameError, WindowKey};
