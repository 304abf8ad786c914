//! With a recorder: what became of requests and tokens.

use ::metrics::{counter, describe_counter};
use std::sync::Arc;

use crate::metrics::recorded::{Counters, UNKNOWN};
use crate::metrics::{Origin, Refused};

const DECISIONS: &str = "tower_bearer_decisions_total";
const REVOCATIONS: &str = "tower_bearer_revocations_total";
const SUPPRESSED: &str = "tower_bearer_audit_suppressed_total";

pub(super) fn describe() {
    describe_counter!(DECISIONS, "Requests passed, refused or left undecided");
    describe_counter!(REVOCATIONS, "Tokens ended");
    describe_counter!(SUPPRESSED, "Audit events of refusals that the cap held back");
}

/// The decisions under one authenticator. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions {
    passes: Arc<Counters>,
    refusals: Arc<Counters>,
}

impl Decisions {
    /// A request passed a gate that authenticates.
    pub(crate) fn passed(&self, kind: Option<&str>, route: impl FnOnce() -> &'static str) {
        decision(&self.passes, kind, ["bearer", "pass", UNKNOWN, route()]);
    }
}

/// A request was refused; without `decisions` where no authenticator is known.
pub(crate) fn refused(
    decisions: Option<&Decisions>,
    refused: Refused<'_>,
    route: impl FnOnce() -> &'static str,
) {
    let outcome = if refused.undecided { "undecided" } else { "refuse" };
    let words = [refused.step, outcome, refused.reason, route()];
    match decisions {
        Some(decisions) => decision(&decisions.refusals, refused.kind, words),
        None => decision(&Counters::default(), refused.kind, words),
    }
}

fn decision(counters: &Counters, kind: Option<&str>, words: [&'static str; 4]) {
    let kind = kind.unwrap_or(UNKNOWN);
    let [step, outcome, reason, route] = words;
    counters.count(kind, words, || {
        counter!(
            DECISIONS, "step" => step, "outcome" => outcome, "reason" => reason,
            "kind" => kind.to_owned(), "route" => route
        )
    });
}

/// The cap held an event back.
pub(crate) fn suppressed(reason: &'static str) {
    counter!(SUPPRESSED, "reason" => reason).increment(1);
}

/// Tokens were ended.
pub(crate) fn revoked(tokens: usize, origin: Origin) {
    let origin = match origin {
        Origin::Local => "local",
        Origin::Bus => "bus",
    };
    counter!(REVOCATIONS, "origin" => origin).increment(tokens as u64);
}
