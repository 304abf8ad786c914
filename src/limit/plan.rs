//! Which logs decide on a request, under which limits, and how an answer of theirs reads.

use http::HeaderValue;
use http::request::Parts;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::clock::Moment;
use crate::context::{AuthContext, Quota, QuotaSource, Realm};
use crate::limit::fields::{rate_limit, rate_limit_policy};
use crate::limit::outage::Rule;
use crate::limit::peer::peer_of;
use crate::limit::policy::EXACT_UP_TO;
use crate::limit::shared::Case;
use crate::limit::{Limiter, Lines, Named};
use crate::metrics::LimitSource;
use crate::rejection::{LimitRefusal, Reason, Rejection};
use crate::store::{Answer, Ask, AskItem, LogId, MOST_ITEMS, PolicyName, Standing, WindowKey};

/// A question that is still to be put.
pub(crate) struct Plan<'a> {
    cost: NonZeroU32,
    now: Moment,
    pub(super) rule: Rule,
    items: [AskItem<'a>; MOST_ITEMS],
    len: usize,
    /// `RateLimit-Policy`, where it is the same for everybody.
    line: Option<&'a HeaderValue>,
}

impl Limiter {
    /// The logs of this request; `None` if every policy exempts it.
    #[inline]
    pub(super) fn plan(
        &self,
        context: &AuthContext,
        head: Option<&Parts>,
        cost: NonZeroU32,
        (now, rule): (Moment, Rule),
    ) -> Result<Option<Plan<'_>>, Rejection> {
        let mut plan: Option<Plan<'_>> = None;
        let mut add = |item, line| {
            let blank = || Plan { cost, now, rule, items: [item; MOST_ITEMS], len: 0, line };
            let plan = plan.get_or_insert_with(blank);
            if let Some(place) = plan.items.get_mut(plan.len) {
                *place = item;
                plan.len += 1;
            }
        };
        if let (true, Some(peers)) = (context.is_anonymous(), &self.shared.peers) {
            let address = match head {
                Some(head) => peer_of(head, &peers.trusted)?,
                None => return Err(Rejection::lacking(NoHead)),
            };
            let id = LogId::of_peer(address);
            let key = WindowKey::new(&peers.name, id, id);
            let item = AskItem::new(key, peers.limit);
            let is_rounded = peers.limit.count().get() > EXACT_UP_TO;
            add(if is_rounded { item.rounded() } else { item }, peers.line.as_ref());
            return Ok(plan);
        }
        for Named { name, policy } in &self.shared.policies {
            if let Some(item) = policy.item(name, context)? {
                add(item, self.shared.line.as_ref());
            }
        }
        Ok(plan)
    }
}

impl Plan<'_> {
    fn items(&self) -> &[AskItem<'_>] {
        self.items.get(..self.len).unwrap_or(&[])
    }

    /// The names and limits of this request, in order.
    fn policies(&self) -> impl Iterator<Item = (&PolicyName, crate::window::Limit)> {
        self.items().iter().map(|item| (item.key().policy(), *item.limit()))
    }

    /// What to say if the cost is above a limit: waiting cannot help.
    pub(super) fn never(&self) -> Option<LimitRefusal> {
        let over = |item: &AskItem<'_>| self.cost > item.limit().count();
        if !self.items().iter().any(over) {
            return None;
        }
        let violated = self.items().iter().filter(|item| over(item));
        let violated = violated.map(|item| item.key().policy().clone()).collect();
        Some(LimitRefusal { retry_after_ms: None, violated })
    }

    pub(super) fn question(&self) -> Result<Ask<'_>, Rejection> {
        Ask::new(self.cost, self.now.monotonic_ms(), self.items())
            .map_err(|error| Rejection::undecidable(Reason::StoreError, Some(Arc::new(error))))
    }

    pub(super) fn case<'c>(&self, ask: &'c Ask<'c>, realm: &'c Arc<Realm>) -> Case<'c> {
        Case { ask, now: self.now, realm, rule: self.rule }
    }

    pub(super) fn violated(&self, answer: &Answer) -> Vec<PolicyName> {
        let full = |standing: &Standing| matches!(standing, Standing::Full { .. });
        let both = self.items().iter().zip(answer.standings());
        both.filter(|(_, standing)| full(standing))
            .map(|(item, _)| item.key().policy().clone())
            .collect()
    }

    /// The policy with the least left, the first of equal ones.
    pub(super) fn quota(&self, answer: &Answer, by: LimitSource) -> Option<Quota> {
        let rooms = self.items().iter().zip(answer.standings());
        let rooms = rooms.filter_map(|(item, standing)| match *standing {
            Standing::Room { remaining, reset_ms } => Some((item, remaining, reset_ms)),
            Standing::Full { .. } => None,
        });
        let (item, remaining, reset_ms) = rooms.min_by_key(|(_, remaining, _)| *remaining)?;
        let policy = item.key().policy().clone();
        let source = match by {
            LimitSource::Local => QuotaSource::Local,
            LimitSource::Fallback => QuotaSource::Fallback,
            LimitSource::Store | LimitSource::DenyCache | LimitSource::Open => QuotaSource::Store,
        };
        Some(Quota { policy, limit: item.limit().count().get(), remaining, reset_ms, source })
    }

    pub(super) fn lines(&self, answer: &Answer) -> Option<Lines> {
        let policy = match self.line {
            Some(line) => Some(line.clone()),
            None => rate_limit_policy(self.policies()),
        };
        Some(Lines { policy: policy?, state: rate_limit(self.policies(), answer)? })
    }
}

/// A decision without a request was asked to count by peer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no request, so no peer to count by")]
struct NoHead;
