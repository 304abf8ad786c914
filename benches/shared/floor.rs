//! What eight steps cannot do without, done once each, with nothing around it.
//!
//! Parse, shape and checksum, SHA-256, one cache hit, two clock reads, one window step, one extension and the caller's, one
//! into and from parts, one pass over the header names.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::Arc;

use quick_cache::sync::Cache;
use tower::Service;
use tower_bearer::clock::{Clock, SystemClock};
use tower_bearer::limit::Limit;
use tower_bearer::store::{Ask, AskItem, LogId, MemoryWindows, PolicyName, WindowKey};
use tower_bearer::token::{Digest, TokenKinds};

use crate::world::{Inner, Request, Response, TOKEN, kinds};

pub(crate) struct Floor {
    kinds: TokenKinds,
    entries: Cache<Digest, Arc<[u8; 256]>>,
    clock: SystemClock,
    windows: MemoryWindows,
    policy: PolicyName,
    limit: Limit,
    log: LogId,
}

/// As large as the context of a request.
#[derive(Clone)]
struct Context(
    #[expect(dead_code, reason = "carried, not read")] Arc<[u8; 256]>,
    #[expect(dead_code, reason = "carried, not read")] [u64; 20],
);

/// As large as the demo's caller.
#[derive(Clone)]
struct Caller(#[expect(dead_code, reason = "carried, not read")] Arc<[u8; 256]>);

impl Floor {
    pub(crate) fn new() -> Self {
        let entries = Cache::new(50_000);
        entries.insert(Digest::of(TOKEN), Arc::new([0; 256]));
        let count = NonZeroU32::new(4_096).expect("not zero");
        Self {
            kinds: kinds(),
            entries,
            clock: SystemClock::new(),
            windows: MemoryWindows::new(),
            policy: PolicyName::new("token").expect("a name"),
            limit: Limit::new(count, std::time::Duration::from_millis(2)).expect("in range"),
            log: LogId::of_token(Digest::of(TOKEN).as_bytes()),
        }
    }

    pub(crate) fn call(&self, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let value = head.headers.get(http::header::AUTHORIZATION).expect("a credential").as_bytes();
        let token = value.strip_prefix(b"Bearer ").expect("a bearer token");
        assert!(
            token.len() <= 4_096
                && token.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b))
        );
        let token = std::str::from_utf8(token).expect("ASCII");
        let now = self.clock.now();
        black_box(self.kinds.classify(token).is_ok());
        let entry = self.entries.get(&Digest::of(token)).expect("warm");
        let item = [AskItem::new(WindowKey::new(&self.policy, self.log, self.log), self.limit)];
        let one = NonZeroU32::MIN;
        let now_ms = u64::try_from(now.monotonic().as_millis()).expect("small");
        let ask = Ask::new(one, now_ms, &item).expect("one log");
        assert!(self.windows.decide(&ask).expect("not full").is_admitted());
        let named = head.headers.keys().filter(|name| black_box(name.as_str()).len() == 13).count();
        black_box(named);
        head.extensions.insert(Context(Arc::clone(&entry), [0; 20]));
        head.extensions.insert(Caller(entry));
        let answer = Inner.call(http::Request::from_parts(head, body)).into_inner();
        match answer {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
