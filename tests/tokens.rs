//! A token works from the moment it is issued to the moment it ends, in one process without delay either way.

#![expect(clippy::unwrap_used, reason = "what cannot be set up ends its test")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::audit::{AuditSink, Event};
use tower_bearer::authenticator::{BusState, Revocation};
use tower_bearer::clock::{Clock, ManualClock, Timestamp};
use tower_bearer::id::AccountId;
use tower_bearer::issuing::{IssueError, IssuedToken, Issuer, IssuerError, MintRequest, TtlBounds};
use tower_bearer::stack::BearerCheck;
use tower_bearer::store::{
    AccountStatus, MemoryStore, RevokeReason, RevokeTarget, TokenRecord, TokenStore,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

/// 21 September 2026, 14:13:20 UTC.
const T: Timestamp = Timestamp::from_millis(1_790_000_000_000);

/// How an ended token reads in the audit: a dead row keeps no digest, so nothing is known of it.
const DEAD: Option<&str> = Some("unknown_token");

#[tokio::test]
async fn minted_then_accepted_then_revoked_then_refused() {
    let world = World::new();
    let issued = world.mint(&world.request("laptop")).await;
    let text = issued.token().expose();
    assert_eq!(text.len(), 4 + 43 + 6, "D2");
    assert_eq!(issued.expires_at().as_millis(), T.as_millis() + 1_209_600_000, "D2 14 days");
    assert_eq!(issued.scopes().to_string(), "apps:read", "DT5");
    let shown = format!("{issued:?} {:?} {:?}", issued.token(), world.issuer);
    assert!(!shown.contains(&text[4..]) && shown.contains(issued.id().as_str()), "D21 {shown}");
    let context = world.auth.authenticate(text).await.unwrap();
    let revoked = world.auth.revoke_presented(&context).await.unwrap();
    let want = Revocation::Revoked { id: issued.id().clone(), bus: BusState::NoBus };
    assert_eq!(revoked, want, "D30");
    assert_eq!(world.reason(text).await, DEAD, "D30 P641 refused at once");
    let by_id = RevokeTarget::Id { id: issued.id().clone(), owner: None };
    let again = world.auth.revoke_token(by_id, RevokeReason::Admin).await.unwrap();
    assert_eq!(again, Revocation::AlreadyDead, "P1492 dead already");
    let id = issued.id().as_str();
    let events = [format!("token.minted {id} account:acc-1"), format!("token.revoked {id} -")];
    assert_eq!(world.events(), events, "P1205 D30 one event each");
}

#[tokio::test]
async fn a_rotation_ends_the_old_token_at_once() {
    let world = World::new();
    let first = world.mint(&world.request("laptop")).await;
    assert_eq!(world.reason(first.token().expose()).await, None, "DM10 warm");
    world.clock.advance(Duration::from_secs(1));
    let second = world.mint(&world.request(" laptop ")).await;
    assert_eq!(world.reason(first.token().expose()).await, DEAD, "D13 DM13 D44");
    assert_eq!(world.reason(second.token().expose()).await, None, "D13");
    assert_eq!(second.id(), first.id(), "D13 the id stays");
    assert!(second.serial() > first.serial() && second.is_rotation(), "D13");
    assert!(!first.is_rotation(), "D13");
    let id = first.id().as_str();
    let told = ["token.minted", "token.rotated"].map(|name| format!("{name} {id} account:acc-1"));
    assert_eq!(world.events(), told, "P1205");
}

#[tokio::test]
async fn a_subject_ends_its_other_tokens() {
    let world = World::new();
    let kept = world.mint(&world.request("kept")).await;
    let ended = [world.mint(&world.request("a")).await, world.mint(&world.request("b")).await];
    for token in ended.iter().chain([&kept]) {
        assert_eq!(world.reason(token.token().expose()).await, None, "D32 warm");
    }
    let died = world.auth.revoke_subject(&world.subject, Some(kept.id())).await.unwrap();
    assert_eq!(died.ended(), 2, "D32 DK6");
    for token in &ended {
        assert_eq!(world.reason(token.token().expose()).await, DEAD, "D32");
    }
    assert_eq!(world.reason(kept.token().expose()).await, None, "D32 except");
    let died = world.auth.revoke_subject(&world.subject, None).await.unwrap();
    assert_eq!(died.ended(), 1, "D32");
    assert_eq!(world.reason(kept.token().expose()).await, DEAD, "D32");
    let later = world.mint(&world.request("a")).await;
    assert_eq!(world.reason(later.token().expose()).await, None, "D32 a later one counts");
}

#[tokio::test]
async fn a_token_that_becomes_valid_is_accepted_at_once() {
    let world = World::new();
    let text = world.mint(&world.request("elsewhere")).await.token().expose().to_owned();
    let world = World::new();
    assert_eq!(world.reason(&text).await, Some("unknown_token"), "XR16 a no is remembered");
    assert_eq!(world.reason(&text).await, Some("unknown_token"), "P687");
    assert_eq!(world.asked(), 1, "P687 from the cache");
    let adopted = world.issuer.adopt(&text, &world.request("seeded")).await.unwrap();
    assert_eq!(adopted.token().expose(), text, "P1402");
    assert_eq!(world.reason(&text).await, None, "XR16 minting ends the no at once");
    let again = world.issuer.adopt(&text, &world.request("seeded")).await.unwrap();
    assert!(!again.is_rotation(), "P1402 the same text ends nothing");
    assert_eq!(world.reason(&text).await, None, "P1402");
    let taken = world.issuer.adopt(&text, &world.request("other")).await;
    assert!(matches!(taken, Err(IssueError::Undecidable(Some(_)))), "1.2 unique: {taken:?}");
}

/// A "no" that was read before the token was stored came in after the mint had dropped the old one, and was kept 5 s:
/// dropping an entry did not reach the load in flight.
#[tokio::test]
async fn a_no_on_its_way_does_not_outlive_the_mint() {
    let elsewhere = World::new();
    let text = elsewhere.mint(&elsewhere.request("elsewhere")).await.token().expose().to_owned();
    let world = World::new();
    let held = Arc::clone(&world.answers).acquire_owned().await.unwrap();
    let early = tokio::spawn({
        let (auth, text) = (world.auth.clone(), text.clone());
        async move { auth.authenticate(&text).await.is_err() }
    });
    while world.asked() == 0 {
        tokio::task::yield_now().await;
    }
    world.issuer.adopt(&text, &world.request("seeded")).await.unwrap();
    drop(held);
    assert!(early.await.unwrap(), "XR16 asked before the mint");
    assert_eq!(world.reason(&text).await, None, "XR16 asked after it");
}

#[tokio::test]
async fn a_token_ends_at_its_millisecond() {
    let world = World::new();
    let request = world.request("short").ttl(Duration::from_secs(60));
    let issued = world.mint(&request).await;
    let text = issued.token().expose();
    world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(world.reason(text).await, None, "D50 59.999 s");
    let asked = world.asked();
    world.clock.advance(Duration::from_millis(1));
    let mut checks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (auth, text) = (world.auth.clone(), text.to_owned());
        checks.spawn(async move { auth.authenticate(&text).await.is_err() });
    }
    assert_eq!(checks.join_all().await, [true; 50], "D51 P682");
    let id = issued.id().as_str();
    let events = [format!("token.minted {id} account:acc-1"), format!("token.expired {id} -")];
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.events(), events, "P671 DX2 P690 one event");
    assert!(world.asked() <= asked + 1, "D50 at most one look-up for all");
    assert_eq!(world.store.find(&Digest::of(text)).await, Ok(None), "D51 the digest is gone");
}

#[tokio::test]
async fn an_expired_row_met_twice_is_told_once() {
    let world = World::new();
    let other = World::beside(&world);
    let request = world.request("expired").issued_at(T.saturating_sub(Duration::from_secs(3_660)));
    let issued = world.mint(&request.ttl(Duration::from_secs(60))).await;
    let text = issued.token().expose();
    assert_eq!(issued.expires_at(), T.saturating_sub(Duration::from_secs(3_600)), "DM14 P1413");
    let (one, two) = tokio::join!(world.reason(text), other.reason(text));
    assert_eq!((one, two), (Some("expired"), Some("expired")), "P690 401 both");
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let id = issued.id();
    let told = world.events().into_iter().chain(other.events());
    let expired = told.filter(|event| *event == format!("token.expired {id} -")).count();
    assert_eq!(expired, 1, "P690 exactly one event");
}

#[tokio::test]
async fn nothing_is_issued_that_may_not_be() {
    let world = World::new();
    let suspended = Subject::Account { id: AccountId::new("acc-2").unwrap() };
    let good = world.mint(&world.request("good")).await;
    let (good, changed) = (good.token().expose(), "tba_x");
    let request = world.request("laptop");
    for (name, got, want) in [
        (
            "D18 suspended",
            world.issuer.mint(&world.request_for(suspended, "laptop")).await,
            "account_not_active",
        ),
        (
            "D9",
            world.issuer.mint(&request.clone().ttl(Duration::from_secs(59))).await,
            "mint_policy_violation: ttl",
        ),
        (
            "P1414 a text of another shape",
            world.issuer.adopt(changed, &request).await,
            r#"the text is no token of kind "account""#,
        ),
        (
            "P1414 a text of another kind",
            world.issuer.adopt(&good.replace("tba_", "tbe_"), &request).await,
            r#"the text is no token of kind "account""#,
        ),
    ] {
        assert_eq!(
            got.map(|_| ()).map_err(|error| error.to_string()),
            Err(want.to_owned()),
            "{name}"
        );
    }
    for at in 1..100 {
        world.mint(&world.request(&format!("label {at}"))).await;
    }
    let more = world.issuer.mint(&request).await;
    assert!(matches!(more, Err(IssueError::TooMany)), "D17");
    assert!(world.mint(&world.request("label 7")).await.is_rotation(), "D17 a rotation is no more");
}

#[tokio::test]
async fn an_issuer_is_checked_when_it_is_built() {
    let world = World::new();
    let plain = Authenticator::builder(kinds(), world.store.clone()).build().unwrap();
    assert_eq!(Issuer::new(&plain).unwrap_err(), IssuerError::NoLedger);
    let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
    let bounds = TtlBounds::new(second, 2 * second, day).unwrap();
    let unknown = world.issuer.clone().with_ttl_bounds("zzz", bounds).unwrap_err();
    assert_eq!(unknown, IssuerError::UnknownKind { kind: "zzz".to_owned() });
    let issuer = world.issuer.clone().with_ttl_bounds("account", bounds).unwrap();
    let issued = issuer.mint(&world.request("laptop")).await.unwrap();
    assert_eq!(issued.expires_at(), T.saturating_add(2 * second), "DM7 the kind's own default");
}

#[tokio::test]
async fn dead_unknown_and_expired_tokens_read_the_same() {
    let world = World::new();
    let [revoked, expired] = [world.request("revoked"), world.request("expired")];
    let expired = expired.issued_at(T.saturating_sub(Duration::from_secs(60)));
    let revoked = world.mint(&revoked).await;
    let expired = world.mint(&expired.ttl(Duration::from_secs(60))).await;
    let elsewhere = World::new();
    let unknown = elsewhere.mint(&elsewhere.request("unknown")).await;
    let target = RevokeTarget::Digest(Digest::of(revoked.token().expose()));
    world.auth.revoke_token(target, RevokeReason::Owner).await.unwrap();
    let mut junk = unknown.token().expose().to_owned();
    let last = if junk.ends_with('0') { "1" } else { "0" };
    junk.replace_range(junk.len() - 1.., last);
    let inner = tower::service_fn(async |_: http::Request<String>| {
        Ok::<_, Infallible>(http::Response::new(String::new()))
    });
    let service = BearerCheck::new(&world.auth).layer(inner);
    let mut answers = Vec::new();
    for (text, reason) in [
        (revoked.token().expose(), "unknown_token"),
        (unknown.token().expose(), "unknown_token"),
        (expired.token().expose(), "expired"),
        (&junk, "bad_checksum"),
    ] {
        assert_eq!(world.reason(text).await, Some(reason), "P692");
        let request = http::Request::get("/").header("authorization", format!("Bearer {text}"));
        let answer = service.clone().oneshot(request.body(String::new()).unwrap()).await.unwrap();
        answers.push((answer.status(), answer.headers().clone(), answer.into_body()));
    }
    assert_eq!(answers.first().map(|answer| answer.0.as_u16()), Some(401), "P692");
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "P692 {answers:#?}");
}

/// A store, an authenticator and an issuer over it, at [`T`].
struct World {
    store: MemoryStore,
    auth: Authenticator,
    issuer: Issuer,
    clock: ManualClock,
    subject: Subject,
    asked: Arc<AtomicUsize>,
    /// Whoever holds the permit holds back what the store read.
    answers: Arc<Semaphore>,
    told: Told,
}

impl World {
    fn new() -> Self {
        let store = MemoryStore::new();
        for (id, status) in [("acc-1", AccountStatus::Active), ("acc-2", AccountStatus::Suspended)]
        {
            store.put_account(AccountId::new(id).unwrap(), status);
        }
        Self::over(store, ManualClock::at(T))
    }

    /// Another process, as far as caches are concerned, over the same store.
    fn beside(other: &Self) -> Self {
        Self::over(other.store.clone(), other.clock.clone())
    }

    fn over(store: MemoryStore, clock: ManualClock) -> Self {
        let (told, asked) = (Told::default(), Arc::default());
        let answers = Arc::new(Semaphore::new(1));
        let watched = Watched {
            store: store.clone(),
            asked: Arc::clone(&asked),
            answers: Arc::clone(&answers),
        };
        let auth = Authenticator::builder(kinds(), watched).ledger(store.clone());
        let auth = auth.clock(clock.clone()).audit(told.clone()).build().unwrap();
        let issuer = Issuer::new(&auth).unwrap();
        let subject = Subject::Account { id: AccountId::new("acc-1").unwrap() };
        assert_eq!(clock.now().wall(), T);
        Self { store, auth, issuer, clock, subject, asked, answers, told }
    }

    fn request(&self, label: &str) -> MintRequest {
        self.request_for(self.subject.clone(), label)
    }

    fn request_for(&self, subject: Subject, label: &str) -> MintRequest {
        MintRequest::new("account", subject, "cli", label).scopes(["apps:read"])
    }

    async fn mint(&self, request: &MintRequest) -> IssuedToken {
        self.issuer.mint(request).await.unwrap()
    }

    /// Why the token is refused; `None` if it is accepted.
    async fn reason(&self, text: &str) -> Option<&'static str> {
        self.auth.authenticate(text).await.err().map(|rejection| rejection.reason().as_str())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn events(&self) -> Vec<String> {
        self.told.0.lock().unwrap().clone()
    }
}

fn kinds() -> TokenKinds {
    let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
    let external = TokenKind::new("external").prefix("tbe_").subject(SubjectType::External);
    TokenKinds::builder()
        .kind(account.narrowed(["apps:read"]).checksum())
        .kind(external.fixed(["apps:run"]).checksum())
        .build()
        .unwrap()
}

/// Counts how often a store is asked, and gives what it read one after the other.
struct Watched {
    store: MemoryStore,
    asked: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

impl TokenStore for Watched {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        let found = self.store.find(digest).await;
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _permit = self.answers.acquire().await;
        found
    }
}

/// Events about tokens: name, token id, subject.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl AuditSink for Told {
    fn record(&self, event: &Event<'_>) {
        let (id, subject) = (event.token_id.unwrap_or("-"), event.subject.unwrap_or("-"));
        self.0.lock().unwrap().push(format!("{} {id} {subject}", event.name.as_str()));
    }
}
