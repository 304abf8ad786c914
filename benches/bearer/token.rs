//! The parser itself, which the crate shows to nobody.

#[path = "../../src/token/alphabet.rs"]
#[expect(dead_code, unused_imports, reason = "the parser uses a part of it")]
mod alphabet;
#[path = "../../src/token/credential.rs"]
#[expect(dead_code, reason = "one function is timed")]
pub(crate) mod credential;
