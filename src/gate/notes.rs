//! What a step leaves for the way back: fields that the answer gets, whoever makes it.

use http::header::{CACHE_CONTROL, HeaderName, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::fmt;
use std::sync::Arc;

use crate::clock::Moment;
use crate::context::{Realm, Recall};
use crate::gate::refuse::{RefusalBody, told};
use crate::rejection::Rejection;
use crate::token::Fingerprint;

/// Notes of one request; most requests leave none or one.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pub(crate) now: Option<Moment>,
    /// The request is a HEAD: its answer has no body.
    pub(crate) bodiless: bool,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) vary: Option<Arc<Vary>>,
    pub(crate) limits: Vec<LimitNote>,
    /// How a refusal in place of the answer reads.
    pub(crate) realm: Option<Arc<Realm>>,
    pub(super) after: Option<Arc<dyn After>>,
    /// What later steps do to the answer: before `after` does, and the last one first.
    pub(super) more: Vec<Arc<dyn After>>,
    /// What the token's last request learned, and what this one did.
    pub(crate) recall: Option<Arc<Recall>>,
    pub(crate) learned: Option<Box<Recall>>,
    pub(crate) epoch: u64,
}

/// The fields of one limiter.
#[derive(Clone, Debug)]
pub(crate) struct LimitNote {
    pub(crate) policy: HeaderValue,
    pub(crate) state: HeaderValue,
}

/// Which request fields the answer depends on.
#[derive(Debug)]
pub(crate) struct Vary {
    pub(crate) names: Vec<HeaderValue>,
    /// The credential is in a field that shared caches do not know: keep the answer private.
    pub(crate) private: bool,
}

/// Something a step does to each answer.
pub(crate) trait After: Send + Sync {
    /// `refusal` is the rejection of this crate that made the answer, if one did. Gives back what is answered instead, if the
    /// answer may not be told.
    fn apply(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        refusal: Option<&Rejection>,
    ) -> Option<Rejection>;
}

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Notes {
    pub(crate) fn limit(&mut self, note: LimitNote) {
        self.limits.push(note);
    }

    /// Has something done to the answer. Later steps stand further inside, so theirs is done first.
    pub(crate) fn afterwards(&mut self, after: Arc<dyn After>) {
        match &self.after {
            None => self.after = Some(after),
            Some(_) => self.more.push(after),
        }
    }

    /// Where a step puts a fact that the next request of this token can use.
    pub(crate) fn learned(&mut self) -> &mut Recall {
        let epoch = self.epoch;
        self.learned.get_or_insert_with(|| Box::new(Recall { epoch, ..Recall::default() }))
    }

    /// Writes the notes to an answer, or to what is answered in its place.
    pub(crate) fn apply<B, M: RefusalBody<B>>(&mut self, response: &mut http::Response<B>) {
        for after in self.more.drain(..).rev().chain(self.after.take()) {
            let refusal = response.extensions().get::<Rejection>().cloned();
            let status = response.status();
            let instead = after.apply(status, response.headers_mut(), refusal.as_ref());
            if let Some(rejection) = instead {
                *response = M::refuse(told(self.realm.as_ref(), rejection), self.bodiless);
            }
        }
        let status = response.status();
        let silent = status.is_informational() || status.is_redirection();
        for note in self.limits.drain(..) {
            if !silent && status != StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().append(RATE_LIMIT_POLICY, note.policy);
                response.headers_mut().append(RATE_LIMIT, note.state);
            }
        }
        if let Some(vary) = self.vary.take() {
            for name in &vary.names {
                response.headers_mut().append(VARY, name.clone());
            }
            if vary.private && !response.headers().contains_key(CACHE_CONTROL) {
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private"));
            }
        }
    }
}

impl fmt::Debug for dyn After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("After")
    }
}
