//! Without a recorder nothing is counted, and nothing is left of the calls.

use std::time::Duration;

use crate::metrics::{
    BreakerState, Flush, Lacking, LimitSource, LimitVerdict, LoadEnd, Origin, Refused, Removed,
    SharedOutcome, StoreOutcome,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct Decisions(());

impl Decisions {
    #[inline]
    pub(crate) fn passed(&self, _kind: Option<&str>, _route: impl FnOnce() -> &'static str) {}
}

#[inline]
pub(crate) fn refused(
    _decisions: Option<&Decisions>,
    _refused: Refused<'_>,
    _route: impl FnOnce() -> &'static str,
) {
}

#[inline]
pub(crate) fn suppressed(_reason: &'static str) {}

#[inline]
pub(crate) fn revoked(_tokens: usize, _origin: Origin) {}

#[inline]
pub(crate) fn flushed(_why: Flush) {}

#[cfg(feature = "redis")]
#[inline]
pub(crate) fn reconnected(_reason: &'static str) {}

#[cfg(feature = "redis")]
#[inline]
pub(crate) fn script_loaded() {}

#[inline]
pub(crate) fn bus_lag(_lag: Duration) {}

#[inline]
pub(crate) fn shared_cache(_outcome: SharedOutcome) {}

#[inline]
pub(crate) fn shared_cache_breaker(_state: BreakerState) {}

#[derive(Debug)]
pub(crate) struct OnBus;

impl OnBus {
    #[inline]
    pub(crate) fn expected() {}

    #[inline]
    pub(crate) fn joined() -> Self {
        Self
    }
}

#[derive(Debug)]
pub(crate) struct CacheMeter;

#[derive(Debug)]
pub(crate) struct LoadMeter;

impl CacheMeter {
    pub(crate) fn new(_store: &'static str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn hit(&self) {}

    #[inline]
    pub(crate) fn hit_refused(&self, _known: Lacking) {}

    #[inline]
    pub(crate) fn missed(&self, _maps: impl FnOnce() -> (Lacking, Lacking)) {}

    #[inline]
    pub(crate) fn holds(&self, _entries: impl FnOnce() -> (u64, u64)) {}

    #[inline]
    pub(crate) fn begin(&self, _now: impl FnOnce() -> u64) -> LoadMeter {
        LoadMeter
    }

    #[inline]
    pub(crate) fn end(&self, _load: LoadMeter, _how: LoadEnd, _now: impl FnOnce() -> u64) {}

    #[inline]
    pub(crate) fn overloaded(&self) {}

    #[inline]
    pub(crate) fn breaker(&self, _state: BreakerState) {}
}

#[derive(Debug, Default)]
pub(crate) struct LimitMeter(());

impl LimitMeter {
    #[inline]
    pub(crate) fn decided(
        &self,
        _policy: Option<&str>,
        _verdict: LimitVerdict,
        _source: LimitSource,
    ) {
    }
}

#[derive(Debug, Default)]
pub(crate) struct StoreMeter(());

impl StoreMeter {
    #[inline]
    pub(crate) fn took(&self, _outcome: StoreOutcome, _nanos: u64) {}

    #[inline]
    pub(crate) fn failed(&self, _reason: &'static str) {}

    #[inline]
    pub(crate) fn degraded(&self, _reason: &'static str) {}

    #[inline]
    pub(crate) fn breaker(&self, _is_open: bool) {}
}

#[derive(Debug)]
pub(crate) struct KeysMeter;

impl KeysMeter {
    pub(crate) fn new(_map: &'static str) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn moved(&self, _before: (usize, u64), _after: (usize, u64)) {}
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ForwardMeter(());

impl ForwardMeter {
    #[inline]
    pub(crate) fn forwarded(&self, _upstream: &str, _mode: &'static str, _outcome: &'static str) {}

    #[inline]
    pub(crate) fn left_out(&self, _upstream: &str) {}

    #[inline]
    pub(crate) fn removed(&self, _names: Removed) {}
}

#[inline]
pub(crate) fn mcp_session_refused() {}
#[derive(Clone, Debug, Default)]
pub(crate) struct MintMeter(());

impl MintMeter {
    #[inline]
    pub(crate) fn looked(&self, _upstream: &str, _result: &'static str) {}

    #[inline]
    pub(crate) fn minted(&self, _upstream: &str, _result: &'static str, _nanos: u64) {}

    #[inline]
    pub(crate) fn refused_us(&self, _upstream: &str) {}

    #[inline]
    pub(crate) fn refreshed(&self, _result: &'static str) {}

    #[inline]
    pub(crate) fn not_persisted(&self) {}
}

#[cfg(feature = "signed")]
#[inline]
pub(crate) fn verified(_result: &'static str) {}
