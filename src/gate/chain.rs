//! Checks one behind the other, run as one.

use std::sync::Arc;

use crate::context::Realm;
use crate::gate::{Attempt, Checks, Later, Passage, Progress, Step, ask_step, attempt_step};
use crate::rejection::Rejection;

/// First `A`, then `B`.
#[derive(Clone, Copy, Debug)]
pub struct Then<A, B> {
    pub(crate) first: A,
    pub(crate) then: B,
}

impl<A: Checks, B: Step> Checks for Then<A, B> {
    const LENGTH: usize = A::LENGTH + 1;
    const AUTHENTICATES: bool = A::AUTHENTICATES || B::AUTHENTICATES;

    fn realm(&self) -> Option<&Arc<Realm>> {
        self.first.realm().or_else(|| self.then.realm())
    }

    fn prepare_for(&mut self, later: &Later<'_>) {
        self.first.prepare_for(later);
        self.then.prepare_for(later);
    }

    #[inline]
    fn attempt(&self, passage: &mut Passage<'_>) -> Progress {
        match self.first.attempt(passage) {
            Progress::Pass => match attempt_step(&self.then, passage) {
                Attempt::Pass(_) => Progress::Pass,
                Attempt::Ask => Progress::Ask(A::LENGTH),
                Attempt::Reject(rejection) => Progress::Reject(rejection),
            },
            stopped @ (Progress::Ask(_) | Progress::Reject(_)) => stopped,
        }
    }

    async fn resume(&self, at: usize, passage: &mut Passage<'_>) -> Result<(), Rejection> {
        if at == A::LENGTH {
            return ask_step(&self.then, passage).await;
        }
        self.first.resume(at, passage).await?;
        match attempt_step(&self.then, passage) {
            Attempt::Pass(_) => Ok(()),
            Attempt::Ask => ask_step(&self.then, passage).await,
            Attempt::Reject(rejection) => Err(rejection),
        }
    }
}
