//! A client may leave at any moment: nothing stays behind, nothing is charged twice, and the next one is served.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/cancel.rs"]
mod cancel;
#[path = "support/eight.rs"]
mod eight;
mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cancel::{CancelAt, Left};
use eight::{Eight, PATH, Row, Service, inner, settle};
use support::scripted::{Counting, Mood};
use support::world::{account, external, get, token};
use tokio::runtime::Handle;
use tower::ServiceExt;
use tower_bearer::issuing::{Issuer, MintRequest};
use tower_bearer::store::{RevokeReason, RevokeTarget};

/// How often a store is pending before it answers.
const PENDING: [usize; 3] = [0, 1, 3];

/// When the future is dropped: right after its last poll, or when all that it waited for is there.
#[derive(Clone, Copy, Debug)]
enum Drop {
    AtOnce,
    Late,
}

#[derive(Default)]
struct Tally {
    points: usize,
    failures: Vec<String>,
}

impl Tally {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.failures.push(what());
        }
    }

    /// Cancels `future` after so many polls; `true` if it was done before.
    async fn cancel<F: Future>(
        &mut self,
        future: F,
        polls: usize,
        drop_when: Drop,
    ) -> Option<F::Output> {
        self.points += 1;
        match CancelAt::new(future, polls).await {
            Left::Done(output) => Some(output),
            Left::Alive(future) => {
                if matches!(drop_when, Drop::Late) {
                    settle().await;
                }
                drop(future);
                None
            }
        }
    }

    /// Nothing of the one who left is there any more.
    async fn nothing_stays(&mut self, eight: &Eight, tasks: usize, name: &str) {
        settle().await;
        let alive = Handle::current().metrics().num_alive_tasks();
        let (loads, running) = (eight.world.auth.loads_in_flight(), eight.running());
        self.expect((loads, running, alive) == (0, 0, tasks), || {
            format!("{name}: {loads} loads, {running} calls, {alive} tasks, not {tasks}")
        });
    }
}

async fn status(service: &Service, request: eight::Request) -> u16 {
    service.clone().oneshot(request).await.unwrap().status().as_u16()
}

/// One point: a layer of a new world is left after `polls`; `true` when there is no later point.
async fn leave_layer(
    tally: &mut Tally,
    number: usize,
    (pending, warm, drop_when, polls): (usize, bool, Drop, usize),
) -> Option<bool> {
    // the one who left, whoever comes next, and whoever warmed the caches: no unit more
    let eight = Eight::new(2 + u32::from(warm));
    let contexts = eight.contexts().await;
    let Row { name, wrap, sends, .. } = eight.rows(&contexts).into_iter().nth(number)?;
    let name = format!("XM29 {name}, pending {pending}, warm {warm}, {drop_when:?} after {polls}");
    let service = wrap(inner(&Counting::default()));
    eight.world.auth.forget_all();
    if warm {
        let answer = status(&service, eight.good(&sends)).await;
        tally.expect(answer == 200, || format!("{name}: {answer} when warming"));
    }
    settle().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    let charged = eight.windows.charged.load(Ordering::SeqCst);
    eight.set(Mood::Pending(pending));
    let done = tally.cancel(status(&service, eight.good(&sends)), polls, drop_when).await;
    tally.expect(done.is_none_or(|answer| answer == 200), || format!("{name}: {done:?}"));
    tally.nothing_stays(&eight, tasks, &name).await;
    let charged = eight.windows.charged.load(Ordering::SeqCst) - charged;
    tally.expect(charged <= 1, || format!("{name}: {charged} units"));
    let next = status(&service, eight.good(&sends)).await;
    tally.expect(next == 200, || format!("{name}: {next} for the next one"));
    tally.nothing_stays(&eight, tasks, &name).await;
    Some(done.is_some())
}

/// Every way to be cold or warm, quick or slow, and to be dropped.
fn ways() -> impl Iterator<Item = (usize, bool, Drop)> {
    PENDING.into_iter().flat_map(|pending| {
        [false, true].into_iter().flat_map(move |warm| {
            [Drop::AtOnce, Drop::Late].into_iter().map(move |drop| (pending, warm, drop))
        })
    })
}

type Work = Pin<Box<dyn Future<Output = bool>>>;

/// A call that is no layer: what it does, and what a request is told once it was polled and left.
type Call = (&'static str, fn(&Arc<Eight>) -> Work, u16);

const CALLS: &[Call] = &[
    (
        "authenticate",
        |eight| {
            boxed(eight, |eight| async move {
                eight.world.auth.authenticate(&eight.token).await.is_ok()
            })
        },
        200,
    ),
    (
        "recheck",
        |eight| {
            boxed(eight, |eight| async move {
                let stays = eight.world.auth.authenticate(&eight.token).await.unwrap();
                eight.world.auth.forget_all();
                eight.world.auth.recheck(&stays).await.is_ok()
            })
        },
        200,
    ),
    (
        "Limiter::check in process",
        |eight| {
            boxed(eight, |eight| async move {
                let context = eight.world.auth.authenticate(&eight.token).await.unwrap();
                eight.limiter.check(&context, 1).await.is_ok()
            })
        },
        200,
    ),
    (
        "Limiter::check shared",
        |eight| {
            boxed(eight, |eight| async move {
                let context = eight.world.auth.authenticate(&eight.token).await.unwrap();
                eight.shared_limiter.check(&context, 1).await.is_ok()
            })
        },
        200,
    ),
    (
        "Issuer::mint",
        |eight| {
            boxed(eight, |eight| async move {
                let request = MintRequest::new("account", account("acc-1"), "cli", "laptop");
                let issuer = Issuer::new(&eight.world.auth).unwrap();
                issuer.mint(&request.scopes(["full"])).await.is_ok()
            })
        },
        200,
    ),
    (
        "revoke_token",
        |eight| {
            boxed(eight, |eight| async move {
                let target = RevokeTarget::Digest(eight.digest);
                eight.world.auth.revoke_token(target, RevokeReason::Owner).await.is_ok()
            })
        },
        401,
    ),
    (
        "revoke_subject",
        |eight| {
            boxed(eight, |eight| async move {
                eight.world.auth.revoke_subject(&account("acc-1"), None).await.is_ok()
            })
        },
        401,
    ),
];

fn boxed<F: Future<Output = bool> + 'static>(
    eight: &Arc<Eight>,
    work: fn(Arc<Eight>) -> F,
) -> Work {
    Box::pin(work(Arc::clone(eight)))
}

async fn leave_call(
    tally: &mut Tally,
    (name, call, after): Call,
    (pending, warm, drop_when, polls): (usize, bool, Drop, usize),
) -> bool {
    let eight = Arc::new(Eight::new(2 + u32::from(warm)));
    let name = format!("XM29 {name}, pending {pending}, warm {warm}, {drop_when:?} after {polls}");
    let stack = eight.stack(&eight.shared_limiter, inner(&Counting::default()));
    if warm {
        let answer = status(&stack, get(PATH, Some(&eight.token))).await;
        tally.expect(answer == 200, || format!("{name}: {answer} when warming"));
    }
    settle().await;
    let tasks = Handle::current().metrics().num_alive_tasks();
    eight.set(Mood::Pending(pending));
    let done = tally.cancel(call(&eight), polls, drop_when).await;
    tally.expect(done != Some(false), || format!("{name}: refused"));
    tally.nothing_stays(&eight, tasks, &name).await;
    let want = if polls == 0 { 200 } else { after };
    let next = status(&stack, get(PATH, Some(&eight.token))).await;
    tally.expect(next == want, || format!("{name}: {next} for the next one, not {want}"));
    tally.nothing_stays(&eight, tasks, &name).await;
    done.is_some()
}

#[tokio::test]
async fn every_layer_and_call_may_be_left_at_every_poll() {
    let mut tally = Tally::default();
    for (pending, warm, drop_when) in ways() {
        let mut number = 0;
        loop {
            let mut polls = 0;
            let finished = loop {
                match leave_layer(&mut tally, number, (pending, warm, drop_when, polls)).await {
                    Some(false) if polls < 1_000 => polls += 1,
                    finished => break finished,
                }
            };
            match finished {
                Some(true) => number += 1,
                Some(false) => panic!("layer {number} never ends"),
                None => break,
            }
        }
        assert!(number > 15, "the layers are there");
        for call in CALLS {
            let mut polls = 0;
            while !leave_call(&mut tally, *call, (pending, warm, drop_when, polls)).await {
                polls += 1;
                assert!(polls < 1_000, "{} never ends", call.0);
            }
        }
    }
    let (points, failed) = (tally.points, tally.failures.len());
    println!("cancel_points_failed {failed} of {points}");
    assert!(tally.failures.is_empty(), "XT7 {:#?}", &tally.failures[..failed.min(20)]);
    println!("cancel points {points} ok");
}

/// The first of fifty waiters leaves at each of its polls; the others hear of one load.
#[tokio::test]
async fn those_who_wait_with_the_one_who_left_are_served() {
    for pending in PENDING {
        for polls in 1..8 {
            let eight = Eight::new(1_000);
            eight.set(Mood::Pending(pending));
            let auth = eight.world.auth.clone();
            let first = CancelAt::new(auth.authenticate(&eight.token), polls);
            let others: Vec<_> = (1..50)
                .map(|_| {
                    let (auth, text) = (auth.clone(), eight.token.clone());
                    async move { auth.authenticate(&text).await.is_ok() }
                })
                .collect();
            let (left, served) = tokio::join!(first, async {
                let mut tasks = tokio::task::JoinSet::new();
                others.into_iter().for_each(|other| drop(tasks.spawn(other)));
                tasks.join_all().await
            });
            drop(left);
            assert!(served.len() == 49 && served.iter().all(|served| *served), "XM30 XJ7");
            assert_eq!(eight.world.store.tokens.calls(), 1, "XM30 pending {pending}, poll {polls}");
        }
    }
}

/// Ten thousand clients leave at random moments of the whole stack, on many threads; then everything is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_leave_at_random() {
    let eight = Arc::new(Eight::new(4_096));
    let stack = eight.stack(&eight.limiter, inner(&Counting::default()));
    eight.set(Mood::Pending(3));
    let stray = token("tst_", 9);
    eight.world.token(&stray, external("guest"), "full");
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let left = Arc::new(AtomicUsize::new(0));
    for round in 0..100 {
        let mut clients = tokio::task::JoinSet::new();
        for client in 0..100 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let polls = usize::try_from(seed % 12).unwrap();
            let text = match client % 4 {
                0 => stray.clone(),
                1 => token("tst_", 100 + seed % 50),
                _ => eight.token.clone(),
            };
            let (stack, left) = (stack.clone(), Arc::clone(&left));
            clients.spawn(async move {
                let request = get(PATH, Some(&text));
                if let Left::Alive(future) = CancelAt::new(stack.oneshot(request), polls).await {
                    left.fetch_add(1, Ordering::Relaxed);
                    drop(future);
                }
            });
        }
        if round % 10 == 0 {
            eight.world.auth.forget_all();
        }
        clients.join_all().await;
    }
    // real threads: looks again for some 100 ms until all is quiet
    for _ in 0..100 {
        if (eight.running(), eight.world.auth.loads_in_flight()) == (0, 0)
            && Handle::current().metrics().num_alive_tasks() == 0
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let alive = Handle::current().metrics().num_alive_tasks();
    let gauges = (eight.running(), eight.world.auth.loads_in_flight(), alive);
    assert_eq!(gauges, (0, 0, 0), "XM29 XJ9");
    assert!(left.load(Ordering::Relaxed) > 1_000, "some left half-way");
    // an hour later, when all that was charged is free again
    eight.world.clock.advance(Duration::from_secs(3_601));
    eight.world.token(&eight.token, account("acc-1"), "full");
    eight.world.auth.forget_all();
    assert_eq!(status(&stack, get(PATH, Some(&eight.token))).await, 200, "XM29 the next one");
}
