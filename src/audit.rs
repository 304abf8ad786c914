//! What happened, for those who must be able to tell later?
//!
//! 1. One sink per authenticator; the default writes `tracing` events with the target `tower_bearer::audit`.
//! 2. Passes are sampled, refusals are capped per reason and second, and what the cap held back is counted.
//! 3. No event can hold a token, a digest, a scope or an e-mail.

use http::HeaderMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Moment, Timestamp};
use crate::metrics::suppressed;
use crate::rejection::{Reason, StepName};

/// Takes the events of one authenticator.
///
/// Called on the path of the request: hand slow work to somebody else. A panic reaches the service's panic catcher.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: &Event<'_>);

    /// Is an event of this name wanted now? One that is not is not even put together. Default: all are.
    fn wants(&self, name: EventName) -> bool {
        let _ = name;
        true
    }
}

/// The name of an event: `thing.what_happened`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum EventName {
    /// A request passed the whole stack (sampled).
    AuthAllowed,
    /// A request was refused with a status below 500.
    AuthDenied,
    /// A request could not be decided.
    AuthUndecided,
    /// A token was found expired, and its row was ended.
    TokenExpired,
    /// A row's kind or subject is not what the token's prefix says.
    TokenKindMismatch,
    /// A token was issued.
    TokenMinted,
    /// A token replaced an earlier one of its label.
    TokenRotated,
    /// A token was ended.
    TokenRevoked,
    /// Other processes may not have been told of a revocation or change in time; it is being repeated.
    RevocationBusLate,
    /// A caller source made a caller.
    CallerCreated,
    /// A layer ran without one it needs.
    StackMisordered,
    /// An account changed.
    AccountChanged,
    /// A workspace changed.
    WorkspaceChanged,
    /// An app changed.
    AppChanged,
    /// A member was removed.
    MemberRemoved,
    /// A limiter's shared store is out; its outage rule decides.
    LimitDegraded,
    /// A limiter's shared store answers again.
    LimitRestored,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Severity {
    /// Ordinary.
    Info,
    /// An outage or something like it.
    Warn,
    /// A programmer or operator must act.
    Error,
}

impl EventName {
    /// The fixed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthAllowed => "auth.allowed",
            Self::AuthDenied => "auth.denied",
            Self::AuthUndecided => "auth.undecided",
            Self::TokenExpired => "token.expired",
            Self::TokenKindMismatch => "token.kind_mismatch",
            Self::TokenMinted => "token.minted",
            Self::TokenRotated => "token.rotated",
            Self::TokenRevoked => "token.revoked",
            Self::RevocationBusLate => "revocation.bus_late",
            Self::CallerCreated => "caller.created",
            Self::StackMisordered => "stack.misordered",
            Self::AccountChanged => "account.changed",
            Self::WorkspaceChanged => "workspace.changed",
            Self::AppChanged => "app.changed",
            Self::MemberRemoved => "member.removed",
            Self::LimitDegraded => "limit.degraded",
            Self::LimitRestored => "limit.restored",
        }
    }

    /// How much it matters.
    pub const fn severity(self) -> Severity {
        match self {
            Self::AuthUndecided | Self::LimitDegraded => Severity::Warn,
            Self::TokenKindMismatch | Self::StackMisordered | Self::RevocationBusLate => {
                Severity::Error
            }
            Self::AuthAllowed
            | Self::AuthDenied
            | Self::TokenExpired
            | Self::TokenMinted
            | Self::TokenRotated
            | Self::TokenRevoked
            | Self::CallerCreated
            | Self::AccountChanged
            | Self::WorkspaceChanged
            | Self::AppChanged
            | Self::MemberRemoved
            | Self::LimitRestored => Severity::Info,
        }
    }
}

/// One event; what is unknown is `None`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Which event.
    pub name: EventName,
    /// When, on the wall clock.
    pub at: Timestamp,
    /// The step that decided.
    pub step: Option<StepName>,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The `error` word of the answer.
    pub error: Option<&'static str>,
    /// What exactly was wrong.
    pub reason: Option<&'a str>,
    /// The name of the token's kind.
    pub kind: Option<&'a str>,
    /// The token's public name.
    pub token_id: Option<&'a str>,
    /// The first 8 hex digits of the token's digest, where no public name is known.
    pub fingerprint: Option<&'a str>,
    /// The subject key.
    pub subject: Option<&'a str>,
    /// The client that the token was issued to.
    pub client_id: Option<&'a str>,
    /// The workspace of the app.
    pub workspace: Option<&'a str>,
    /// The app.
    pub app: Option<&'a str>,
    /// The route, where the authenticator was given a function that names it.
    pub route: Option<&'a str>,
    /// The request's `x-request-id`, where it is 1 to 128 visible ASCII characters.
    pub request_id: Option<&'a str>,
    /// How many events of this reason the cap held back in the last second that had some.
    pub suppressed: Option<u64>,
    /// For a change: whose, which field, and its values.
    pub change: Option<Change<'a>>,
}

/// What changed in an administrative event.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Change<'a> {
    /// Whose.
    pub id: &'a str,
    /// Which field.
    pub field: &'a str,
    /// Its value before.
    pub from: &'a str,
    /// Its value now.
    pub to: &'a str,
}

impl<'a> Change<'a> {
    /// One field of one thing, before and after.
    pub fn new(id: &'a str, field: &'a str, from: &'a str, to: &'a str) -> Self {
        Self { id, field, from, to }
    }
}

impl Event<'_> {
    pub(crate) fn new(name: EventName, at: Timestamp) -> Self {
        Self {
            name,
            at,
            step: None,
            status: None,
            error: None,
            reason: None,
            kind: None,
            token_id: None,
            fingerprint: None,
            subject: None,
            client_id: None,
            workspace: None,
            app: None,
            route: None,
            request_id: None,
            suppressed: None,
            change: None,
        }
    }
}

/// Writes each event as a `tracing` event with the target `tower_bearer::audit`.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TracingSink;

impl TracingSink {
    /// The default sink.
    pub fn new() -> Self {
        Self
    }
}

const TARGET: &str = "tower_bearer::audit";

/// Writes one tracing event; the level must be a constant of the call site.
macro_rules! emit {
    ($level:expr, $event:expr) => {
        tracing::event!(
            target: TARGET,
            $level,
            event = $event.name.as_str(),
            at = $event.at.as_millis(),
            step = $event.step.map(StepName::as_str),
            status = $event.status,
            error = $event.error,
            reason = $event.reason,
            kind = $event.kind,
            token_id = $event.token_id,
            fingerprint = $event.fingerprint,
            subject = $event.subject,
            client_id = $event.client_id,
            workspace = $event.workspace,
            app = $event.app,
            route = $event.route,
            request_id = $event.request_id,
            suppressed = $event.suppressed,
            id = $event.change.map(|change| change.id),
            field = $event.change.map(|change| change.field),
            from = $event.change.map(|change| change.from),
            to = $event.change.map(|change| change.to),
        )
    };
}

impl AuditSink for TracingSink {
    fn wants(&self, name: EventName) -> bool {
        match name.severity() {
            Severity::Info => tracing::enabled!(target: TARGET, tracing::Level::INFO),
            Severity::Warn => tracing::enabled!(target: TARGET, tracing::Level::WARN),
            Severity::Error => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
        }
    }

    fn record(&self, event: &Event<'_>) {
        match event.name.severity() {
            Severity::Info => emit!(tracing::Level::INFO, event),
            Severity::Warn => emit!(tracing::Level::WARN, event),
            Severity::Error => emit!(tracing::Level::ERROR, event),
        }
    }
}

/// The sink with its sampling and caps. Clones share them.
#[derive(Clone)]
pub(crate) struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    sink: Box<dyn AuditSink>,
    /// Of 2^32 passes, how many are told.
    allowed_share: u64,
    denied_per_second: u64,
    caps: Vec<Cap>,
}

/// How many of one reason were told in the running second, and how many were held back in the last.
#[derive(Default)]
struct Cap {
    second_and_count: AtomicU64,
    suppressed: AtomicU64,
}

const COUNT_BITS: u32 = 24;

impl Audit {
    pub(crate) fn new(
        sink: Box<dyn AuditSink>,
        allowed_sample: f64,
        denied_per_second: u32,
    ) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0..=2^32"
        )]
        let allowed_share = (allowed_sample.clamp(0.0, 1.0) * 4_294_967_296.0) as u64;
        let caps = Reason::ALL.iter().map(|_| Cap::default()).collect();
        let denied_per_second = u64::from(denied_per_second).min((1 << COUNT_BITS) - 1);
        Self { inner: Arc::new(Inner { sink, allowed_share, denied_per_second, caps }) }
    }

    pub(crate) fn record(&self, event: &Event<'_>) {
        self.inner.sink.record(event);
    }

    pub(crate) fn wants(&self, name: EventName) -> bool {
        self.inner.sink.wants(name)
    }

    /// Is this pass one of those that are told? The same request always gets the same answer.
    pub(crate) fn samples(&self, now: Moment) -> bool {
        let mixed = now.monotonic_nanos().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        mixed < self.inner.allowed_share
    }

    /// May a refusal of this reason be told now? If so, with the number held back before it.
    pub(crate) fn admits(&self, reason: Reason, now: Moment) -> Option<u64> {
        let cap = self.inner.caps.get(reason as usize)?;
        let second = now.monotonic_ms() / 1_000;
        let count_mask = (1 << COUNT_BITS) - 1;
        let next = |old: u64| match (old >> COUNT_BITS == second, old & count_mask) {
            (true, count) => Some((second << COUNT_BITS) | count.saturating_add(1).min(count_mask)),
            (false, _) => Some((second << COUNT_BITS) | 1),
        };
        let word = &cap.second_and_count;
        let old = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or_default();
        let told = if old >> COUNT_BITS == second { old & count_mask } else { 0 };
        if told < self.inner.denied_per_second {
            return Some(cap.suppressed.swap(0, Ordering::Relaxed));
        }
        cap.suppressed.fetch_add(1, Ordering::Relaxed);
        suppressed(reason.as_str());
        None
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

/// The inbound request id, where it can be told safely.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("x-request-id")?.as_bytes();
    let visible = value.iter().all(|byte| (0x21..=0x7E).contains(byte));
    let fits = (1..=128).contains(&value.len());
    if visible && fits { std::str::from_utf8(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Moment {
        Moment::new(Timestamp::default(), Duration::from_millis(ms))
    }

    #[test]
    fn refusals_are_capped_per_reason_and_second() {
        let audit = Audit::new(Box::new(TracingSink::new()), 0.01, 2);
        for (name, reason, ms, want) in [
            ("P1202 first", Reason::Revoked, 10_000, Some(0)),
            ("P1202 second", Reason::Revoked, 10_500, Some(0)),
            ("P1202 over the cap", Reason::Revoked, 10_600, None),
            ("P1202 over the cap again", Reason::Revoked, 10_999, None),
            ("P1202 another reason", Reason::Expired, 10_999, Some(0)),
            ("P1202 next second tells the rest", Reason::Revoked, 11_000, Some(2)),
        ] {
            assert_eq!(audit.admits(reason, at(ms)), want, "{name}");
        }
    }

    #[test]
    fn passes_are_sampled_at_the_set_share() {
        for (sample, low, high) in [(0.0, 0, 0), (0.01, 60, 140), (1.0, 10_000, 10_000)] {
            let audit = Audit::new(Box::new(TracingSink::new()), sample, 100);
            let told = (0..10_000u64).filter(|n| audit.samples(at(n * 7 + 1))).count();
            assert!((low..=high).contains(&told), "P1201 at {sample}: {told}");
        }
    }

    #[test]
    fn request_ids_are_told_only_when_harmless() {
        for (name, value, want) in [
            ("plain", &b"req-1"[..], Some("req-1")),
            ("blank inside", b"a b", None),
            ("not ASCII", b"a\xff", None),
            ("empty", b"", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", http::HeaderValue::from_bytes(value).unwrap());
            assert_eq!(request_id(&headers), want, "{name}");
        }
    }
}
