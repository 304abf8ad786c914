//! Rows of bytes, two ways to send them, and what must come back.

#![expect(unreachable_pub, reason = "files of one test's own")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

pub mod h1;
pub mod h2;
pub mod inside;
pub mod judge;
pub mod message;
pub mod recorder;
pub mod rows;
pub mod run;
