//! Adapters that keep everything in this process.

mod window_index;
mod window_shard;
mod windows;

pub use windows::{MemoryWindows, WhenFull, WindowsError, WindowsFull};
