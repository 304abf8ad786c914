//! Prints how many bytes a cached token takes, by what holds them.
//!
//! `cargo bench --bench memory`: a binary of its own, since counting slows every allocation.

#![expect(clippy::print_stdout, reason = "printing is what it does")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tower_bearer::Authenticator;
use tower_bearer::clock::Timestamp;
use tower_bearer::id::{AccountId, ClientId, TokenId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{TokenRecord, TokenStore};
use tower_bearer::subject::Subject;
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

/// Counts the bytes that are out.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static OUT: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator cannot be counted otherwise; it hands every call on")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        OUT.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        OUT.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }
}

const TOKENS: usize = 20_000;

/// Answers every digest with a live token of two scopes.
struct Everybody;

impl TokenStore for Everybody {
    type Error = std::convert::Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Self::Error> {
        let name = digest.to_hex().get(..32).unwrap_or_default().to_owned();
        let id = TokenId::new(format!("tok_{name}")).expect("well formed");
        let subject = Subject::Account { id: AccountId::new(name).expect("well formed") };
        let ends = Timestamp::from_secs(4_000_000_000);
        let client = ClientId::new("cli").expect("well formed");
        let record = TokenRecord::new(id, "account", subject, ends).with_client(client);
        Ok(Some(record.with_scopes(ScopeSet::parse("apps:run apps:read"))))
    }
}

fn main() {
    // cargo test builds and runs benches too, without --bench: then there is nothing to measure
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let kind = TokenKind::new("account")
        .prefix("tst_")
        .subject(tower_bearer::subject::SubjectType::Account);
    let kinds = TokenKinds::builder()
        .kind(kind.narrowed(["full"]).umbrella("full"))
        .build()
        .expect("a kind");
    let before = OUT.load(Relaxed);
    let auth = Authenticator::builder(kinds, Everybody).build().expect("settings");
    let empty = OUT.load(Relaxed) - before;
    runtime.block_on(async {
        for n in 0..TOKENS {
            auth.authenticate(&format!("tst_{n:043}")).await.expect("everybody is known");
        }
    });
    let (known, _) = auth.cached_tokens();
    let all = OUT.load(Relaxed) - before - empty;
    let each = all / TOKENS;
    println!(
        "breakdown {known} of {TOKENS} tokens cached, {empty} bytes for the empty authenticator"
    );
    println!("figure bytes_per_cached_token {each} -");
    let slot = each.saturating_sub(facts_of_one(&runtime, &auth));
    println!("breakdown bytes_per_cached_token: facts {}, map {slot}", each - slot);
}

/// The bytes that the facts of one token hold: what is given back when they are forgotten, the map's own slots apart.
fn facts_of_one(runtime: &tokio::runtime::Runtime, auth: &Authenticator) -> usize {
    let full = OUT.load(Relaxed);
    auth.forget_all();
    let given_back = full - OUT.load(Relaxed);
    runtime.block_on(tokio::task::yield_now());
    given_back / TOKENS
}
