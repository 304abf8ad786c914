//! Mode `user_oidc`: a user's own tokens are refreshed once, whoever asks, and the new ones are never lost.

use std::time::Duration;
use tower_bearer::forward::{ForwardOptions, UserOidc};
use tower_bearer::store::{RefreshAnswer, UserLink};

use super::forwarding::Recorder;
use super::support::*;

const IDP: &str = "idp";

struct Scene {
    house: House,
    links: Links,
    provider: Provider,
    upstream: Recorder,
    service: Service,
}

impl Scene {
    fn new(provider: Provider) -> Self {
        Self::sharing(Links::default(), provider)
    }

    /// Another process with the same links and the same provider.
    fn sharing(links: Links, provider: Provider) -> Self {
        let (house, upstream) = (House::new(), Recorder::new());
        let oidc = UserOidc::new(&house.auth, IDP, links.clone(), provider.clone());
        let oidc = oidc.dangerously_any_audience();
        let options = ForwardOptions::user_oidc(super::support::upstream(), oidc);
        let service = house.service(in_a_set_of_its_own(options), &upstream);
        Self { house, links, provider, upstream, service }
    }

    /// Alice's link, whose access token `old` ends so many seconds from now.
    fn linked(self, expires_in: i64) -> Self {
        self.links.rows.put(&key_of("acc-alice"), IDP, self.link("old", expires_in));
        self
    }

    fn link(&self, access: &str, expires_in: i64) -> UserLink {
        let mut link = UserLink::new(access);
        link.refresh_token = Some("old-refresh".into());
        link.expires_at = Some(self.house.at(expires_in));
        link
    }

    fn stored(&self) -> UserLink {
        self.links.rows.get(&key_of("acc-alice"), IDP).unwrap()
    }

    /// Access token, refresh token and generation as they are stored.
    fn pair(&self) -> (String, String, u64) {
        let link = self.stored();
        let refresh = link.refresh_token.as_ref().unwrap().expose().to_owned();
        (link.access_token.expose().to_owned(), refresh, link.generation)
    }

    async fn sent(&self) -> Result<String, Verdict> {
        let verdict = verdict(&self.service, "tba_alice").await;
        match credentials(&self.upstream).as_slice() {
            [] => Err(verdict),
            [lines] => Ok(lines.join(" and ")),
            more => panic!("{} calls", more.len()),
        }
    }
}

fn bearer(token: &str) -> Result<String, Verdict> {
    Ok(format!("Bearer {token}"))
}

fn pair(access: &str, refresh: &str, generation: u64) -> (String, String, u64) {
    (access.to_owned(), refresh.to_owned(), generation)
}

const UNAVAILABLE: Verdict = (503, Some("identity_issuer_unavailable"));
const TIMEOUT: Verdict = (504, Some("identity_issuer_timeout"));
const STORE: Verdict = (503, Some("identity_store_unavailable"));
const REAUTH: Verdict = (401, Some("identity_reauth_required"));
const LOGIN: Verdict = (401, Some("identity_login_required"));

async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_link_that_needs_nothing_is_sent_as_it_is() {
    let scene = Scene::new(Provider::playing([fresh("fresh", None)])).linked(3_600);
    for _ in 0..3 {
        assert_eq!(scene.sent().await, bearer("old"), "F112");
    }
    assert_eq!(scene.links.calls(), (1, 0), "F180 asked once");
    scene.house.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.sent().await, bearer("old"), "F180");
    assert_eq!(scene.links.calls(), (2, 0), "F180 a fact for 10 s");
    assert_eq!(verdict(&scene.service, "tbe_guest").await, LOGIN, "F110 no link");
    scene.house.auth.forget_identity(&key_of("acc-alice"));
    scene.links.rows.remove(&key_of("acc-alice"), IDP);
    assert_eq!(scene.sent().await, Err(LOGIN), "F186, FD14 no link");
    assert_eq!(scene.provider.calls(), 0, "F110");
}

#[tokio::test]
async fn refreshed() {
    let provider = Provider::playing([fresh("fresh", Some("new-refresh"))]);
    let scene = Scene::new(provider).linked(-60);
    assert_eq!(scene.sent().await, bearer("fresh"), "FD10");
    assert_eq!(scene.pair(), pair("fresh", "new-refresh", 2), "FD10 both stored");
    let link = scene.stored();
    let times = (link.obtained_at, link.expires_at, link.lease_until, link.broken);
    let (now, ends) = (scene.house.at(0), scene.house.at(3_600));
    assert_eq!(times, (Some(now), Some(ends), None, false), "FD10");
    assert_eq!(scene.provider.asked(), ["old-refresh"], "FD10");

    let kept = Scene::new(Provider::playing([fresh("fresh", None)])).linked(300);
    assert_eq!(kept.sent().await, bearer("fresh"), "F115");
    assert_eq!(kept.pair(), pair("fresh", "old-refresh", 2), "F115 the old one stays");
    let empty = Scene::new(Provider::playing([fresh("fresh", Some(""))])).linked(300);
    assert_eq!(empty.sent().await, bearer("fresh"), "F115");
    assert_eq!(empty.pair(), pair("fresh", "old-refresh", 2), "F115 an empty one is none");
}

#[tokio::test]
async fn two_hundred_requests_with_an_expired_token() {
    let provider = Provider::playing([fresh("fresh", Some("new-refresh"))]).behind_a_door();
    let scene = Scene::new(provider).linked(-60);
    let all = verdicts(&scene.service, ["tba_alice"; 200]);
    let open = async {
        settled().await;
        scene.provider.open();
    };
    let (got, ()) = tokio::join!(all, open);
    assert_eq!(got, [(200, None); 200]);
    assert_eq!(credentials(&scene.upstream), vec![["Bearer fresh"]; 200], "none without identity");
    println!("refreshes for 200 calls {}", scene.provider.calls());
    assert_eq!(scene.provider.calls(), 1, "1 refresh");
    assert_eq!(scene.pair(), pair("fresh", "new-refresh", 2), "the rotated token is stored");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_gives_no_new_token() {
    let fails = || Play::Fail { may_retry: false };
    let busy = || Play::Answer(RefreshAnswer::Busy { retry_after: Duration::from_secs(5) });
    let refuses = || Play::Answer(RefreshAnswer::RefusesUs);
    for (name, play, left, want) in [
        ("FD11 503", fails(), 120, bearer("old")),
        ("FD11 503", fails(), 20, Err(UNAVAILABLE)),
        ("F118 silent", Play::Hang, 120, bearer("old")),
        ("F118 silent", Play::Hang, 20, Err(TIMEOUT)),
        ("F118 panics", Play::Panic, 120, bearer("old")),
        ("F118 panics", Play::Panic, 20, Err(UNAVAILABLE)),
        ("F118 invalid_client", refuses(), 120, bearer("old")),
        ("F118 invalid_client", refuses(), 20, Err(UNAVAILABLE)),
        ("F185 busy", busy(), 120, bearer("old")),
        ("F185 busy", busy(), 20, Err(UNAVAILABLE)),
        ("F79 invalid", fresh("a b", None), 120, bearer("old")),
        ("F79 invalid", fresh("a b", None), -1, Err(UNAVAILABLE)),
    ] {
        let scene = Scene::new(Provider::playing([play])).linked(left);
        assert_eq!(scene.sent().await, want, "{name}, {left} s left");
        assert_eq!(scene.provider.calls(), 1, "{name}");
        let link = scene.stored();
        assert!(!link.broken, "{name}");
        if !name.contains("panics") {
            assert_eq!(link.lease_until, None, "F113 {name}: nobody waits for its lease");
        }
    }
    let scene = Scene::new(Provider::playing([busy(), fresh("fresh", None)])).linked(20);
    for left in ["5", "5"] {
        let (got, fields) = call(&scene.service, "tba_alice").await;
        assert_eq!((got, &fields["retry-after"]), (UNAVAILABLE, &left.parse().unwrap()), "F185");
    }
    assert_eq!(scene.provider.calls(), 1, "F185 left alone");
    scene.house.clock.advance(Duration::from_secs(5));
    assert_eq!(scene.sent().await, bearer("fresh"), "F185 over");

    let retried = Play::Fail { may_retry: true };
    let scene = Scene::new(Provider::playing([retried, fresh("fresh", None)])).linked(-1);
    assert_eq!(scene.sent().await, bearer("fresh"), "F114 no connection was made");
    assert_eq!(scene.provider.calls(), 2, "F114");
}

#[tokio::test]
async fn a_refresh_token_that_counts_no_more() {
    let gone = || Play::Answer(RefreshAnswer::Gone);
    let scene = Scene::new(Provider::playing([gone()])).linked(120);
    assert_eq!(scene.sent().await, Err(REAUTH), "FD12 store unchanged");
    assert!(scene.stored().broken, "FD12 link broken");
    assert_eq!(scene.sent().await, Err(REAUTH), "FD12 next request");
    assert_eq!(scene.provider.calls(), 1, "FD12 0 provider calls");
    scene.links.rows.put(&key_of("acc-alice"), IDP, scene.link("again", 3_600));
    assert_eq!(scene.sent().await, bearer("again"), "F185 signed in again");

    let scene = Scene::new(Provider::playing([gone()]).behind_a_door()).linked(120);
    let sign_in = async {
        settled().await;
        scene.links.rows.put(&key_of("acc-alice"), IDP, scene.link("newer", 3_600));
        scene.provider.open();
    };
    let (got, ()) = tokio::join!(scene.sent(), sign_in);
    assert_eq!(got, bearer("newer"), "FD12 store newer");
    assert_eq!(scene.pair().0, "newer", "FD12 store newer");

    let mut broken = scene.link("old", 3_600);
    broken.broken = true;
    scene.links.rows.put(&key_of("acc-alice"), IDP, broken);
    scene.house.auth.forget_identity(&key_of("acc-alice"));
    assert_eq!(scene.sent().await, Err(REAUTH), "F110 broken");
    assert_eq!(scene.provider.calls(), 1, "F110");
}

#[tokio::test]
async fn who_cancels_stops_no_refresh() {
    let provider = Provider::playing([fresh("fresh", Some("new-refresh"))]).behind_a_door();
    let scene = Scene::new(provider).linked(-60);
    let service = scene.service.clone();
    let caller = tokio::spawn(async move { verdict(&service, "tba_alice").await });
    settled().await;
    assert_eq!(scene.provider.calls(), 1, "FD13 under way");
    caller.abort();
    settled().await;
    scene.provider.open();
    settled().await;
    assert_eq!(scene.pair(), pair("fresh", "new-refresh", 2), "FD13 refreshed and stored");
    assert_eq!(scene.sent().await, bearer("fresh"), "FD13");
    assert_eq!(scene.provider.calls(), 1, "FD13");
}

#[tokio::test(start_paused = true)]
async fn two_processes_use_a_refresh_token_once() {
    let provider = Provider::playing([fresh("fresh", Some("new-refresh"))]);
    let one = Scene::new(provider.clone()).linked(-60);
    let two = Scene::sharing(one.links.clone(), provider);
    let (first, second) = tokio::join!(
        verdicts(&one.service, ["tba_alice"; 20]),
        verdicts(&two.service, ["tba_alice"; 20]),
    );
    assert_eq!((first, second), (vec![(200, None); 20], vec![(200, None); 20]), "FD13");
    for scene in [&one, &two] {
        assert_eq!(credentials(&scene.upstream), vec![["Bearer fresh"]; 20], "FD13");
    }
    assert_eq!(one.provider.calls(), 1, "FD13 1 provider call");
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_process_that_died() {
    for (left, want) in [(20, Err(TIMEOUT)), (120, bearer("old"))] {
        let scene = Scene::new(Provider::playing([fresh("fresh", None)]));
        let mut leased = scene.link("old", left);
        leased.lease_until = Some(scene.house.at(10));
        scene.links.rows.put(&key_of("acc-alice"), IDP, leased);
        assert_eq!(scene.sent().await, want, "F113 {left} s left");
        assert_eq!(scene.provider.calls(), 0, "F113 while it runs");
        scene.house.clock.advance(Duration::from_secs(10));
        assert_eq!(scene.sent().await, bearer("fresh"), "F113 over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_pair_that_no_store_takes() {
    let plays = [fresh("fresh", Some("new-refresh")), fresh("second", None)];
    let scene = Scene::new(Provider::playing(plays)).linked(-60);
    scene.links.refuse_pairs(3);
    assert_eq!(scene.sent().await, bearer("fresh"), "FD14");
    assert_eq!(scene.sent().await, bearer("fresh"), "FD14 next request too");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.links.calls().1, 4, "F116 a lease and three tries");
    assert_eq!(scene.pair(), pair("old", "old-refresh", 1), "FD14 not stored");

    scene.house.clock.advance(Duration::from_secs(10));
    scene.links.fail(true);
    assert_eq!(scene.sent().await, bearer("fresh"), "F116 from memory, the store being out");
    tokio::time::sleep(Duration::from_secs(20)).await;
    scene.house.clock.advance(Duration::from_secs(10));
    scene.links.fail(false);
    assert_eq!(scene.sent().await, bearer("fresh"), "F116 from memory");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(scene.pair(), pair("fresh", "new-refresh", 2), "F116 stored at last");
    assert_eq!(scene.provider.calls(), 1, "F116");

    let scene = Scene::new(Provider::playing([fresh("fresh", None)])).linked(-60);
    scene.links.refuse_pairs(3);
    assert_eq!(scene.sent().await, bearer("fresh"), "F116");
    scene.links.rows.put(&key_of("acc-alice"), IDP, scene.link("again", 3_600));
    tokio::time::sleep(Duration::from_secs(20)).await;
    scene.house.clock.advance(Duration::from_secs(10));
    assert_eq!(scene.sent().await, bearer("again"), "F116 a newer link wins");
    assert_eq!(scene.pair().0, "again", "F116 a newer link stays");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_out() {
    let scene = Scene::new(Provider::playing([fresh("fresh", None)])).linked(3_600);
    scene.links.fail(true);
    assert_eq!(scene.sent().await, Err(STORE), "F230 fails");
    scene.links.fail(false);
    assert_eq!(scene.sent().await, bearer("old"), "F185 the next asks again");
    let scene = Scene::new(Provider::playing([fresh("fresh", None)])).linked(3_600);
    scene.links.hang();
    let in_time = tokio::time::timeout(Duration::from_millis(251), scene.sent()).await;
    assert_eq!(in_time, Ok(Err(STORE)), "F230 hangs, F206 250 ms");
    assert_eq!(scene.provider.calls(), 0, "F230");
}

#[tokio::test]
async fn whom_a_token_was_made_for() {
    let (house, upstream) = (House::new(), Recorder::new());
    let links = Links::default();
    let mut link = UserLink::new("theirs");
    link.audiences = vec!["https://other.example".into(), AUDIENCE.into()];
    links.rows.put(&key_of("acc-alice"), IDP, link);
    let provider = Provider::playing([fresh("fresh", None)]);
    let oidc = UserOidc::new(&house.auth, IDP, links.clone(), provider);
    let mismatch = (403, Some("token_audience_mismatch"));
    for (name, audience, want) in [
        ("F111", AUDIENCE, (200, None)),
        ("F111 another of its own", "https://other.example", (200, None)),
        ("F111 one / more", "https://mcp.example.com/mcp/", mismatch),
        ("F111 a part", "https://mcp.example.com", mismatch),
    ] {
        let oidc = oidc.clone().for_audience(audience);
        let options = ForwardOptions::user_oidc(super::support::upstream(), oidc);
        let service = house.service(in_a_set_of_its_own(options), &upstream);
        for _ in 0..2 {
            assert_eq!(verdict(&service, "tba_alice").await, want, "{name}");
            assert_eq!(upstream.take().len(), usize::from(want.0 == 200), "{name}");
        }
    }
    assert_eq!(links.calls().0, 1, "F180 upstreams share the links");
}
