//! The settings of an authenticator, each checked before anything is built.

use http::header::HeaderName;
use http::request::Parts;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::runtime::Handle;

use crate::audit::{Audit, AuditSink, TracingSink};
use crate::authenticator::elsewhere::{Elsewhere, Lines};
use crate::authenticator::erased::{Bus, Tier};
use crate::authenticator::fault::{BuildError, within};
use crate::authenticator::second_tier::{SecondTier, TierSetup, is_name};
use crate::authenticator::{Authenticator, Ledger, Setup};
use crate::cache::{CacheSettings, Question};
use crate::clock::{Clock, SystemClock};
use crate::context::{Realm, RouteOf};
use crate::metrics::Decisions;
use crate::rejection::{Answers, Settings};
use crate::store::{ContextStore, Hears, RevocationBus, TokenLedger, TokenRecord, TokenStore};
use crate::token::credential::may_hold_token;
use crate::token::{Digest, TokenKinds};

/// Collects the settings of an [`Authenticator`].
#[must_use = "an authenticator is made by `build`"]
pub struct AuthenticatorBuilder {
    kinds: TokenKinds,
    find: Question<Digest, Option<TokenRecord>>,
    ledger: Option<Arc<dyn Ledger>>,
    clock: Arc<dyn Clock>,
    sink: Box<dyn AuditSink>,
    answers: Settings,
    route: Option<Arc<RouteOf>>,
    credential_header: Option<HeaderName>,
    tokens: CacheSettings,
    facts: CacheSettings,
    allowed_sample: f64,
    denied_per_second: u32,
    name: Option<String>,
    bus: Option<Arc<dyn Bus>>,
    shared_cache: Option<Arc<dyn Tier>>,
    shared_cache_deadline: Duration,
    tells: Vec<Box<dyn Hears>>,
}

impl AuthenticatorBuilder {
    pub(super) fn new(kinds: TokenKinds, tokens: impl TokenStore) -> Self {
        let second = Duration::from_secs(1);
        let token_settings = CacheSettings {
            name: "token",
            ttl: 30 * second,
            negative_ttl: 5 * second,
            jitter: 100,
            capacity: 50_000,
            negative_capacity: 10_000,
            deadline: Duration::from_millis(250),
            max_loads: 64,
            max_waiting: 1_024,
            tombstone_life: 60 * second,
            tombstone_capacity: 65_536,
        };
        Self {
            kinds,
            find: Question::to(tokens, |store, digest| async move { store.find(&digest).await }),
            ledger: None,
            clock: Arc::new(SystemClock::new()),
            sink: Box::new(TracingSink::new()),
            answers: Settings::default(),
            route: None,
            credential_header: None,
            facts: CacheSettings { name: "fact", ttl: 10 * second, ..token_settings.clone() },
            tokens: token_settings,
            allowed_sample: 0.01,
            denied_per_second: 100,
            name: None,
            bus: None,
            shared_cache: None,
            shared_cache_deadline: Duration::from_millis(25),
            tells: Vec::new(),
        }
    }

    /// The store that tokens are minted and revoked in. Without one `revoke_token` and an issuer are not to be had.
    pub fn ledger(mut self, ledger: impl TokenLedger) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// Where this process tells of revocations and changes, and hears of those of others. Default: none.
    ///
    /// With one a token that was ended here is refused everywhere as soon as the notice has come round; without one when its
    /// cached facts end. [`build`](Self::build) then needs a tokio runtime: it starts a task there, which ends with the
    /// authenticator.
    pub fn bus(mut self, bus: impl RevocationBus) -> Self {
        self.bus = Some(Arc::new(bus));
        self
    }

    /// A store inside this process that is changed by what the bus tells of others. Default: none.
    ///
    /// For a [`MemoryStore`](crate::store::MemoryStore) in each of several processes. A store that they share needs none of it.
    pub fn tells(mut self, store: impl Hears) -> Self {
        self.tells.push(Box::new(store));
        self
    }

    /// A second tier of the token cache, which several processes share. Default: none.
    ///
    /// Needs a [`name`](Self::name) and, as a [`bus`](Self::bus) does, a tokio runtime. A token that one process has looked up
    /// is known to the others, for no longer than it would be to the first. It is never needed for an answer.
    pub fn shared_cache(mut self, cache: impl ContextStore) -> Self {
        self.shared_cache = Some(Arc::new(cache));
        self
    }

    /// How long the shared cache may take for each call, 5 to 250 ms. Default 25 ms; then the source is asked.
    pub fn shared_cache_deadline(mut self, deadline: Duration) -> Self {
        self.shared_cache_deadline = deadline;
        self
    }

    /// What tells this authenticator's entries in a shared cache from others': 1 to 32 of `a-z`, `0-9` and `-`. Default: none.
    ///
    /// Give one name to all that ask the same store by the same rules, and to nobody else. Kinds of tokens are told apart by
    /// themselves: after one of them was declared anew, older entries are not found any more.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Where time comes from. Default: the operating system.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where events go. Default: `tracing`, target `tower_bearer::audit`.
    pub fn audit(mut self, sink: impl AuditSink) -> Self {
        self.sink = Box::new(sink);
        self
    }

    /// The share of passes that are told as `auth.allowed`, 0 to 1. Default 0.01.
    pub fn audit_allowed_sample(mut self, share: f64) -> Self {
        self.allowed_sample = share;
        self
    }

    /// How many refusals of one reason are told per second, 1 to 1,000,000. Default 100.
    pub fn audit_denied_per_second(mut self, most: u32) -> Self {
        self.denied_per_second = most;
        self
    }

    /// Names the route of a request, e.g. `/apps/{app}`: field `route` of the audit's events and label `route` of the metrics.
    ///
    /// One of a few constants for any request, never text of the request itself. It is given the head as the steps left it;
    /// called for each event that is told and, with feature `metrics`, for each decision; a panic reaches the service's panic
    /// catcher. Default: none, so events have no route and the label is `-`.
    ///
    /// ```
    /// # use tower_bearer::authenticator::AuthenticatorBuilder;
    /// # fn example(builder: AuthenticatorBuilder) {
    /// let builder = builder.route(|head| match head.uri.path() {
    ///     "/me" => "/me",
    ///     path if path.starts_with("/apps/") => "/apps/{app}",
    ///     _ => "other",
    /// });
    /// # let _ = builder; }
    /// ```
    pub fn route(mut self, route: impl Fn(&Parts) -> &'static str + Send + Sync + 'static) -> Self {
        self.route = Some(Arc::new(route));
        self
    }

    /// The realm in challenges, 1 to 128 printable ASCII characters. Default `api`.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.answers.realm = realm.into();
        self
    }

    /// Makes problem types this base and the error word, instead of `about:blank`. It must end in `/`.
    pub fn problem_base(mut self, base: impl Into<String>) -> Self {
        self.answers.problem_base = Some(base.into());
        self
    }

    /// The address of the protected resource metadata (RFC 9728 §5.1), told in each challenge. Default: none.
    pub fn resource_metadata(mut self, uri: impl Into<String>) -> Self {
        self.answers.resource_metadata = Some(uri.into());
        self
    }

    /// `Retry-After` of a 503, 1 to 60 whole seconds. Default 1 s.
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.answers.retry_after = after;
        self
    }

    /// One more header that a token may come in, its value the token alone. Default: none.
    ///
    /// Answers then carry `Vary` for it, and `Cache-Control: private` where the service set none.
    pub fn credential_header(mut self, name: HeaderName) -> Self {
        self.credential_header = Some(name);
        self
    }

    /// How long a token's facts are believed, 0 (off) to 300 s. Default 30 s.
    ///
    /// Longer means later revocation where the revocation was made outside this process.
    pub fn positive_ttl(mut self, ttl: Duration) -> Self {
        self.tokens.ttl = ttl;
        self
    }

    /// How much of a life may be taken off at random so that entries do not end together, 0 to 0.5. Default 0.1.
    pub fn ttl_jitter(mut self, share: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is checked by build"
        )]
        let thousandths = (share * 1_000.0).round() as u64;
        let thousandths = if share < 0.0 || share.is_nan() { u64::MAX } else { thousandths };
        self.tokens.jitter = thousandths;
        self.facts.jitter = thousandths;
        self
    }

    /// How long a definite "no" is believed, 0 (off) to 30 s. Default 5 s.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.tokens.negative_ttl = ttl;
        self.facts.negative_ttl = ttl;
        self
    }

    /// How long facts of apps, members, picks and callers are believed, 0 (off) to 60 s. Default 10 s.
    pub fn fact_ttl(mut self, ttl: Duration) -> Self {
        self.facts.ttl = ttl;
        self
    }

    /// Token entries, 1 to 10,000,000. Default 50,000.
    pub fn context_capacity(mut self, entries: u64) -> Self {
        self.tokens.capacity = entries;
        self
    }

    /// Refused-token entries, 1 to 10,000,000. Default 10,000.
    pub fn negative_capacity(mut self, entries: u64) -> Self {
        self.tokens.negative_capacity = entries;
        self.facts.negative_capacity = entries;
        self
    }

    /// Entries of each fact cache, 1 to 10,000,000. Default 50,000.
    pub fn fact_capacity(mut self, entries: u64) -> Self {
        self.facts.capacity = entries;
        self
    }

    /// How long a store may take to answer, waiting for a place included; 10 ms to 5 s. Default 250 ms.
    pub fn load_deadline(mut self, deadline: Duration) -> Self {
        self.tokens.deadline = deadline;
        self.facts.deadline = deadline;
        self
    }

    /// How many loads of one store run at once, 1 to 1,024. Default 64.
    pub fn max_loads(mut self, loads: usize) -> Self {
        self.tokens.max_loads = loads;
        self.facts.max_loads = loads;
        self
    }

    /// How many more keys may wait for a load, 0 to 65,536; the next is undecidable at once. Default 1,024.
    pub fn max_waiting_keys(mut self, keys: usize) -> Self {
        self.tokens.max_waiting = keys;
        self.facts.max_waiting = keys;
        self
    }

    /// How long a revoked token is refused whatever its store says; `positive_ttl` + `load_deadline` to 600 s. Default 60 s.
    pub fn tombstone_life(mut self, life: Duration) -> Self {
        self.tokens.tombstone_life = life;
        self
    }

    /// How many revoked tokens are remembered so, 1,024 to 1,000,000; one more drops the whole cache. Default 65,536.
    pub fn tombstone_capacity(mut self, most: usize) -> Self {
        self.tokens.tombstone_capacity = most;
        self
    }

    /// Checks every setting and builds.
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the first setting that is out of range, or what is missing for a bus or a shared cache.
    pub fn build(self) -> Result<Authenticator, BuildError> {
        self.check_ranges()?;
        if self.credential_header.as_ref().is_some_and(|name| !may_hold_token(name)) {
            return Err(BuildError::BadCredentialHeader);
        }
        match &self.name {
            Some(name) if !is_name(name) => return Err(BuildError::BadName),
            None if self.shared_cache.is_some() => return Err(BuildError::NoName),
            Some(_) | None => {}
        }
        let answers = Arc::new(Answers::new(self.answers)?);
        let audit = Audit::new(self.sink, self.allowed_sample, self.denied_per_second);
        let elsewhere = match (self.bus, self.shared_cache) {
            (None, None) => None,
            (bus, tier) => {
                let runtime = Handle::try_current().map_err(|_off| BuildError::NoRuntime)?;
                let tier = tier.map(|tier| {
                    let setup = TierSetup {
                        tier,
                        name: self.name.unwrap_or_default(),
                        deadline: self.shared_cache_deadline,
                        ttl: self.tokens.ttl,
                        load_deadline: self.tokens.deadline,
                        tombstone_life: self.tokens.tombstone_life,
                    };
                    Arc::new(SecondTier::new(setup, &self.kinds))
                });
                let lines = Lines::new(bus, tier, audit.clone(), Arc::clone(&self.clock));
                Some(Elsewhere::new(lines, runtime))
            }
        };
        Ok(Authenticator::set_up(Setup {
            kinds: self.kinds,
            find: self.find,
            ledger: self.ledger,
            realm: Arc::new(Realm {
                answers,
                audit,
                clock: Arc::clone(&self.clock),
                credential_header: self.credential_header,
                epoch: Arc::new(AtomicU64::new(0)),
                route: self.route,
                decisions: Decisions::default(),
            }),
            clock: self.clock,
            tokens: self.tokens,
            facts: self.facts,
            elsewhere,
            tells: self.tells,
        }))
    }

    fn check_ranges(&self) -> Result<(), BuildError> {
        let second = Duration::from_secs(1);
        let ms = Duration::from_millis;
        let (tokens, facts) = (&self.tokens, &self.facts);
        let entries = 1..=10_000_000;
        let least_grave = tokens.ttl.saturating_add(tokens.deadline);
        within("audit_allowed_sample", &self.allowed_sample, 0.0..=1.0, "0 to 1")?;
        within(
            "audit_denied_per_second",
            &self.denied_per_second,
            1..=1_000_000,
            "1 to 1,000,000",
        )?;
        within("positive_ttl", &tokens.ttl, Duration::ZERO..=300 * second, "0 to 300 s")?;
        within("ttl_jitter", &tokens.jitter, 0..=500, "0 to 0.5")?;
        within("negative_ttl", &tokens.negative_ttl, Duration::ZERO..=30 * second, "0 to 30 s")?;
        within("fact_ttl", &facts.ttl, Duration::ZERO..=60 * second, "0 to 60 s")?;
        within("context_capacity", &tokens.capacity, entries.clone(), "1 to 10,000,000")?;
        within("negative_capacity", &tokens.negative_capacity, entries.clone(), "1 to 10,000,000")?;
        within("fact_capacity", &facts.capacity, entries, "1 to 10,000,000")?;
        within("load_deadline", &tokens.deadline, ms(10)..=5 * second, "10 ms to 5 s")?;
        within(
            "shared_cache_deadline",
            &self.shared_cache_deadline,
            ms(5)..=ms(250),
            "5 to 250 ms",
        )?;
        within("max_loads", &tokens.max_loads, 1..=1_024, "1 to 1,024")?;
        within("max_waiting_keys", &tokens.max_waiting, 0..=65_536, "0 to 65,536")?;
        within(
            "tombstone_life",
            &tokens.tombstone_life,
            least_grave..=600 * second,
            "positive_ttl + load_deadline to 600 s",
        )?;
        within(
            "tombstone_capacity",
            &tokens.tombstone_capacity,
            1_024..=1_000_000,
            "1,024 to 1,000,000",
        )
    }
}

impl fmt::Debug for AuthenticatorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatorBuilder")
            .field("answers", &self.answers)
            .field("credential_header", &self.credential_header)
            .field("audit_allowed_sample", &self.allowed_sample)
            .field("audit_denied_per_second", &self.denied_per_second)
            .field("name", &self.name)
            .field("shared_cache_deadline", &self.shared_cache_deadline)
            .field("tokens", &self.tokens)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}
