//! What several test files share: a small world of tokens, and stores that follow a script.

#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

pub(crate) mod probe;
#[cfg(feature = "test-util")]
pub(crate) mod processes;
pub(crate) mod scripted;
pub(crate) mod world;
