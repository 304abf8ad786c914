//! How do a user's tokens become new ones, once, and how are they never lost?
//!
//! 1. Runs in a task of its own that no request can end: a refresh token that was sent may count no more, and then the new one
//!    is the only one there is.
//! 2. Before it is sent, a lease in the store keeps other processes from sending it, too.
//! 3. The new pair is stored in up to three tries; until one succeeds it serves from memory.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

use super::decide::{is_valid, refresh_token};
use super::links::Links;
use crate::audit::EventName;
use crate::cache::Trouble;
use crate::clock::Timestamp;
use crate::rejection::Reason;
use crate::secret::Secret;
use crate::store::{RefreshAnswer, Replaced, UserLink};
use crate::subject::SubjectKey;

/// What became of a refresh.
pub(super) enum Refreshed {
    /// This link is to be used.
    Link(UserLink),
    /// Somebody else was at it: this is what is stored now.
    Overtaken(UserLink),
    /// The refresh token counts no more.
    Gone,
    /// There is no new token now.
    Not(Trouble),
}

const ATTEMPT: Duration = Duration::from_secs(3);
const LEASE: Duration = Duration::from_secs(10);
const STORING: Duration = Duration::from_secs(10);
const TRIES: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];

impl Links {
    /// Gets new tokens for `old`, which must be what is stored.
    pub(super) async fn refresh(self: &Arc<Self>, subject: SubjectKey, old: UserLink) -> Refreshed {
        let (tell, hear) = oneshot::channel();
        let this = Arc::clone(self);
        tokio::spawn(async move { this.run(subject, old, tell).await });
        // nothing is told by a task that panicked
        hear.await.unwrap_or_else(|_panicked| Refreshed::Not(Trouble::of(Reason::IssuerError)))
    }

    async fn run(
        self: Arc<Self>,
        subject: SubjectKey,
        old: UserLink,
        tell: oneshot::Sender<Refreshed>,
    ) {
        let refreshed = match self.exchange(&subject, old).await {
            Ok(fresh) => return self.persist(subject, fresh, Some(tell)).await,
            Err(refreshed) => refreshed,
        };
        let _nobody_waits = tell.send(refreshed);
    }

    /// The new link, not stored yet and of the generation that is; or why there is none.
    async fn exchange(&self, subject: &SubjectKey, old: UserLink) -> Result<UserLink, Refreshed> {
        let Some(token) = refresh_token(&old).cloned() else { return Err(Refreshed::Gone) };
        self.health.may_ask(self.clock.now()).map_err(Refreshed::Not)?;
        let leased = self.lease(subject, old).await?;
        let answer = self.attempts(token).await;
        let now = self.clock.now();
        let trouble = match answer {
            Ok(RefreshAnswer::Fresh { access_token, refresh_token, expires_in }) => {
                if access_token.is_sendable() {
                    self.health.answered();
                    self.meter.refreshed("ok");
                    self.tell(EventName::IdentityLinkRefreshed, subject);
                    let fresh = Fresh { access_token, refresh_token, expires_in };
                    return Ok(fresh.over(leased, now.wall()));
                }
                Trouble::of(Reason::IssuerError)
            }
            Ok(RefreshAnswer::Gone) => {
                self.health.answered();
                self.meter.refreshed("gone");
                return Err(self.gone(subject, leased).await);
            }
            Ok(RefreshAnswer::RefusesUs) => {
                self.health.refused_us(now);
                self.meter.refused_us(&self.provider);
                self.tell(EventName::IdentityIssuerRejectedUs, subject);
                Trouble::of(Reason::IssuerRejectedUs)
            }
            Ok(RefreshAnswer::Busy { retry_after }) => {
                self.health.busy(retry_after, now);
                Trouble::of(Reason::IssuerBusy)
            }
            Err(trouble) => trouble,
        };
        if matches!(trouble.reason, Reason::IssuerError | Reason::IssuerDeadline) {
            self.health.failed(now);
        }
        self.meter.refreshed(word(trouble.reason));
        // others need not wait for the lease's end; if this fails, they do
        let _best_effort = self.replace(subject, UserLink { lease_until: None, ..leased }).await;
        Err(Refreshed::Not(trouble))
    }

    /// The link as it is stored once it is ours to refresh.
    async fn lease(&self, subject: &SubjectKey, old: UserLink) -> Result<UserLink, Refreshed> {
        let lease_until = Some(self.clock.now().wall().saturating_add(LEASE));
        let leased = UserLink { lease_until, ..old };
        match self.replace(subject, leased.clone()).await {
            Ok(Replaced::Stored) => Ok(next(leased)),
            Ok(Replaced::Lost(other)) => Err(Refreshed::Overtaken(other)),
            Err(trouble) => Err(Refreshed::Not(trouble)),
        }
    }

    async fn attempts(&self, token: Secret) -> Result<RefreshAnswer, Trouble> {
        let deadline = |_over| Trouble::of(Reason::IssuerDeadline);
        let attempt = || tokio::time::timeout(ATTEMPT, self.issuer.refresh(token.clone()));
        let answer = match attempt().await.map_err(deadline)? {
            Err(failed) if failed.may_retry => attempt().await.map_err(deadline)?,
            answer => answer,
        };
        answer
            .map_err(|failed| Trouble { reason: Reason::IssuerError, source: Some(failed.source) })
    }

    /// The provider will never give new tokens for this one; perhaps the user has signed in again meanwhile.
    async fn gone(&self, subject: &SubjectKey, leased: UserLink) -> Refreshed {
        let now = self.clock.now().wall();
        let newer = |link: &UserLink| link.generation > leased.generation && is_valid(link, now);
        match self.stored(subject).await {
            Ok(Some(link)) if newer(&link) => return Refreshed::Link(link),
            Ok(_) | Err(_) => {}
        }
        let broken = UserLink { broken: true, lease_until: None, ..leased.clone() };
        match self.replace(subject, broken).await {
            Ok(Replaced::Lost(link)) if newer(&link) => return Refreshed::Link(link),
            Ok(_) | Err(_) => {}
        }
        self.tell(EventName::IdentityLinkBroken, subject);
        Refreshed::Gone
    }

    /// Stores a new pair; whoever waits hears after the first try.
    pub(super) async fn persist(
        &self,
        subject: SubjectKey,
        fresh: UserLink,
        mut tell: Option<oneshot::Sender<Refreshed>>,
    ) {
        self.unsaved.keep(&subject, &fresh);
        let mut hear = |refreshed| {
            if let Some(tell) = tell.take() {
                let _nobody_waits = tell.send(refreshed);
            }
        };
        let tries = async {
            for pause in TRIES {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                match self.replace(&subject, fresh.clone()).await {
                    Ok(Replaced::Stored) => {
                        hear(Refreshed::Link(next(fresh.clone())));
                        return true;
                    }
                    Ok(Replaced::Lost(winner)) => {
                        hear(Refreshed::Overtaken(winner));
                        return true;
                    }
                    Err(_) => hear(Refreshed::Link(fresh.clone())),
                }
            }
            false
        };
        let settled = tokio::time::timeout(STORING, tries).await.unwrap_or(false);
        if settled {
            self.unsaved.drop(&subject, &fresh);
        } else {
            self.unsaved.rest(&subject);
            self.meter.not_persisted();
        }
    }
}

/// What a provider gave.
struct Fresh {
    access_token: Secret,
    refresh_token: Option<Secret>,
    expires_in: Option<Duration>,
}

impl Fresh {
    /// In the place of what is stored, whose refresh token stays if there is no new one.
    fn over(self, leased: UserLink, now: Timestamp) -> UserLink {
        let fresh = self.refresh_token.filter(|token| !token.expose().is_empty());
        UserLink {
            access_token: self.access_token,
            refresh_token: fresh.or(leased.refresh_token),
            token_type: "Bearer".to_owned(),
            obtained_at: Some(now),
            expires_at: self.expires_in.map(|span| now.saturating_add(span)),
            lease_until: None,
            broken: false,
            ..leased
        }
    }
}

/// The link as the store has it after it was replaced.
fn next(link: UserLink) -> UserLink {
    UserLink { generation: link.generation.saturating_add(1), ..link }
}

fn word(reason: Reason) -> &'static str {
    if reason == Reason::IssuerDeadline {
        "deadline"
    } else if reason == Reason::IssuerRejectedUs {
        "refuses_us"
    } else if reason == Reason::IssuerBusy {
        "busy"
    } else {
        "error"
    }
}
