//! Whose token is this?
//!
//! 1. The single place where a token becomes an identity; layers, web sockets and jobs take the same steps.
//! 2. Junk is refused by prefix, shape and checksum before anything is hashed or asked.
//! 3. To the outside every refusal is the same; the reason is for the audit alone.
//! 4. What a store cannot answer is undecidable: neither a pass nor a refusal of the token, and remembered nowhere.
//! 5. Once a revocation has returned, a request that arrives afterwards in this process is refused, whatever is in flight.

mod builder;
mod changes;
mod elsewhere;
mod erased;
mod fault;
mod hearing;
mod judge;
mod ledger;
mod revoke;
mod second_tier;
mod shared_value;

pub use self::builder::AuthenticatorBuilder;
pub use self::elsewhere::BusState;
pub use self::fault::BuildError;
pub(crate) use self::ledger::{Ledger, detached, within_deadline};
pub use self::revoke::{Revocation, RevokeError, SubjectRevocation, WorkspaceCut};

use http::header::HeaderName;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;

use crate::audit::{Audit, Event, EventName};
use crate::authenticator::elsewhere::Elsewhere;
use crate::authenticator::second_tier::{SecondTier, Told};
use crate::cache::{CacheSettings, Change, Facts, Forgets, Known, Question, Trouble};
use crate::clock::{Clock, Moment};
use crate::context::{AuthContext, Realm, TokenFacts};
use crate::evidence::Evidence;
use crate::rejection::{Reason, Rejection};
use crate::store::{Hears, TokenRecord, TokenStore};
use crate::subject::Subject;
use crate::token::credential::check_token_text;
use crate::token::{Digest, Kind, TokenKinds};

/// Turns tokens into identities, and remembers what it learned for a while.
///
/// One authenticator serves as many stacks as a service has groups of routes. A clone shares everything and costs one
/// reference count.
///
/// ```
/// use tower_bearer::store::MemoryStore;
/// use tower_bearer::subject::SubjectType;
/// use tower_bearer::token::{TokenKind, TokenKinds};
/// use tower_bearer::Authenticator;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let account = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account).narrowed(["apps:read"]).checksum();
/// let kinds = TokenKinds::builder().kind(account).build()?;
/// let store = MemoryStore::new();
/// let auth = Authenticator::builder(kinds, store.clone()).ledger(store).build()?;
/// # let _ = auth;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

pub(crate) struct Setup {
    kinds: TokenKinds,
    find: Question<Digest, Option<TokenRecord>>,
    ledger: Option<Arc<dyn Ledger>>,
    clock: Arc<dyn Clock>,
    realm: Arc<Realm>,
    tokens: CacheSettings,
    facts: CacheSettings,
    elsewhere: Option<Elsewhere>,
    tells: Vec<Box<dyn Hears>>,
}

struct Shared {
    number: u64,
    kinds: TokenKinds,
    find: Question<Digest, Option<TokenRecord>>,
    ledger: Option<Arc<dyn Ledger>>,
    clock: Arc<dyn Clock>,
    realm: Arc<Realm>,
    tokens: Facts<Digest, Arc<TokenFacts>, Reason>,
    fact_settings: CacheSettings,
    listeners: Mutex<Vec<Weak<dyn Forgets>>>,
    expiring: Arc<Semaphore>,
    elsewhere: Option<Elsewhere>,
    tells: Vec<Box<dyn Hears>>,
}

/// What is known of a token without waiting.
pub(crate) enum Sight {
    Known(Arc<TokenFacts>),
    Refused(Reason),
    Ask(Digest, Kind),
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Rows that may be ended in the background at once; more are left for the next one who meets them.
const EXPIRING: usize = 64;

impl Authenticator {
    /// Starts with the kinds of tokens that are accepted and the store that knows them.
    pub fn builder(kinds: TokenKinds, tokens: impl TokenStore) -> AuthenticatorBuilder {
        AuthenticatorBuilder::new(kinds, tokens)
    }

    fn set_up(setup: Setup) -> Self {
        let concerns = |change: &Change, _: &Digest, facts: Option<&Arc<TokenFacts>>| match change {
            Change::All => true,
            Change::Subject(key) => facts.is_some_and(|facts| facts.subject_key == *key),
            Change::Account(account) => facts.is_some_and(
                |facts| matches!(&facts.subject, Subject::Account { id } if id == account),
            ),
            // said of members and apps, never of a token's own row
            Change::App(_)
            | Change::Member(..)
            | Change::Permit(..)
            | Change::Workspace(_)
            | Change::Caller(_) => false,
        };
        let tokens = Facts::new(setup.tokens, Arc::clone(&setup.clock), concerns);
        let listeners = Mutex::new(vec![tokens.as_forgetful()]);
        let shared = Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            kinds: setup.kinds,
            find: setup.find,
            ledger: setup.ledger,
            clock: setup.clock,
            realm: setup.realm,
            tokens,
            fact_settings: setup.facts,
            listeners,
            expiring: Arc::new(Semaphore::new(EXPIRING)),
            elsewhere: setup.elsewhere,
            tells: setup.tells,
        };
        let shared = Arc::new(shared);
        if let Some(elsewhere) = &shared.elsewhere
            && let Some(bus) = &elsewhere.lines().bus
        {
            elsewhere.run(hearing::listen(Arc::clone(bus), Arc::downgrade(&shared)));
        }
        Self { shared }
    }

    /// Who presents this token? The same answer as the layers give, for code that has no request.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] of kind `InvalidToken` if the token is not accepted; of kind `Undecidable` if nobody could say.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves a load running; its answer enters the cache all the same.
    pub async fn authenticate(&self, token: &str) -> Result<AuthContext, Rejection> {
        let now = self.shared.clock.now();
        let verdict = match check_token_text(token.as_bytes(), self.shared.kinds.max_token_len()) {
            Ok(()) => self.identify(self.look(token, now), now).await,
            Err(error) => Err(Rejection::invalid_token(Reason::from(error))),
        };
        verdict.map_err(|rejection| self.answered(rejection))
    }

    /// Is the caller of this context still who it was? For long streams: ask every 30 s at most.
    ///
    /// # Errors
    ///
    /// As [`authenticate`](Self::authenticate). An anonymous context is refused as a missing credential.
    ///
    /// # Cancel safety
    ///
    /// As [`authenticate`](Self::authenticate).
    pub async fn recheck(&self, context: &AuthContext) -> Result<AuthContext, Rejection> {
        let now = self.shared.clock.now();
        let facts = context.known_caller().map_err(|rejection| self.answered(rejection))?;
        let sight = self.look_up(facts.digest, &facts.kind, now);
        self.identify(sight, now).await.map_err(|rejection| self.answered(rejection))
    }

    /// The kinds of tokens that are accepted.
    pub fn kinds(&self) -> &TokenKinds {
        &self.shared.kinds
    }

    /// Entries of the token cache now, alive or not: live tokens and refused ones. For tests and gauges.
    pub fn cached_tokens(&self) -> (u64, u64) {
        self.shared.tokens.len()
    }

    /// Token loads in flight now. For tests and gauges.
    pub fn loads_in_flight(&self) -> usize {
        self.shared.tokens.loads()
    }

    /// Makes a cache for facts of a layer, which every `forget_` of this authenticator reaches.
    pub(crate) fn facts<K, V, N>(
        &self,
        name: &'static str,
        concerns: fn(&Change, &K, Option<&V>) -> bool,
    ) -> Facts<K, V, N>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        N: Clone + Send + Sync + 'static,
    {
        self.facts_with(|settings| CacheSettings { name, ..settings }, concerns, |_| None)
    }

    /// As [`facts`](Self::facts), with settings of their own, and values that may say how long they count.
    pub(crate) fn facts_with<K, V, N>(
        &self,
        settings: impl FnOnce(CacheSettings) -> CacheSettings,
        concerns: fn(&Change, &K, Option<&V>) -> bool,
        life: fn(&V) -> Option<Duration>,
    ) -> Facts<K, V, N>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        N: Clone + Send + Sync + 'static,
    {
        let settings = settings(self.shared.fact_settings.clone());
        let facts = Facts::with_life(settings, Arc::clone(&self.shared.clock), concerns, life);
        let mut listeners = self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(facts.as_forgetful());
        facts
    }

    pub(crate) fn number(&self) -> u64 {
        self.shared.number
    }

    pub(crate) fn realm(&self) -> &Arc<Realm> {
        &self.shared.realm
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.shared.realm.audit
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    pub(crate) fn read_clock(&self) -> Moment {
        self.shared.clock.now()
    }

    pub(crate) fn credential_header(&self) -> Option<&HeaderName> {
        self.shared.realm.credential_header.as_ref()
    }

    pub(crate) fn ledger(&self) -> Option<&Arc<dyn Ledger>> {
        self.shared.ledger.as_ref()
    }

    pub(crate) fn load_deadline(&self) -> Duration {
        self.shared.fact_settings.deadline
    }

    /// A token was just stored under this digest: an earlier "no" counts no more, nor one that a load in flight brings.
    pub(crate) fn welcome(&self, digest: &Digest) {
        self.shared.tokens.forget_key(digest);
    }

    /// What is known about a token whose text was checked.
    pub(crate) fn look(&self, token: &str, now: Moment) -> Sight {
        match self.shared.kinds.classify(token) {
            Ok(kind) => self.look_up(Digest::of(token), kind, now),
            Err(junk) => Sight::Refused(Reason::from(junk)),
        }
    }

    fn look_up(&self, digest: Digest, kind: &Kind, now: Moment) -> Sight {
        match self.shared.tokens.known(&digest, now) {
            Known::Yes(facts, _) if now.wall() >= facts.expires_at => {
                self.shared.tokens.drop_known(&digest);
                self.expire_later(&facts.token_id, digest, now);
                Sight::Refused(Reason::Expired)
            }
            // the wall clock stepped back: the source must say again what the token is worth
            Known::Yes(facts, _) if now.monotonic_nanos() >= facts.expires_nanos => {
                self.shared.tokens.drop_known(&digest);
                Sight::Ask(digest, kind.clone())
            }
            Known::Yes(facts, _) => Sight::Known(facts),
            Known::No(reason) => Sight::Refused(reason),
            Known::Unknown => Sight::Ask(digest, kind.clone()),
        }
    }

    /// Loads the facts of a token that is not known.
    pub(crate) async fn load(
        &self,
        digest: Digest,
        kind: Kind,
        now: Moment,
    ) -> Result<Arc<TokenFacts>, Rejection> {
        let this = self.clone();
        let ask = move |digest| async move { this.ask(digest, &kind).await };
        let answer = self.shared.tokens.load(digest, now, ask).await;
        answer.map_err(Rejection::from)?.map_err(Rejection::invalid_token)
    }

    /// Asks the store and judges what it says.
    async fn ask(
        &self,
        digest: Digest,
        kind: &Kind,
    ) -> Result<Result<Arc<TokenFacts>, Reason>, Trouble> {
        let asked = self.shared.clock.now();
        let tier = self.second_tier();
        let told = match tier {
            Some(tier) => tier.find(digest, kind, asked).await,
            None => Told::Silent,
        };
        let (record, ends, keeps) = match told {
            Told::Buried => return Ok(Err(Reason::Revoked)),
            Told::Record(record, ends) => (Some(*record), Some(ends), None),
            Told::Nothing => (self.shared.find.ask(digest).await?, None, tier),
            Told::Silent => (self.shared.find.ask(digest).await?, None, None),
        };
        let now = self.shared.clock.now();
        let id = record.as_ref().map(|record| record.id.clone());
        let kept = keeps.and_then(|tier| Some((tier, record.clone()?)));
        let mut verdict = judge::judge(record, kind, &digest, now);
        if let (Ok(facts), Some(ends)) = (&mut verdict, ends) {
            facts.end_at(ends, now);
        }
        let verdict = verdict.map(Arc::new);
        if let (Some((tier, record)), Ok(_)) = (kept, &verdict) {
            tier.keep(digest, &record, now).await;
        }
        match (&verdict, id) {
            (Err(Reason::Expired), Some(id)) => self.expire_later(&id, digest, now),
            (Err(reason @ Reason::KindMismatch), Some(id)) => self.audit().record(&Event {
                reason: Some(reason.as_str()),
                kind: Some(kind.name()),
                token_id: Some(id.as_str()),
                ..Event::new(EventName::TokenKindMismatch, now.wall())
            }),
            _ => {}
        }
        Ok(verdict)
    }

    async fn identify(&self, sight: Sight, now: Moment) -> Result<AuthContext, Rejection> {
        let (facts, loaded) = match sight {
            Sight::Known(facts) => (facts, false),
            Sight::Refused(reason) => return Err(Rejection::invalid_token(reason)),
            Sight::Ask(digest, kind) => (self.load(digest, kind, now).await?, true),
        };
        let mut context = AuthContext::new(Arc::clone(self.realm()), self.number(), now);
        context.caller = Some(facts);
        context.loaded = loaded;
        context.evidence = Evidence::AUTHENTICATED;
        Ok(context)
    }

    fn answered(&self, mut rejection: Rejection) -> Rejection {
        rejection.answered_by(&self.realm().answers);
        rejection
    }

    /// Forgets what a change concerns, in this process alone; nothing older is read from the shared cache either.
    fn forget_here(&self, change: &Change) {
        if let Some(tier) = self.second_tier() {
            // before the caches: a load that starts after them reads nothing older
            tier.distrust(change, self.shared.clock.now());
        }
        self.drop_from_caches(change);
    }

    fn drop_from_caches(&self, change: &Change) {
        let listeners =
            self.shared.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.forget(change);
        }
        // last: whoever reads the new epoch finds the caches as the change left them
        self.shared.realm.epoch.fetch_add(1, Ordering::Release);
    }

    fn second_tier(&self) -> Option<&SecondTier> {
        self.shared.elsewhere.as_ref()?.lines().tier.as_deref()
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("kinds", &self.shared.kinds).finish_non_exhaustive()
    }
}
