//! What all replicas share, in a Redis or Valkey.
//!
//! 1. One [`Redis`] says where it is; each adapter made of it keeps a connection of its own.
//! 2. Nothing waits longer than the caller's own deadline, and nothing that may have been sent is sent again.
//! 3. Keys are digests of fixed length, so no text of a caller's is in any; each has a time to live.
//! 4. Errors say what sort of failure it was. No word of the server's, and no password, is in one.

mod bus;
#[cfg(feature = "redis-cluster")]
mod cluster;
mod contexts;
mod fault;
mod key;
mod line;
mod link;
pub(crate) mod script;
mod server;
mod windows;

pub use self::bus::RedisBus;
pub use self::contexts::RedisContexts;
pub use self::fault::RedisError;
pub use self::server::{Redis, RedisConfigError};
pub use self::windows::RedisWindows;
