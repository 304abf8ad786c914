//! What of an upstream's answer stays here?
//!
//! 1. Fields that end at this hop, and whatever looks like our identity or is an id of our own hop (RFC 9110 §7.6.1).
//! 2. In front of clients a 401 of the upstream becomes a 502: it did not accept what we said of the caller, and its challenge
//!    would send the client to somebody else's login. A 403 loses its challenge, or gets ours with our names of the scopes that
//!    it asks for. A refusal that one of this crate's layers
//!    made keeps its own.
//! 3. The id of MCP stays for a layer outside that binds it to its caller, if there is one.
//! 4. One value serves every request that upgrades nothing: a request costs a reference count.

use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;

use super::hop::Cleaned;
use super::mcp::{BoundId, MCP_SESSION_ID};
use super::scope_map::ScopeMap;
use super::set::ForwardSet;
use crate::context::AuthContext;
use crate::gate::{After, Notes};
use crate::rejection::{Answers, Reason, Rejection, RejectionKind, StepName};

/// Cleans the answers of one upstream.
#[derive(Clone, Debug)]
pub(crate) struct AnswerCleaner {
    usual: Arc<Cleaning>,
    bound: Arc<Cleaning>,
}

/// What becomes of an upstream's own challenge.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Challenge {
    /// Whoever called the upstream is told.
    Relayed,
    /// The client would take it for ours.
    Dropped,
    /// The same, but where it asks for scopes that have a name here, ours asks for those.
    Replaced(Arc<ScopeMap>),
}

impl AnswerCleaner {
    pub(crate) fn new(set: &ForwardSet, challenge: &Challenge) -> Self {
        let of = |id| {
            let (set, challenge) = (set.clone(), challenge.clone());
            Arc::new(Cleaning { set, request: Cleaned::default(), challenge, id, answers: None })
        };
        Self { usual: of(Id::Removed), bound: of(Id::Left) }
    }

    /// Has the answer to a request cleaned, by what was done to the request; challenges are those of the context's realm.
    pub(crate) fn note(
        &self,
        notes: &mut Notes,
        request: &Cleaned,
        head: &Parts,
        context: Option<&AuthContext>,
    ) {
        let bound = BoundId::is_in(&head.extensions);
        let cleaning = if bound { &self.bound } else { &self.usual };
        let own_challenge = matches!(cleaning.challenge, Challenge::Replaced(_));
        let answers = context.filter(|_| own_challenge).map(|context| &context.realm.answers);
        notes.afterwards(if request.upgrades() || answers.is_some() {
            let answers = answers.map(Arc::clone);
            Arc::new(Cleaning { request: *request, answers, ..Cleaning::clone(cleaning) })
        } else {
            Arc::clone(cleaning) as Arc<dyn After>
        });
    }
}

#[derive(Clone, Debug)]
struct Cleaning {
    set: ForwardSet,
    request: Cleaned,
    challenge: Challenge,
    id: Id,
    /// How a challenge of ours reads.
    answers: Option<Arc<Answers>>,
}

impl Cleaning {
    /// Our challenge in place of the upstream's.
    fn own_challenge(&self, upstreams: &HeaderMap) -> Option<HeaderValue> {
        let Challenge::Replaced(scopes) = &self.challenge else { return None };
        let scope = scopes.asked(upstreams)?;
        let answers = self.answers.as_ref().unwrap_or_else(|| Answers::shared_default());
        answers.challenge(RejectionKind::InsufficientScope, Some(&scope))
    }
}

/// What becomes of the `Mcp-Session-Id` of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Id {
    Removed,
    Left,
}

impl After for Cleaning {
    fn apply(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        refusal: Option<&Rejection>,
    ) -> Option<Rejection> {
        let ids: Vec<_> = match self.id {
            Id::Removed => Vec::new(),
            Id::Left => headers.get_all(MCP_SESSION_ID).iter().cloned().collect(),
        };
        let _counts = self.set.clean_response(status, headers, &self.request);
        for id in ids {
            headers.append(MCP_SESSION_ID, id);
        }
        if refusal.is_some() || self.challenge == Challenge::Relayed {
            return None;
        }
        if status == StatusCode::FORBIDDEN {
            let own = self.own_challenge(headers);
            headers.remove(WWW_AUTHENTICATE);
            headers.remove(AUTHENTICATION_INFO);
            headers.extend(own.map(|challenge| (WWW_AUTHENTICATE, challenge)));
        }
        (status == StatusCode::UNAUTHORIZED).then(|| {
            let kind = RejectionKind::UpstreamRefusedIdentity;
            let mut rejection = Rejection::new(kind, Reason::UpstreamRefused);
            rejection.refused_by(StepName::Forward);
            rejection
        })
    }
}

const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");
