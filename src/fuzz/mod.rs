//! What must hold for any bytes: one body for each fuzz target, against a second, naive reading of the same bytes.
//!
//! 1. A body takes any bytes and panics exactly when a rule is broken; nothing else of it can fail.
//! 2. The naive readings share no code with what they judge. Unit tests use them as well.
//! 3. Every committed seed goes through its body in the unit tests, on any compiler.

mod input;

pub(crate) mod bearer_header;
mod bus_line;
mod cache_key;
mod challenge;
mod header_set;
pub(crate) mod mcp_meta;
mod path_resolve;
#[cfg(feature = "redis")]
mod redis_reply;
mod scope_parse;
#[cfg(feature = "signed")]
mod signature_fields;
mod stack;
mod token_shape;
pub(crate) mod window;

/// The bodies by name, as the folders of seeds are called.
const BODIES: &[(&str, fn(&[u8]))] = &[
    ("bearer_header", bearer_header::holds),
    ("bus_line", bus_line::holds),
    ("cache_key", cache_key::holds),
    ("challenge", challenge::holds),
    ("header_set", header_set::holds),
    ("mcp_meta", mcp_meta::holds),
    ("path_resolve", path_resolve::holds),
    #[cfg(feature = "redis")]
    ("redis_reply", redis_reply::holds),
    ("scope_parse", scope_parse::holds),
    #[cfg(feature = "signed")]
    ("signature_fields", signature_fields::holds),
    ("stack", stack::holds),
    ("token_shape", token_shape::holds),
    ("window", window::holds),
];

/// The body of the target of this name.
pub fn body(name: &str) -> Option<fn(&[u8])> {
    BODIES.iter().find(|(known, _)| *known == name).map(|(_, body)| *body)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_seed_holds() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let folders: Vec<_> =
            fs::read_dir(&seeds).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let left_out = [cfg!(not(feature = "redis")), cfg!(not(feature = "signed"))];
        let built = BODIES.len() + left_out.into_iter().map(usize::from).sum::<usize>();
        assert_eq!(folders.len(), built, "a folder of seeds for each target");
        for (name, body) in BODIES {
            let mut count = 0;
            for seed in fs::read_dir(seeds.join(name)).unwrap() {
                let seed = seed.unwrap().path();
                println!("{}", seed.display()); // shown if it fails
                body(&fs::read(&seed).unwrap());
                count += 1;
            }
            assert!(count >= 30, "XT2 {name} has {count} seeds");
        }
    }

    #[test]
    fn any_bytes_hold() {
        use proptest::prelude::*;
        let mut runner = proptest::test_runner::TestRunner::default();
        runner
            .run(&proptest::collection::vec(any::<u8>(), 0..200), |bytes| {
                BODIES.iter().for_each(|(_, body)| body(&bytes));
                Ok(())
            })
            .unwrap();
    }
}
