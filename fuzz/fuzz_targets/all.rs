//! Every target in one binary; the variable `BEARER_FUZZ` names the one that runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static BODY: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("BEARER_FUZZ").expect("BEARER_FUZZ names a target");
        let body = tower_bearer::fuzz::body(&name).expect("BEARER_FUZZ names a target that there is");
        BODY.get_or_init(|| body);
    },
    |bytes: &[u8]| {
        if let Some(body) = BODY.get() {
            body(bytes);
        }
    }
);
