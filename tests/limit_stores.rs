//! A store of windows that errs, hangs, panics or lies makes requests undecidable: never a 429, never a silent pass.
#![expect(clippy::panic, reason = "a store that panics is what is tested")]

#[expect(dead_code, reason = "this file uses its part of it")]
#[path = "support/limits.rs"]
mod support;

use http::Response;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use support::{Desk, Inner, get, inner, limit, send, status, told};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::limit::{Limiter, LimiterBuilder, Mode, Outage, Policy};
use tower_bearer::rejection::{Reason, Rejection, RejectionKind};
use tower_bearer::stack::{BearerCheck, RateLimit};
use tower_bearer::store::{
    Answer, Ask, MemoryWindows, Standing, WhenFull, WindowStore, WindowsFull,
};

/// Windows in memory that misbehave on cue.
#[derive(Clone)]
struct Faulty {
    windows: Arc<MemoryWindows>,
    fault: Fault,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    None,
    Errs,
    Hangs,
    PanicsAtOnce,
    PanicsLater,
    SaysNothing,
    SaysTooMuch,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("connection refused")]
    Refused,
    #[error(transparent)]
    Full(#[from] WindowsFull),
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        Self { windows: Arc::new(MemoryWindows::new()), fault, asked: Arc::default() }
    }
}

impl WindowStore for Faulty {
    type Error = Trouble;

    fn admit(&self, ask: &Ask<'_>) -> impl Future<Output = Result<Answer, Trouble>> + Send {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_ne!(self.fault, Fault::PanicsAtOnce);
        async move {
            tokio::task::yield_now().await;
            let answer = match self.fault {
                Fault::Errs => return Err(Trouble::Refused),
                Fault::Hangs => std::future::pending().await,
                Fault::PanicsLater => panic!("a store's own slip"),
                Fault::SaysNothing => Answer::new([]),
                Fault::SaysTooMuch => {
                    Answer::new([Standing::Room { remaining: u32::MAX, reset_ms: 1 }])
                }
                Fault::None | Fault::PanicsAtOnce => self.windows.decide(ask)?,
            };
            tokio::task::yield_now().await;
            Ok(answer)
        }
    }
}

type Limited = <BearerCheck as Layer<<RateLimit as Layer<Inner>>::Service>>::Service;

fn limited(desk: &Desk, limiter: &Limiter) -> Limited {
    BearerCheck::new(&desk.auth).layer(RateLimit::from(limiter).layer(inner(200).0))
}

fn builder(store: &Faulty) -> LimiterBuilder {
    Limiter::builder().policy(Policy::per_token(limit(1, 60_000))).store(store.clone())
}

fn rejection(response: &Response<()>) -> Option<(RejectionKind, Reason)> {
    let rejection = response.extensions().get::<Rejection>();
    rejection.map(|rejection| (rejection.kind(), rejection.reason()))
}

#[tokio::test(start_paused = true)]
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's paused time, which only the deadline moves"
)]
async fn faults() {
    let policy = r#"ratelimit-policy: "token";q=1;w=60"#;
    let unknown = |reason| Some((RejectionKind::Undecidable, reason));
    for (fault, want) in [
        (Fault::Errs, unknown(Reason::StoreError)),
        (Fault::Hangs, unknown(Reason::Deadline)),
        (Fault::PanicsAtOnce, unknown(Reason::StoreError)),
        (Fault::PanicsLater, unknown(Reason::StoreError)),
        (Fault::SaysNothing, unknown(Reason::StoreError)),
        (Fault::SaysTooMuch, unknown(Reason::StoreError)),
        (Fault::None, None),
    ] {
        let store = Faulty::new(fault);
        for (name, limiter) in [
            ("Closed", builder(&store).on_outage(Outage::Closed).build().unwrap()),
            ("Open", builder(&store).dangerously_open_on_outage().build().unwrap()),
            (
                "Shadow",
                builder(&store).mode(Mode::Shadow).on_outage(Outage::Closed).build().unwrap(),
            ),
        ] {
            let desk = Desk::new();
            let service = limited(&desk, &limiter);
            let token = desk.token(&format!("token-{name}"), "acc-member");
            let asked = store.asked.load(Ordering::SeqCst);
            let before = tokio::time::Instant::now();
            let response = send(&service, get("/me", &token)).await;
            let (told, refusal) = (told(&response), rejection(&response));
            let calls = store.asked.load(Ordering::SeqCst) - asked;
            assert_eq!(calls, 1, "L325 {fault:?} {name}");
            let waited = before.elapsed().as_millis();
            assert_eq!(waited, if fault == Fault::Hangs { 25 } else { 0 }, "L601 {fault:?} {name}");
            let undecided = u64::from(fault != Fault::None);
            assert_eq!(limiter.undecided(), undecided, "L603 {fault:?} {name}");
            match (name, fault) {
                ("Closed", Fault::None) | ("Open", Fault::None) => {
                    let want = format!(r#"200 {policy} | ratelimit: "token";r=0;t=60"#);
                    assert_eq!(told, want, "{name}");
                    let second = send(&service, get("/me", &token)).await;
                    assert_eq!(status(&second), 429, "L202 {name}");
                }
                ("Closed", _) => {
                    assert_eq!(
                        (told, refusal),
                        ("503 retry-after: 1".into(), want),
                        "L603 {fault:?}"
                    );
                }
                _ => {
                    assert_eq!((told, refusal), ("200".into(), None), "L603, L703 {fault:?} {name}")
                }
            }
        }
    }
}

#[tokio::test]
async fn a_store_is_not_asked_in_vain() {
    let desk = Desk::new();
    let store = Faulty::new(Fault::None);
    let free = builder(&store).cost_by(|_, _| 0).build().unwrap();
    let never = builder(&store).cost_by(|_, _| 2).build().unwrap();
    let token = desk.token("full", "acc-member");
    for (name, limiter, want) in [("L210 free", free, 200), ("L209 never", never, 429)] {
        let service = limited(&desk, &limiter);
        assert_eq!(status(&send(&service, get("/me", &token)).await), want, "L804 {name}");
    }
    assert_eq!(store.asked.load(Ordering::SeqCst), 0, "L803, L804");
}

#[tokio::test]
async fn a_full_map_is_undecidable() {
    let desk = Desk::new();
    let policy = Policy::custom("of", limit(2, 60_000), |context| {
        let id = context.token_id().ok_or(tower_bearer::limit::MissingFact::new("token id"))?;
        Ok(tower_bearer::limit::CustomKey::bytes(id.as_str()))
    });
    let limiter = Limiter::builder()
        .policy(policy)
        .max_keys(1_024)
        .when_full(WhenFull::Closed)
        .build()
        .unwrap();
    let service = limited(&desk, &limiter);
    let tokens: Vec<String> =
        (0..5_000).map(|number| desk.token(&format!("t{number}"), "acc-member")).collect();
    let (mut passed, mut undecided) = (0, 0);
    for token in &tokens {
        match status(&send(&service, get("/me", token)).await) {
            200 => passed += 1,
            503 => undecided += 1,
            other => panic!("L424 {other}"),
        }
    }
    assert_eq!((passed, undecided), (1_024, 3_976), "L410, L424");
    assert_eq!(status(&send(&service, get("/me", &tokens[0])).await), 200, "L410, L424");
}

/// Windows in memory that keep a note of each question's form and count.
#[derive(Clone, Default)]
struct Noting {
    windows: Arc<MemoryWindows>,
    noted: Arc<Mutex<Vec<(bool, u32)>>>,
}

impl WindowStore for Noting {
    type Error = WindowsFull;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, WindowsFull> {
        let note = ask.items().iter().map(|item| (item.is_rounded(), item.limit().count().get()));
        self.noted.lock().expect("no test panics under it").extend(note);
        self.windows.decide(ask)
    }
}

#[tokio::test]
async fn the_form_of_a_log_hangs_on_the_policys_own_count() {
    let minute = |count| Policy::per_token(limit(count, 60_000));
    for (name, policy, want) in [
        ("L221 the default", minute(512), (false, 512)),
        ("L221 one more", minute(513), (true, 513)),
        ("L903 the most", minute(u32::MAX), (true, u32::MAX)),
        ("L904 raised", minute(4_096).exact_up_to(4_096), (false, 4_096)),
        ("L904 lowered", minute(60).exact_up_to(59), (true, 60)),
        ("L229 lowered for a caller", minute(513).lowered_by(|_| 10), (true, 10)),
        ("L229 not for this one", minute(512).lowered_by(|_| u32::MAX), (false, 512)),
    ] {
        let (desk, store) = (Desk::new(), Noting::default());
        let limiter = Limiter::builder().policy(policy).store(store.clone()).build().unwrap();
        let token = desk.token("full", "acc-member");
        let response = send(&limited(&desk, &limiter), get("/me", &token)).await;
        assert_eq!(status(&response), 200, "{name}");
        assert_eq!(*store.noted.lock().unwrap(), [want], "{name}");
    }
}

#[tokio::test]
async fn a_change_of_form_starts_a_new_log() {
    let (desk, store) = (Desk::new(), Noting::default());
    let token = desk.token("full", "acc-member");
    let minute = |count| Policy::per_token(limit(count, 60_000)).exact_up_to(2);
    for (name, policy, want) in [
        ("L228 before", minute(2), [200, 200, 429, 429]),
        ("L227 another count, the same form", minute(1), [429; 4]),
        ("L228 after: 2 + 3 in one window, once", minute(3), [200, 200, 200, 429]),
        ("L227 another count, the same form again", minute(4), [200, 429, 429, 429]),
    ] {
        let limiter = Limiter::builder().policy(policy).store(store.clone()).build().unwrap();
        let service = limited(&desk, &limiter);
        for (call, want) in want.into_iter().enumerate() {
            let response = send(&service, get("/me", &token)).await;
            assert_eq!(status(&response), want, "{name} call {call}");
        }
    }
}

#[tokio::test]
async fn dropped_at_each_await() {
    let desk = Desk::new();
    let store = Faulty::new(Fault::None);
    let many = Policy::per_token(limit(4_096, 60_000));
    let foreign = Limiter::builder().policy(many.clone()).store(store.clone()).build().unwrap();
    let local = Limiter::builder().policy(many).build().unwrap();
    for (name, limiter) in [("foreign", foreign), ("local", local)] {
        let mut service = limited(&desk, &limiter);
        let token = desk.token(name, "acc-member");
        let context = send(&service, get("/me", &token)).await.extensions().clone();
        let context = tower_bearer::AuthContext::of(&context).unwrap();
        let requests = 2_000;
        for number in 0..requests {
            let future = service.ready().await.unwrap().call(get("/me", &token));
            let mut future = Box::pin(future);
            for _ in 0..number % 5 {
                let mut waiting = Context::from_waker(Waker::noop());
                if future.as_mut().poll(&mut waiting).is_ready() {
                    break;
                }
            }
        }
        let left = limiter.check(context, 1).await.unwrap().unwrap().remaining;
        let used = 4_096 - 2 - left;
        assert!(used <= requests, "L867 {name} at most one unit per request, {used}");
        assert!(used > 0, "L814 {name} a charge may stand");
    }
}
