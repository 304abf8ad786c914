//! One question for each caller and upstream, whoever waits and whoever leaves; and what is kept of its answer.

use std::time::Duration;
use tower_bearer::forward::{ForwardOptions, IdpToken, Override};
use tower_bearer::id::AccountId;
use tower_bearer::stack::IdentityForward;
use tower_bearer::store::IssueAnswer;
use tower_bearer::subject::Subject;

use super::forwarding::Recorder;
use super::support::*;

struct Scene {
    house: House,
    issuer: Minting,
    upstream: Recorder,
    service: Service,
}

impl Scene {
    fn new(issuer: Minting) -> Self {
        Self::with(issuer, |tokens| tokens)
    }

    fn with(issuer: Minting, settings: impl FnOnce(IdpToken) -> IdpToken) -> Self {
        let (house, upstream) = (House::new(), Recorder::new());
        let tokens = settings(IdpToken::new(&house.auth, issuer.clone()));
        let options = ForwardOptions::idp_token(super::support::upstream(), tokens);
        let service = house.service(in_a_set_of_its_own(options), &upstream);
        Self { house, issuer, upstream, service }
    }

    async fn sent(&self, token: &str) -> Result<String, Verdict> {
        let verdict = verdict(&self.service, token).await;
        let sent = credentials(&self.upstream);
        match sent.as_slice() {
            [] => Err(verdict),
            [lines] => Ok(lines.join(" and ")),
            more => panic!("{} calls", more.len()),
        }
    }
}

fn bearer(token: &str) -> Result<String, Verdict> {
    Ok(format!("Bearer {token}"))
}

/// Until every task that can go on has gone on; the clock of deadlines stands still.
async fn settled() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_question_for_each_caller() {
    let scene = Scene::new(Minting::playing([token("T")]).behind_a_door());
    for user in 0..10 {
        scene.house.account(&format!("tba_u{user}"), &format!("acc-{user}"), |row| row);
    }
    let one = verdicts(&scene.service, ["tba_u0"; 10]);
    let open = async {
        settled().await;
        assert_eq!(scene.issuer.calls(), 1, "FK4 one key");
        scene.issuer.open();
    };
    let (got, ()) = tokio::join!(one, open);
    assert_eq!(got, [(200, None); 10], "FK4 one key");
    assert_eq!(credentials(&scene.upstream), vec![["Bearer T1"]; 10], "FK4 one key");

    let ten = Scene::new(Minting::playing([token("T")]).behind_a_door());
    for user in 0..10 {
        ten.house.account(&format!("tba_u{user}"), &format!("acc-{user}"), |row| row);
    }
    let tokens: Vec<_> = (0..10).map(|user| format!("tba_u{user}")).collect();
    let all = verdicts(&ten.service, tokens);
    let open = async {
        settled().await;
        assert_eq!(ten.issuer.calls(), 10, "FK4 ten users: none waits for another");
        ten.issuer.open();
    };
    let (got, ()) = tokio::join!(all, open);
    assert_eq!(got, [(200, None); 10], "FK4 ten users");
}

#[tokio::test]
async fn who_leaves_takes_nothing_along() {
    let scene = Scene::new(Minting::playing([token("T")]).behind_a_door());
    let service = scene.service.clone();
    let first = tokio::spawn(async move { verdict(&service, "tba_alice").await });
    settled().await;
    let second = verdict(&scene.service, "tba_alice");
    let leave = async {
        settled().await;
        first.abort();
        settled().await;
        scene.issuer.open();
    };
    let (second, ()) = tokio::join!(second, leave);
    assert_eq!((second, scene.issuer.calls()), ((200, None), 1), "FK5 first waiter cancelled");

    let all_left = Scene::new(Minting::playing([token("T")]).behind_a_door());
    let service = all_left.service.clone();
    let only = tokio::spawn(async move { verdict(&service, "tba_alice").await });
    settled().await;
    only.abort();
    settled().await;
    all_left.issuer.open();
    settled().await;
    assert_eq!(all_left.sent("tba_alice").await, bearer("T1"), "F183 it lands all the same");
    assert_eq!(all_left.issuer.calls(), 1, "F183 it lands all the same");
}

#[tokio::test]
async fn a_failure_is_told_to_all_and_kept_by_nobody() {
    for (name, play, want) in [
        ("FK5 panics", Play::Panic, (503, Some("identity_issuer_unavailable"))),
        ("FK5 fails", Play::Fail { may_retry: false }, (503, Some("identity_issuer_unavailable"))),
        (
            "FK5 says no",
            Play::Answer(IssueAnswer::LoginRequired),
            (401, Some("identity_login_required")),
        ),
    ] {
        let scene = Scene::new(Minting::playing([play, token("T")]).behind_a_door());
        let waiters = verdicts(&scene.service, ["tba_alice"; 10]);
        let open = async {
            settled().await;
            scene.issuer.open();
        };
        let (got, ()) = tokio::join!(waiters, open);
        assert_eq!(got, [want; 10], "{name}");
        assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "{name}, the next asks at once");
    }
}

#[tokio::test]
async fn what_has_an_entry_of_its_own() {
    let scene = Scene::new(Minting::playing([token("T")]));
    scene.house.account("tba_second", "acc-alice", |row| row.with_workspace(workspace("ws-1")));
    scene.house.account("tba_other", "acc-alice", |row| row.with_workspace(workspace("ws-2")));
    for (name, token, want) in [
        ("the first", "tba_alice", "T1"),
        ("FK6 two tokens of one user", "tba_second", "T2"),
        ("FK6 two workspaces", "tba_other", "T3"),
        ("kept", "tba_alice", "T1"),
        ("kept", "tba_second", "T2"),
    ] {
        assert_eq!(scene.sent(token).await, bearer(want), "{name}");
    }
    let other = Minting::playing([token("T")]);
    let tokens = IdpToken::new(&scene.house.auth, other.clone());
    let options = ForwardOptions::idp_token(super::support::upstream(), tokens);
    let second = scene.house.service(in_a_set_of_its_own(options), &scene.upstream);
    assert_eq!(verdict(&second, "tba_alice").await, (200, None), "FK6 two issuers");
    assert_eq!((scene.issuer.calls(), other.calls()), (3, 1), "FK6 two issuers");
}

#[tokio::test]
async fn how_long_it_is_sent() {
    for (name, seconds, caller, until) in [
        ("FK1 3,600 s", 3_600, None, 300),
        ("FK1 120 s", 120, None, 60),
        ("FK1 2 s", 2, None, 1),
        ("FK3 caller's token ends in 100 s", 3_600, Some(100), 70),
    ] {
        let scene = Scene::new(Minting::playing([lasting("T", seconds)]));
        match caller {
            Some(ends) => scene.house.ending("tba_alice", "acc-alice", ends),
            None => scene.house.account("tba_alice", "acc-alice", |row| row),
        }
        assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "{name}");
        scene.house.clock.advance(Duration::from_millis(until * 1_000 - 1));
        assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "{name}, just before its end");
        scene.house.clock.advance(Duration::from_millis(1));
        assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "{name}, over");
    }
    for (name, seconds, caller) in
        [("FK3 ttl 0", 0, 3_600), ("FK3 caller's token ends in 20 s", 3_600, 20)]
    {
        let scene = Scene::new(Minting::playing([lasting("T", seconds)]));
        scene.house.ending("tba_alice", "acc-alice", caller);
        assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "{name}: used once");
        assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "{name}: not kept");
    }
    let settings = |tokens: IdpToken| tokens.margin(Duration::from_secs(300)).cap(Duration::MAX);
    let scene = Scene::with(Minting::playing([token("T")]), settings);
    assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "FK2");
    scene.house.clock.advance(Duration::from_secs(3_299));
    scene.house.clock.set_wall(scene.house.at(-86_400));
    assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "FK2, F182 the wall clock stepped");
    scene.house.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "FK2 over");
}

#[tokio::test]
async fn what_is_forgotten() {
    let alice = Subject::Account { id: AccountId::new("acc-alice").unwrap() };
    let forget: [(&str, &dyn Fn(&House)); 5] = [
        ("F186 forget_identity", &|house| house.auth.forget_identity(&alice.key())),
        ("F186 forget_account", &|house| {
            house.auth.forget_account(&AccountId::new("acc-alice").unwrap());
        }),
        ("F186 forget_caller", &|house| house.auth.forget_caller(&alice)),
        ("F186 forget_workspace", &|house| house.auth.forget_workspace(&workspace("ws-1"))),
        ("F186 forget_all", &|house| house.auth.forget_all()),
    ];
    for (name, forget) in forget {
        let scene = Scene::new(Minting::playing([token("T")]));
        scene.house.account("tba_bob", "acc-bob", |row| row);
        assert_eq!(scene.sent("tba_alice").await, bearer("T1"), "{name}");
        assert_eq!(scene.sent("tba_bob").await, bearer("T2"), "{name}");
        forget(&scene.house);
        assert_eq!(scene.sent("tba_alice").await, bearer("T3"), "{name}");
        let bob = if name == "F186 forget_all" { "T4" } else { "T2" };
        assert_eq!(scene.sent("tba_bob").await, bearer(bob), "{name}: nobody else's");
    }

    let scene = Scene::new(Minting::playing([token("T")]).behind_a_door());
    let waiting = verdict(&scene.service, "tba_alice");
    let forget = async {
        settled().await;
        scene.house.auth.forget_identity(&alice.key());
        scene.issuer.open();
    };
    let (got, ()) = tokio::join!(waiting, forget);
    assert_eq!(got, (200, None), "FK8 served");
    assert_eq!(credentials(&scene.upstream), [["Bearer T1"]], "FK8 served");
    assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "FK8 not stored");
}

#[tokio::test]
async fn a_changed_upstream_uses_no_old_entry() {
    let (house, recorder) = (House::new(), Recorder::new());
    let issuer = Minting::playing([token("T")]);
    let tokens = IdpToken::new(&house.auth, issuer.clone());
    let options = in_a_set_of_its_own(ForwardOptions::idp_token(upstream(), tokens));
    let base = options.clone().build().unwrap();
    let service = house.service_of(IdentityForward::new(base.clone()), &recorder);
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "FK8");
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "FK8");
    let (changed, fault) = base.overridden(None, r#"{"max_value_bytes":100}"#);
    assert_eq!(fault, None, "FK8");
    let service = house.service_of(IdentityForward::new(changed), &recorder);
    assert_eq!(verdict(&service, "tba_alice").await, (200, None), "FK8");
    let sent = credentials(&recorder).concat();
    assert_eq!(sent, ["Bearer T1", "Bearer T1", "Bearer T2"], "FK8 old entries unused");
    assert!(options.with_override(&Override::new()).is_ok());
    let (refused, fault) = base.overridden(None, r#"{"mode":"exchange"}"#);
    assert!(fault.is_some());
    let service = house.service_of(IdentityForward::new(refused), &recorder);
    assert_eq!(verdict(&service, "tba_alice").await, (500, Some("forward_misconfigured")), "F169");
    assert_eq!(issuer.calls(), 2, "F169 a refused override asks nobody");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_64_questions_at_once() {
    let scene = Scene::new(Minting::playing([token("T")]).behind_a_door());
    let tokens: Vec<_> = (0..65).map(|user| format!("tba_u{user}")).collect();
    for (user, token) in tokens.iter().enumerate() {
        scene.house.account(token, &format!("acc-{user}"), |row| row);
    }
    let (last, first) = tokens.split_last().unwrap();
    let waiting = verdicts(&scene.service, first.to_vec());
    let one_more = async {
        while scene.issuer.calls() < 64 {
            tokio::task::yield_now().await;
        }
        let (verdict, fields) = call(&scene.service, last).await;
        assert_eq!(verdict, (503, Some("identity_issuer_unavailable")), "FK8 65th flight");
        assert_eq!(fields["retry-after"], "1", "FK8 65th flight");
        scene.issuer.open();
    };
    let (got, ()) = tokio::join!(waiting, one_more);
    assert_eq!(got, [(200, None); 64], "FK8");
    assert_eq!(scene.issuer.calls(), 64, "FK8");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_is_left_alone() {
    let busy = Play::Answer(IssueAnswer::Busy { retry_after: Duration::from_secs(7) });
    let scene = Scene::new(Minting::playing([busy, token("T")]));
    scene.house.account("tba_bob", "acc-bob", |row| row);
    let unavailable = (503, Some("identity_issuer_unavailable"));
    for request in 0..101_u64 {
        let (verdict, fields) = call(&scene.service, "tba_alice").await;
        assert_eq!(verdict, unavailable, "FK9 request {request}");
        let passed = 60 * request.saturating_sub(1);
        let rest = (7_000 - passed).div_ceil(1_000).to_string();
        assert_eq!(fields["retry-after"], *rest, "FK9 request {request}");
        if request > 0 {
            scene.house.clock.advance(Duration::from_millis(60));
        }
    }
    assert_eq!(verdict(&scene.service, "tba_bob").await, unavailable, "FK9 whoever calls");
    assert_eq!(scene.issuer.calls(), 1, "FK9 0 calls");
    scene.house.clock.advance(Duration::from_secs(1));
    assert_eq!(scene.sent("tba_alice").await, bearer("T2"), "FK9 over");
}

#[tokio::test]
async fn breakers() {
    for (name, play) in [
        ("FK9", Play::Fail { may_retry: false }),
        ("F185 invalid", token("a b")),
        ("F185 refuses us", Play::Answer(IssueAnswer::RefusesUs)),
    ] {
        let scene = Scene::new(Minting::playing([play]));
        for _ in 0..20 {
            let got = verdict(&scene.service, "tba_alice").await;
            assert_eq!(got, (503, Some("identity_issuer_unavailable")), "{name}");
        }
        assert_eq!(scene.issuer.calls(), 3, "{name}: open after three in a row");
        scene.issuer.play(token("T"));
        scene.house.clock.advance(Duration::from_millis(750));
        assert_eq!(scene.sent("tba_alice").await, bearer("T4"), "{name}: the probe closes it");
    }
    let scene = Scene::new(Minting::playing([Play::Answer(IssueAnswer::Denied)]));
    for _ in 0..20 {
        assert_eq!(verdict(&scene.service, "tba_alice").await.0, 403, "F185 a no is an answer");
    }
    assert_eq!(scene.issuer.calls(), 20, "F185 a no is an answer");
}
