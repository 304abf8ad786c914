//! Every layer, and every order of layers that compiles, keeps the rules that tower's services live by.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

#[path = "support/eight.rs"]
mod eight;
mod support;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use eight::{Eight, PATH, Request, Row, Service, orders, settle};
use support::probe::{Gone, Probe};
use support::scripted::Mood;
use support::world::get;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer, Service as _, ServiceBuilder, ServiceExt};

#[derive(Default)]
struct Tally {
    checks: usize,
    failures: Vec<String>,
}

impl Tally {
    fn expect<T: std::fmt::Debug + PartialEq>(&mut self, got: T, want: T, row: &Row, what: &str) {
        self.checks += 1;
        if got != want {
            self.failures.push(format!("{}, {what}: {got:?}, not {want:?}", row.name));
        }
    }
}

/// One service value, called by the rules: ready first, never a clone.
async fn call(service: &mut Service, request: Request) -> Result<u16, Gone> {
    let mut answer = Box::pin(service.ready().await?.call(request));
    poll_fn(|cx| answer.as_mut().poll(cx)).await.map(|response| response.status().as_u16())
}

/// What a request without anything is told.
fn refused(row: &Row) -> u16 {
    row.refusal.unwrap_or(200)
}

/// The one that was ready is called, after a hit, a load and a refusal; nothing is called after a refusal.
async fn the_ready_one_is_called(eight: &Eight, row: &Row, tally: &mut Tally) {
    for (what, mood) in [("at once", Mood::Answer), ("pending", Mood::Pending(2))] {
        eight.set(mood);
        eight.world.auth.forget_all();
        let probe = Probe::new();
        let counts = Arc::clone(&probe.counts);
        let mut service = (row.wrap)(Service::new(probe));
        let mut told = Vec::new();
        for good in [true, true, false, true, false, false, true] {
            let request = if good { eight.good(&row.sends) } else { get(PATH, None) };
            told.push(call(&mut service, request).await.unwrap());
        }
        let no = refused(row);
        tally.expect(told, vec![200, 200, no, 200, no, no, 200], row, what);
        let passed = if row.refusal.is_some() { 4 } else { 7 };
        tally.expect(counts.calls.load(Ordering::SeqCst), passed, row, "XJ8 calls");
        tally.expect(counts.unready.load(Ordering::SeqCst), 0, row, "XJ8 called unready");
        drop(service);
        settle().await;
        tally.expect(counts.alive.load(Ordering::SeqCst), 0, row, "XR34 clones");
    }
    eight.set(Mood::Answer);
}

/// One permit: a refusal gives it back, and so does readiness that nobody used.
async fn permits_come_back(eight: &Eight, row: &Row, tally: &mut Tally) {
    let limited = ConcurrencyLimitLayer::new(1).layer(Probe::new());
    let mut service = (row.wrap)(Service::new(limited));
    let mut other = service.clone();
    let ten_refusals = [("L866 refusal", false); 10];
    for (what, good) in
        [("pass", true)].into_iter().chain(ten_refusals).chain([("L866 pass", true)])
    {
        let want = if good { 200 } else { refused(row) };
        let request = if good { eight.good(&row.sends) } else { get(PATH, None) };
        let told = tokio::time::timeout(PATIENCE, call(&mut service, request)).await;
        tally.expect(told, Ok(Ok(want)), row, what);
    }
    // refused, and another handle is ready while this one still lives
    if row.refusal.is_some() {
        let told = tokio::time::timeout(PATIENCE, call(&mut service, get(PATH, None))).await;
        tally.expect(told, Ok(Ok(refused(row))), row, "refusal");
        let told = tokio::time::timeout(PATIENCE, call(&mut other, eight.good(&row.sends))).await;
        tally.expect(told, Ok(Ok(200)), row, "a refusal frees the permit for others");
    }
    // ready, and dropped without a call
    let ready = tokio::time::timeout(PATIENCE, service.ready()).await.is_ok();
    tally.expect(ready, true, row, "ready");
    let stuck = poll_fn(|cx| Poll::Ready(other.poll_ready(cx).is_pending())).await;
    tally.expect(stuck, true, row, "the permit is taken");
    drop(service);
    let told = tokio::time::timeout(PATIENCE, call(&mut other, eight.good(&row.sends))).await;
    tally.expect(told, Ok(Ok(200)), row, "readiness without a call frees what it took");
    // a load under way holds its permit, and the one who leaves gives it back
    eight.set(Mood::Hang);
    eight.world.auth.forget_all();
    let mut waiting = Box::pin(call(&mut other, eight.good(&row.sends)));
    let _pending = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
    drop(waiting);
    eight.set(Mood::Answer);
    eight.world.auth.forget_all();
    let told = tokio::time::timeout(PATIENCE, call(&mut other, eight.good(&row.sends))).await;
    tally.expect(told, Ok(Ok(200)), row, "whoever leaves a load frees the permit");
}

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// The inner service's errors come out as they are, from readiness and from calls.
async fn errors_pass_through(eight: &Eight, row: &Row, tally: &mut Tally) {
    let probe = Probe::new();
    let counts = Arc::clone(&probe.counts);
    let mut service = (row.wrap)(Service::new(probe));
    counts.broken.store(true, Ordering::SeqCst);
    let told = call(&mut service, eight.good(&row.sends)).await;
    tally.expect(told, Err(Gone), row, "SE3 error of a call on a hit");
    eight.world.auth.forget_all();
    let told = call(&mut service, eight.good(&row.sends)).await;
    tally.expect(told, Err(Gone), row, "SE3 error of a call after a load");
    counts.gone.store(true, Ordering::SeqCst);
    let told = service.ready().await.map(|_| ());
    tally.expect(told, Err(Gone), row, "SE3 error of readiness");
}

/// Buffers and shedders may stand behind.
async fn buffers_work(eight: &Eight, row: &Row, tally: &mut Tally) {
    let told_by = |error: tower::BoxError| {
        assert!(error.is::<Gone>(), "XT11 {error}");
        Gone
    };
    let gone = |error: Gone| -> tower::BoxError { Box::new(error) };
    let buffered = ServiceBuilder::new().map_err(told_by).buffer(4).map_err(gone);
    let mut service = (row.wrap)(Service::new(buffered.service(Probe::new())));
    for _ in 0..6 {
        let told = call(&mut service, eight.good(&row.sends)).await;
        tally.expect(told, Ok(200), row, "XT11 buffer");
    }
    let shed = ServiceBuilder::new().map_err(told_by).load_shed().map_err(gone);
    let mut service = (row.wrap)(Service::new(shed.service(Probe::new())));
    let told = call(&mut service, eight.good(&row.sends)).await;
    tally.expect(told, Ok(200), row, "XT11 load shed");
}

#[tokio::test(start_paused = true)]
async fn layers_and_orders_keep_the_contract() {
    let eight = Eight::new(4_000);
    let contexts = eight.contexts().await;
    let orders = orders(&eight);
    assert_eq!(orders.len(), 160, "XT11 every order that the types allow");
    let mut tally = Tally::default();
    for row in eight.rows(&contexts).iter().chain(&orders) {
        the_ready_one_is_called(&eight, row, &mut tally).await;
        permits_come_back(&eight, row, &mut tally).await;
        errors_pass_through(&eight, row, &mut tally).await;
        buffers_work(&eight, row, &mut tally).await;
    }
    let (checks, failed) = (tally.checks, tally.failures.len());
    println!("contract_failures {failed} of {checks}");
    assert!(failed == 0, "XT11 {:#?}", &tally.failures[..failed.min(20)]);
}
