//! How a refusal becomes a response, and who is told.

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::audit::{Event, EventName, request_id};
use crate::context::{AuthContext, Realm};
use crate::gate::{Checks, Notes, Passage};
use crate::metrics::{Refused, refused};
use crate::rejection::{Answers, PROBLEM, Rejection, RejectionKind, StepName};

/// Makes the body of a refusal. Sealed: [`WithBody`] and [`WithoutBody`] are its implementations.
pub trait RefusalBody<B> {
    /// The response of a refusal.
    #[doc(hidden)]
    fn refuse(rejection: Rejection, bodiless: bool) -> Response<B>;

    /// Gives an answer that a layer of this crate made further inside the body it lacks.
    #[doc(hidden)]
    fn fill(response: &mut Response<B>, bodiless: bool);
}

/// Refusals have the right status and fields and an empty body; the body type must be `Default`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WithoutBody;

/// Refusals have a problem body; the body type must be `From<Bytes>`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WithBody;

impl WithoutBody {
    pub(crate) const fn new() -> Self {
        Self
    }
}

impl WithBody {
    pub(crate) const fn new() -> Self {
        Self
    }
}

impl<B: Default> RefusalBody<B> for WithoutBody {
    fn refuse(rejection: Rejection, _bodiless: bool) -> Response<B> {
        respond(rejection, B::default())
    }

    fn fill(_response: &mut Response<B>, _bodiless: bool) {}
}

impl<B: From<Bytes>> RefusalBody<B> for WithBody {
    fn refuse(mut rejection: Rejection, bodiless: bool) -> Response<B> {
        let Some((fields, body)) = rejection.whole() else {
            let mut response = respond(rejection, B::from(Bytes::new()));
            Self::fill(&mut response, bodiless);
            return response;
        };
        rejection.set_rendered();
        let mut response = Response::new(B::from(if bodiless { Bytes::new() } else { body }));
        *response.status_mut() = rejection.status();
        *response.headers_mut() = fields;
        response.extensions_mut().insert(rejection);
        response
    }

    fn fill(response: &mut Response<B>, bodiless: bool) {
        let Some(rejection) = response.extensions_mut().get_mut::<Rejection>() else { return };
        if rejection.is_rendered() {
            return;
        }
        rejection.set_rendered();
        let (body, length) = rejection.body();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM);
        headers.insert(CONTENT_LENGTH, length);
        *response.body_mut() = B::from(if bodiless { Bytes::new() } else { body });
    }
}

fn respond<B>(rejection: Rejection, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = rejection.status();
    rejection.write_headers(response.headers_mut());
    response.extensions_mut().insert(rejection);
    response
}

/// The response of a refusal by a service of this crate that is no gate, told as a gate's is.
pub(crate) fn refuse<B: Default>(
    step: StepName,
    mut rejection: Rejection,
    mut head: Parts,
    told: &AtomicBool,
) -> Response<B> {
    rejection.refused_by(step);
    let mut context = head.extensions.remove::<AuthContext>();
    let mut notes = Notes::for_method(&head.method);
    let passage = Passage { head: &mut head, context: &mut context, notes: &mut notes };
    settle(None, told, &passage, &mut rejection);
    respond(rejection, B::default())
}

/// A refusal in the place of an answer, told as others are, but for the request: its head has gone on with it.
pub(crate) fn told(realm: Option<&Arc<Realm>>, mut rejection: Rejection) -> Rejection {
    let (mut head, ()) = http::Request::new(()).into_parts();
    let mut notes = Notes { now: realm.map(|realm| realm.clock.now()), ..Notes::default() };
    let passage = Passage { head: &mut head, context: &mut None, notes: &mut notes };
    settle(realm, &AtomicBool::new(false), &passage, &mut rejection);
    rejection
}

/// Gives the refusal its authenticator's manner, and tells the logs and the audit.
///
/// `own` is the manner of who makes the context; without it the context's own counts.
pub(super) fn settle(
    own: Option<&Arc<Realm>>,
    told: &AtomicBool,
    passage: &Passage<'_>,
    rejection: &mut Rejection,
) {
    let context = passage.context.as_ref();
    let realm = own.or_else(|| context.map(|context| &context.realm));
    rejection.answered_by(match realm {
        Some(realm) => &realm.answers,
        None => Answers::shared_default(),
    });
    let step = rejection.step().map(StepName::as_str);
    let (kind, reason) = (rejection.kind(), rejection.reason());
    let misordered = kind == RejectionKind::Misordered;
    if misordered && !told.swap(true, Ordering::Relaxed) {
        let missing = rejection.missing();
        let left_by = missing.map(crate::evidence::Evidence::left_by);
        tracing::error!(
            step,
            missing = missing.map(tracing::field::debug),
            left_by,
            error = std::error::Error::source(rejection).map(tracing::field::display),
            "layer ran without what it needs; build with BearerStack or put the layer that leaves it outside this one"
        );
    }
    tracing::debug!(
        step,
        kind = kind.error(),
        reason = reason.as_str(),
        status = kind.status().as_u16(),
        token_id = context.and_then(|context| context.token_id()).map(tracing::field::display),
        error = own_cause(rejection).map(tracing::field::display),
        "refused"
    );
    refused(
        realm.map(|realm| &realm.decisions),
        Refused {
            step: step.unwrap_or(NOBODY),
            undecided: kind.status().is_server_error(),
            reason: reason.as_str(),
            kind: context.and_then(|context| context.kind()),
        },
        || realm.and_then(|realm| realm.route_of(passage.head)).unwrap_or(NOBODY),
    );
    let Some(realm) = realm else { return };
    let name = match kind.status().as_u16() {
        _ if misordered => EventName::StackMisordered,
        500.. => EventName::AuthUndecided,
        _ => EventName::AuthDenied,
    };
    let now = context.map(|context| context.now).or(passage.notes.now).unwrap_or_default();
    let Some(held_back) = realm.audit.admits(reason, now) else { return };
    if !realm.audit.wants(name) {
        return;
    }
    let fingerprint = passage.notes.fingerprint.map(|fingerprint| fingerprint.to_string());
    let event = match context {
        Some(context) => context.event(name),
        None => Event::new(name, now.wall()),
    };
    realm.audit.record(&Event {
        step: rejection.step(),
        status: Some(kind.status().as_u16()),
        error: Some(kind.error()),
        reason: Some(reason.as_str()),
        fingerprint: fingerprint.as_deref(),
        route: realm.route_of(passage.head),
        request_id: request_id(&passage.head.headers),
        suppressed: (held_back > 0).then_some(held_back),
        ..event
    });
}

/// What this crate itself has to say about a refusal. A store's words may hold a password or a row: they stay with the
/// rejection, whose `source` the service may log where it knows them to be harmless.
fn own_cause(rejection: &Rejection) -> Option<&(dyn std::error::Error + 'static)> {
    let undecidable = rejection.kind().is_undecided();
    std::error::Error::source(rejection).filter(|_| !undecidable)
}

/// Keeps what a pass learned, and tells the audit of the share of passes that are told.
pub(crate) fn allowed<C: Checks>(passage: &mut Passage<'_>) {
    if !C::AUTHENTICATES {
        return;
    }
    let Some(context) = passage.context.as_ref() else { return };
    if let (Some(learned), Some(facts)) = (passage.notes.learned.take(), &context.caller) {
        facts.recent.keep(learned.over(passage.notes.recall.as_deref()));
    }
    let realm = &context.realm;
    let route = || realm.route_of(passage.head);
    realm.decisions.passed(context.kind(), || route().unwrap_or(NOBODY));
    let audit = &realm.audit;
    if audit.samples(context.now) {
        let request_id = request_id(&passage.head.headers);
        let route = route();
        audit.record(&Event { route, request_id, ..context.event(EventName::AuthAllowed) });
    }
}

/// The label of a step or route that nobody named.
const NOBODY: &str = "-";
