//! What several test files share: a small world of tokens, and stores that follow a script.

#![expect(dead_code, reason = "each test file uses its own part")]

pub mod scripted;
pub mod world;
