//! Adapters that keep everything in this process.

mod callers;
mod error;
mod hosting;
mod links;
#[cfg(feature = "signed")]
mod nonces;
mod people;
mod store;
mod tokens;
mod window_index;
mod window_shard;
mod windows;

pub use callers::{MemoryCaller, MemoryCallers};
pub use error::{BrokenReference, MemoryStoreError};
pub use links::{LinksError, MemoryLinks};
#[cfg(feature = "signed")]
pub use nonces::{MemoryNonces, NoncesError};
pub use store::MemoryStore;
pub(crate) use windows::Stamps;
pub use windows::{MemoryWindows, WhenFull, WindowsError, WindowsFull};
