//! The first request of a token: nothing is cached, the in-memory store answers; beside the calls to that store alone.

use std::future::Future;
use std::time::Instant;

use criterion::Criterion;
use tokio::runtime::Runtime;
use tower::Service;
use tower_bearer::Authenticator;
use tower_bearer::id::{AccountId, AppId, WorkspaceId};
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::store::{AccountStatus, AppStore, MembershipStore, MemoryStore, TokenStore};
use tower_bearer::subject::Subject;
use tower_bearer::token::Digest;

use crate::beside::beside;
use crate::layers::Layers;
use crate::world::{Inner, TOKEN, World, kinds, request};

/// Calls a round: each is timed by itself, since each must find the caches empty.
const CALLS: u16 = 20;

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    token(c, &runtime);
    eight(c, &runtime);
}

/// Who presents this token, of which nothing is known yet?
fn token(c: &mut Criterion, runtime: &Runtime) {
    let store = MemoryStore::new();
    let auth = Authenticator::builder(kinds(), store.clone()).ledger(store.clone());
    let auth = auth.build().expect("settings");
    let text = minted(runtime, &auth, &store);
    let digest = Digest::of(&text);
    let find = async || store.find(&digest).await.expect("it answers").expect("it is known");
    let ask = async || auth.authenticate(&text).await.expect("it is known");
    assert_eq!(runtime.block_on(ask()).token_id(), Some(runtime.block_on(find()).id()));
    let theirs = || each(runtime, || auth.forget_all(), &find);
    beside(c, ("cold", "token"), ("store_call", theirs), || {
        each(runtime, || auth.forget_all(), &ask)
    });
}

/// All eight layers, where token, app, member and caller must be loaded.
fn eight(c: &mut Criterion, runtime: &Runtime) {
    let world = World::new();
    let (auth, store) = (&world.auth, &world.store);
    let mut eight = Layers::new(&world).around(Inner);
    let good = format!("Bearer {TOKEN}");
    let answer = runtime.block_on(eight.call(request(&good))).expect("infallible");
    assert_eq!(answer.status(), 200);
    let (app, account) = (AppId::new("app-members"), AccountId::new("acc-member"));
    let (app, account) = (app.expect("well formed"), account.expect("well formed"));
    let north = WorkspaceId::new("ws-north").expect("well formed");
    let calls = async || {
        let app = store.app(&app).await.expect("it answers");
        (app, store.membership(&account, &north).await.expect("it answers"))
    };
    let theirs = || each(runtime, || auth.forget_all(), &calls);
    beside(c, ("cold", "eight"), ("store_calls", theirs), || {
        each(runtime, || auth.forget_all(), || eight.call(request(&good)))
    });
}

/// Nanoseconds a call, each after its own preparation.
fn each<F: Future>(
    runtime: &Runtime,
    mut prepare: impl FnMut(),
    mut call: impl FnMut() -> F,
) -> f64 {
    let mut spent = 0.0;
    for _ in 0..CALLS {
        prepare();
        let start = Instant::now();
        let answer = runtime.block_on(call());
        spent += start.elapsed().as_secs_f64();
        drop(std::hint::black_box(answer));
    }
    spent * 1e9 / f64::from(CALLS)
}

fn minted(runtime: &Runtime, auth: &Authenticator, store: &MemoryStore) -> String {
    let id = AccountId::new("acc-member").expect("well formed");
    store.put_account(id.clone(), AccountStatus::Active);
    let request = MintRequest::new("account", Subject::Account { id }, "cli", "bench");
    let issuer = Issuer::new(auth).expect("there is a ledger");
    let issued = runtime.block_on(issuer.mint(&request.scopes(["apps:run"]))).expect("minted");
    issued.token().expose().to_owned()
}
