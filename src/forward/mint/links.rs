//! How is a user's link found that may be used now?
//!
//! 1. The store is asked at most once per subject and 10 s, in a task of its own, 250 ms a call.
//! 2. A link that needs new tokens gets them there, so that a process asks its provider once, whoever waits.
//! 3. Another process that is at it is waited for.
//! 4. Without new tokens the old one serves while more than 30 s of it are left.

use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

use super::decide::{Next, decide, is_leased, lasts};
use super::erased::{KeepsLinks, Refreshes};
use super::health::Health;
use super::refresh::Refreshed;
use super::refusal::Refusal;
use super::unsaved::{Instead, Unsaved};
use crate::audit::{Audit, Event, EventName};
use crate::cache::{Answer, Source, Trouble};
use crate::clock::Clock;
use crate::metrics::MintMeter;
use crate::rejection::Reason;
use crate::secret::Secret;
use crate::store::{Replaced, UserLink};
use crate::subject::SubjectKey;

use super::credential::Credential;

/// The links of one provider's users.
pub(super) struct Links {
    pub(super) provider: String,
    pub(super) store: Box<dyn KeepsLinks>,
    pub(super) issuer: Box<dyn Refreshes>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) audit: Audit,
    pub(super) health: Health,
    pub(super) unsaved: Unsaved,
    pub(super) meter: MintMeter,
}

/// A link that may be used for a while, and its token as it is sent.
pub(super) struct Held {
    pub(super) link: UserLink,
    pub(super) credential: Credential,
    /// How long the store need not be asked again; zero: those alone who waited for it may use it.
    pub(super) life: Duration,
}

const CALL: Duration = Duration::from_millis(250);
const RENEWING: Duration = Duration::from_millis(4_500);
const LOOKS: Duration = Duration::from_millis(200);

impl Links {
    /// The link of a subject, with new tokens if it needs some.
    pub(super) async fn usable(self: Arc<Self>, subject: SubjectKey) -> Answer<Arc<Held>, Refusal> {
        let Some(link) = self.current(&subject).await? else { return Ok(Err(Refusal::Login)) };
        match decide(&link, self.clock.now().wall()) {
            Next::Send(life) => return held(link, life),
            Next::Reauth => return Ok(Err(Refusal::Reauth)),
            Next::Refresh => {}
        }
        let trouble = match timeout(RENEWING, self.renewed(&subject, link.clone())).await {
            Ok(Ok(settled)) => return settled,
            Ok(Err(trouble)) => trouble,
            Err(_over) => Trouble::of(Reason::IssuerDeadline),
        };
        // the old one, for this time; whoever comes next asks again
        if lasts(&link, self.clock.now().wall()) {
            held(link, Duration::ZERO)
        } else {
            Err(trouble)
        }
    }

    /// The link once it was refreshed, here or elsewhere; an error if there are no new tokens now.
    async fn renewed(
        self: &Arc<Self>,
        subject: &SubjectKey,
        mut link: UserLink,
    ) -> Result<Answer<Arc<Held>, Refusal>, Trouble> {
        loop {
            match decide(&link, self.clock.now().wall()) {
                Next::Send(life) => return Ok(held(link, life)),
                Next::Reauth => return Ok(Ok(Err(Refusal::Reauth))),
                Next::Refresh => {}
            }
            if is_leased(&link, self.clock.now().wall()) {
                sleep(LOOKS).await;
                match self.stored(subject).await? {
                    Some(newer) => link = newer,
                    None => return Ok(Ok(Err(Refusal::Login))),
                }
                continue;
            }
            match self.refresh(subject.clone(), link).await {
                // however short its life is, it was just got
                Refreshed::Link(fresh) => {
                    let life = match decide(&fresh, self.clock.now().wall()) {
                        Next::Send(life) => life,
                        Next::Refresh | Next::Reauth => Duration::ZERO,
                    };
                    return Ok(held(fresh, life));
                }
                Refreshed::Overtaken(other) => link = other,
                Refreshed::Gone => return Ok(Ok(Err(Refusal::Reauth))),
                Refreshed::Not(trouble) => return Err(trouble),
            }
        }
    }

    /// What is stored, or what could not be stored yet.
    async fn current(self: &Arc<Self>, subject: &SubjectKey) -> Result<Option<UserLink>, Trouble> {
        let stored = self.stored(subject).await;
        let said = stored.as_ref().ok().map(Option::as_ref);
        match self.unsaved.instead_of(subject, said) {
            Instead::Nothing => stored,
            Instead::Link(link) => Ok(Some(link)),
            Instead::Forsaken(link) => {
                let (this, subject, unsaved) = (Arc::clone(self), subject.clone(), link.clone());
                tokio::spawn(async move { this.persist(subject, unsaved, None).await });
                Ok(Some(link))
            }
        }
    }

    pub(super) async fn stored(&self, subject: &SubjectKey) -> Result<Option<UserLink>, Trouble> {
        in_time(self.store.load(subject, &self.provider)).await
    }

    /// Puts `link` in the place of the one of its generation.
    pub(super) async fn replace(
        &self,
        subject: &SubjectKey,
        link: UserLink,
    ) -> Result<Replaced, Trouble> {
        in_time(self.store.replace(subject, &self.provider, link)).await
    }

    pub(super) fn tell(&self, name: EventName, subject: &SubjectKey) {
        if self.audit.wants(name) {
            self.audit.record(&Event {
                subject: Some(subject.as_str()),
                upstream: Some(&self.provider),
                ..Event::new(name, self.clock.now().wall())
            });
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Source>>) -> Result<T, Trouble> {
    match timeout(CALL, call).await {
        Ok(answer) => answer.map_err(Trouble::store),
        Err(_over) => Err(Trouble::of(Reason::Deadline)),
    }
}

fn held(link: UserLink, life: Duration) -> Answer<Arc<Held>, Refusal> {
    let is_bearer = link.token_type.is_empty() || link.token_type.eq_ignore_ascii_case("bearer");
    let credential = Some(&link.access_token).filter(|_| is_bearer).and_then(Credential::new);
    let credential = credential.ok_or_else(|| Trouble::of(Reason::IssuerError))?;
    Ok(Ok(Arc::new(Held { link, credential, life })))
}

impl Held {
    pub(super) fn token(&self) -> Secret {
        self.link.access_token.clone()
    }
}
