//! An upstream gets a credential that was minted for its caller, or it is not called at all.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test's helpers fail loudly")]

#[path = "../support/cancel.rs"]
mod cancel;
#[cfg(feature = "metrics")]
mod counted;
mod exchanged;
mod flights;
#[path = "../support/forwarding.rs"]
#[expect(dead_code, reason = "shared with tests/forwarding, which needs more of it")]
mod forwarding;
mod issued;
mod links;
mod resent;
#[path = "../support/minting.rs"]
mod support;
