//! The user's own access token of an identity provider, kept fresh (OpenID Connect Core §12, RFC 6749 §6).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::credential::{Asked, Credential, Mints, Obtaining};
use super::decide::is_for;
use super::health::Health;
use super::links::{Held, Links};
use super::refusal::{Refusal, no_answer, no_link, wrong_audience};
use super::unsaved::Unsaved;
use crate::authenticator::Authenticator;
use crate::cache::{CacheSettings, Change, Facts, Known, Trouble};
use crate::clock::Moment;
use crate::forward::error::ConfigError;
use crate::metrics::MintMeter;
use crate::rejection::{Reason, Rejection};
use crate::secret::Secret;
use crate::store::{OidcProvider, UserLinkStore};
use crate::subject::SubjectKey;

/// Mode `user_oidc`: the user's own access token, as a sign-in with an identity provider left it, refreshed in time.
///
/// A clone shares links and refreshes: make one for each provider, and clone it for each upstream, so that a process uses a refresh
/// token once. Processes that share the store keep out of each other's way by a lease. Users without a link are refused as
/// `identity_login_required`, those whose link will not be refreshed any more as `identity_reauth_required`.
#[derive(Clone)]
#[must_use]
pub struct UserOidc {
    links: Arc<Links>,
    facts: Facts<SubjectKey, Arc<Held>, Refusal>,
    audience: Audience,
}

#[derive(Clone, Debug)]
enum Audience {
    Undecided,
    One(Arc<str>),
    Any,
}

const DEADLINE: Duration = Duration::from_secs(5);

impl UserOidc {
    /// Links of one provider, by the name that the store knows it by; where they are kept, and who gives new tokens.
    ///
    /// An audience must be said as well: [`for_audience`](Self::for_audience).
    pub fn new(
        auth: &Authenticator,
        provider_name: impl Into<String>,
        store: impl UserLinkStore,
        provider: impl OidcProvider,
    ) -> Self {
        let links = Links {
            provider: provider_name.into(),
            store: Box::new(store),
            issuer: Box::new(provider),
            clock: Arc::clone(auth.clock()),
            audit: auth.audit().clone(),
            health: Health::default(),
            unsaved: Unsaved::default(),
            meter: MintMeter::default(),
        };
        let settings = |settings| CacheSettings {
            name: "link",
            negative_ttl: Duration::ZERO,
            negative_capacity: 1,
            capacity: 10_000,
            deadline: DEADLINE,
            max_loads: 64,
            max_waiting: 0,
            ..settings
        };
        let facts = auth.facts_with(settings, concerns, |held| Some(held.life));
        Self { links: Arc::new(links), facts, audience: Audience::Undecided }
    }

    /// Sends a token only if it was made for this audience: the link says so, or the token itself if it is a JWT.
    pub fn for_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Audience::One(audience.into().into());
        self
    }

    /// Sends the token whomever it was made for: this upstream can then do whatever the user's token can do elsewhere.
    pub fn dangerously_any_audience(mut self) -> Self {
        self.audience = Audience::Any;
        self
    }

    /// The token itself, for an exchange.
    pub(super) fn token(
        &self,
        asked: &Asked<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<Secret, Rejection>> + Send>> {
        let subject = asked.context.subject_key().cloned();
        let (this, now) = (self.clone(), asked.now);
        Box::pin(async move {
            let held = this.held(subject.ok_or_else(Rejection::anonymous)?, now).await?;
            Ok(held.token())
        })
    }

    async fn held(self, subject: SubjectKey, now: Moment) -> Result<Arc<Held>, Rejection> {
        let links = Arc::clone(&self.links);
        let answer = self.facts.load(subject, now, |subject| links.usable(subject)).await;
        let pause = || self.links.health.pause(self.links.clock.now());
        let held = match answer {
            Ok(Ok(held)) => held,
            Ok(Err(refusal)) => return Err(refusal.rejection(pause())),
            Err(trouble) if is_of_store(&trouble) => return Err(no_link(trouble)),
            Err(trouble) => return Err(no_answer(trouble, pause())),
        };
        self.is_meant(&held)?;
        Ok(held)
    }

    /// Computed for each request: upstreams share the links, and each has its own audience.
    fn is_meant(&self, held: &Held) -> Result<(), Rejection> {
        match &self.audience {
            Audience::One(audience) if is_for(&held.link, audience) => Ok(()),
            Audience::Any => Ok(()),
            Audience::One(_) | Audience::Undecided => Err(wrong_audience()),
        }
    }
}

impl Mints for UserOidc {
    fn known(&self, asked: &Asked<'_>) -> Option<Result<Credential, Rejection>> {
        let Some(subject) = asked.context.subject_key() else {
            return Some(Err(Rejection::anonymous()));
        };
        match self.facts.known(subject, asked.now) {
            Known::Yes(held, _) => {
                self.links.meter.looked(asked.upstream.name(), "hit");
                Some(self.is_meant(&held).map(|()| held.credential.clone()))
            }
            Known::No(_) | Known::Unknown => None,
        }
    }

    fn obtain(&self, asked: &Asked<'_>) -> Obtaining {
        self.links.meter.looked(asked.upstream.name(), "miss");
        let subject = asked.context.subject_key().cloned();
        let (this, now) = (self.clone(), asked.now);
        Box::pin(async move {
            let held = this.held(subject.ok_or_else(Rejection::anonymous)?, now).await?;
            Ok(held.credential.clone())
        })
    }

    fn refused(&self, asked: &Asked<'_>, digest: &[u8; 32]) {
        if let Some(subject) = asked.context.subject_key() {
            self.facts.drop_known_if(subject, |held| held.credential.digest == *digest);
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        const SETTING: &str = "audience";
        match &self.audience {
            Audience::Undecided => Err(ConfigError::NoAudience),
            Audience::One(audience) if audience.is_empty() => {
                Err(ConfigError::Value { setting: SETTING })
            }
            Audience::One(_) | Audience::Any => Ok(()),
        }
    }
}

impl fmt::Debug for UserOidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserOidc")
            .field("provider", &self.links.provider)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

fn is_of_store(trouble: &Trouble) -> bool {
    matches!(trouble.reason, Reason::StoreError | Reason::Deadline)
}

fn concerns(change: &Change, of: &SubjectKey, _: Option<&Arc<Held>>) -> bool {
    match change {
        Change::All => true,
        Change::Subject(key) => of == key,
        Change::Caller(subject) => of.is_of(subject),
        Change::Account(id) => of.as_str().strip_prefix("account:") == Some(id.as_str()),
        Change::App(_) | Change::Member(..) | Change::Permit(..) | Change::Workspace(_) => false,
    }
}
