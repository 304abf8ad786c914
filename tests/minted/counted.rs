//! What is told and counted of credentials: how they were come by, never what they are or whose.

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower_bearer::audit::{AuditSink, Event, Severity};
use tower_bearer::forward::{ForwardOptions, IdpToken, UserOidc};
use tower_bearer::store::{IssueAnswer, RefreshAnswer, UserLink};

use super::forwarding::Recorder;
use super::support::*;

/// Counts by series, and how often a time was told.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

struct Times(Arc<AtomicU64>);

impl HistogramFn for Times {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Book {
    fn series(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = key.name().strip_prefix("tower_bearer_").unwrap();
        let text = format!("{name}{{{}}}", labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(text).or_default())
    }

    /// The series of this room that were counted, with their numbers.
    fn counted(&self) -> Vec<(String, u64)> {
        let ours = ["forward_mint", "forward_cache", "forward_issuer", "link_"];
        let all = self.0.lock().unwrap();
        let ours = all.iter().filter(|(name, _)| ours.iter().any(|ours| name.starts_with(ours)));
        ours.map(|(name, count)| (name.clone(), count.load(Ordering::SeqCst))).collect()
    }
}

impl metrics::Recorder for Book {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Times(self.series(key))))
    }
}

/// The events about identity, but for the sampled one: name, severity, subject and upstream.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(String, Severity, String, String)>>>);

impl AuditSink for Told {
    fn record(&self, event: &Event<'_>) {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let name = event.name.as_str();
        // what was sent is told of a share, and elsewhere
        if name.starts_with("identity.") && name != "identity.forwarded" {
            let row = (name.to_owned(), event.name.severity());
            let row = (row.0, row.1, text(event.subject), text(event.upstream));
            self.0.lock().unwrap().push(row);
        }
    }
}

fn told(rows: &[(&str, Severity, &str)]) -> Vec<(String, Severity, String, String)> {
    let row = |(name, severity, upstream): &(&str, Severity, &str)| {
        (format!("identity.{name}"), *severity, "account:acc-alice".into(), (*upstream).to_owned())
    };
    rows.iter().map(row).collect()
}

fn counts(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
    rows.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn minted() {
    let (book, events) = (Book::default(), Told::default());
    let _guard = metrics::set_default_local_recorder(&book);
    let house = House::telling(events.clone());
    let busy = Play::Answer(IssueAnswer::Busy { retry_after: Duration::from_secs(5) });
    let plays = [
        token("T"),
        Play::Answer(IssueAnswer::RefusesUs),
        Play::Answer(IssueAnswer::LoginRequired),
        Play::Fail { may_retry: false },
        Play::Hang,
        busy,
    ];
    let issuer = Minting::playing(plays).behind_a_door();
    let tokens = IdpToken::new(&house.auth, issuer.clone());
    let options = in_a_set_of_its_own(ForwardOptions::idp_token(upstream(), tokens));
    let service = house.service(options, &Recorder::new());
    let both = verdicts(&service, ["tba_alice"; 2]);
    let open = async {
        while issuer.calls() == 0 {
            tokio::task::yield_now().await;
        }
        issuer.open();
    };
    let (got, ()) = tokio::join!(both, open);
    assert_eq!(got, [(200, None); 2]);
    assert_eq!(verdict(&service, "tba_alice").await.0, 200);
    house.auth.forget_all();
    for want in [503, 401, 503, 504, 503, 503] {
        assert_eq!(verdict(&service, "tba_alice").await.0, want);
    }
    let want = counts(&[
        ("forward_cache_total{upstream=mcp-main,result=hit}", 1),
        ("forward_cache_total{upstream=mcp-main,result=joined}", 1),
        ("forward_cache_total{upstream=mcp-main,result=miss}", 6),
        ("forward_cache_total{upstream=mcp-main,result=paused}", 1),
        ("forward_issuer_refuses_us_total{upstream=mcp-main}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=busy}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=deadline}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=error}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=login_required}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=ok}", 1),
        ("forward_mint_seconds{upstream=mcp-main,result=refuses_us}", 1),
    ]);
    assert_eq!(book.counted(), want, "F275");
    let want = told(&[
        ("minted", Severity::Info, "mcp-main"),
        ("issuer_rejected_us", Severity::Error, "mcp-main"),
    ]);
    assert_eq!(*events.0.lock().unwrap(), want, "F171");
}

#[tokio::test(start_paused = true)]
async fn refreshed() {
    let (book, events) = (Book::default(), Told::default());
    let _guard = metrics::set_default_local_recorder(&book);
    let house = House::telling(events.clone());
    let gone = || Play::Answer(RefreshAnswer::Gone);
    let plays = [fresh("fresh", None), Play::Answer(RefreshAnswer::RefusesUs), gone()];
    let (links, provider) = (Links::default(), Provider::playing(plays));
    let oidc = UserOidc::new(&house.auth, "google", links.clone(), provider);
    let oidc = oidc.dangerously_any_audience();
    let options = in_a_set_of_its_own(ForwardOptions::user_oidc(upstream(), oidc));
    let service = house.service(options, &Recorder::new());
    links.refuse_pairs(3);
    for want in [200, 503, 401] {
        let mut link = UserLink::new("old");
        link.refresh_token = Some("refresh".into());
        link.expires_at = Some(house.at(-1));
        links.rows.put(&key_of("acc-alice"), "google", link);
        house.auth.forget_identity(&key_of("acc-alice"));
        assert_eq!(verdict(&service, "tba_alice").await.0, want);
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    let want = counts(&[
        ("forward_cache_total{upstream=mcp-main,result=miss}", 3),
        ("forward_issuer_refuses_us_total{upstream=google}", 1),
        ("link_persist_failed_total{}", 1),
        ("link_refresh_total{result=gone}", 1),
        ("link_refresh_total{result=ok}", 1),
        ("link_refresh_total{result=refuses_us}", 1),
    ]);
    assert_eq!(book.counted(), want, "FD14, F275");
    let want = told(&[
        ("link_refreshed", Severity::Info, "google"),
        ("issuer_rejected_us", Severity::Error, "google"),
        ("link_broken", Severity::Warn, "google"),
    ]);
    assert_eq!(*events.0.lock().unwrap(), want, "F171");
}
