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

    /// `by` could not say, so the request is refused; unless the rule lets it by.
    pub(super) fn undecided(rejection: Rejection, rule: Rule, by: LimitSource) -> Self {
        let by = if rule == Rule::Open { LimitSource::Open } else { by };
        Self { answer: Err(rejection), by }
    }

    /// The logs in process had no room.
    pub(super) fn full(full: WindowsFull, rule: Rule, by: LimitSource) -> Self {
        let rejection = Rejection::undecidable(Reason::StoreError, Some(Arc::new(full)));
        Self::undecided(rejection, rule, by)
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
