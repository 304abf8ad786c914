//! What was decided on a request, and by whom.

use std::sync::Arc;

use crate::limit::outage::Rule;
use crate::metrics::LimitSource;
use crate::rejection::{Reason, Rejection};
use crate::store::{Answer, Standing, WindowsFull};

/// What was decided, and by whom. Undecidable requests are let by if that was [`LimitSource::Open`].
pub(super) struct Ruling {
    pub(super) answer: Result<Answer, Rejection>,
    pub(super) by: LimitSource,
}

impl Ruling {
    pub(super) fn new(answer: Answer, by: LimitSource) -> Self {
        Self { answer: Ok(answer), by }
    }

    pub(super) fn fallback(answer: Answer) -> Self {
        Self::new(answer, LimitSource::Fallback)
    }

    pub(super) fn undecided(rejection: Rejection, rule: Rule) -> Self {
        let by = match rule {
            Rule::Open => LimitSource::Open,
            Rule::Local | Rule::Closed => LimitSource::Fallback,
        };
        Self { answer: Err(rejection), by }
    }

    /// Named after `by`, unless it was let by.
    pub(super) fn or_by(self, by: LimitSource) -> Self {
        if self.by == LimitSource::Open { self } else { Self { by, ..self } }
    }

    pub(super) fn full(full: WindowsFull, rule: Rule) -> Self {
        Self::undecided(Rejection::undecidable(Reason::StoreError, Some(Arc::new(full))), rule)
    }
}

/// Of two admissions the lesser room in each log.
pub(super) fn stricter(one: &Answer, other: &Answer) -> Answer {
    let both = one.standings().iter().zip(other.standings());
    let room = |standing: &Standing| match *standing {
        Standing::Room { remaining, reset_ms } => (remaining, u32::MAX - reset_ms),
        Standing::Full { .. } => (0, 0),
    };
    Answer::new(both.map(|(one, other)| if room(other) < room(one) { *other } else { *one }))
}
