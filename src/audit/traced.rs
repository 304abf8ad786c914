//! The default sink: events as those of `tracing`.

use std::borrow::Cow;

use crate::audit::{AuditSink, Event, EventName, Severity};
use crate::rejection::StepName;

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
            upstream = $event.upstream,
            route = $event.route,
            request_id = $event.request_id,
            suppressed = $event.suppressed,
            audience = $event.forwarded.map(|to| to.audience),
            mode = $event.forwarded.map(|to| to.mode),
            outcome = $event.forwarded.map(|to| to.outcome),
            auth_method = $event.forwarded.and_then(|to| to.auth_method),
            acting_as = $event.forwarded.and_then(|to| to.acting_as),
            delegation_chain = chain_of($event).map(tracing::field::debug),
            credential = $event.forwarded.and_then(|to| to.credential),
            id = $event.change.map(|change| change.id),
            field = $event.change.map(|change| change.field),
            from = $event.change.map(|change| change.from),
            to = $event.change.map(|change| change.to),
        )
    };
}

/// The chain of who acts for whom, if there is one.
fn chain_of<'a>(event: &Event<'a>) -> Option<&'a [Cow<'a, str>]> {
    event.forwarded.map(|to| to.delegation_chain).filter(|chain| !chain.is_empty())
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
