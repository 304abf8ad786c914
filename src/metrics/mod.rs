//! What can be counted while it runs?
//!
//! With feature `metrics` this crate tells the [`metrics`](https://docs.rs/metrics/0.24) facade; without it every call is
//! empty. Install the recorder before the first request: what is counted often keeps the handle it got first.
//!
//! | metric | type | labels |
//! | --- | --- | --- |
//! | `tower_bearer_decisions_total` | counter | `step`, `outcome` (`pass`, `refuse`, `undecided`), `reason`, `kind`, `route` |
//! | `tower_bearer_cache_lookups_total` | counter | `cache`, `result` (`hit`, `miss`, `stale`) |
//! | `tower_bearer_cache_entries` | gauge | `cache` |
//! | `tower_bearer_cache_flush_total` | counter | `reason` (`manual`, `bus_reconnect`) |
//! | `tower_bearer_loads_in_flight` | gauge | `cache` |
//! | `tower_bearer_load_seconds` | histogram | `cache`, `result` (`ok`, `none`, `error`, `deadline`, `overload`) |
//! | `tower_bearer_breaker_state` | gauge: 0 closed, 1 half open, 2 open | `dependency` |
//! | `tower_bearer_revocations_total` | counter | `origin` (`local`, `bus`) |
//! | `tower_bearer_bus_connected` | gauge | – |
//! | `tower_bearer_bus_lag_seconds` | histogram | – |
//! | `tower_bearer_shared_cache_total` | counter | `outcome` (`hit`, `miss`, `buried`, `failed`, `late`, `foreign`) |
//! | `tower_bearer_audit_suppressed_total` | counter | `reason` |
//! | `tower_bearer_limiter_decisions_total` | counter | `policy`, `verdict` (`admitted`, `denied`, `never`, `free`, `would_deny`, `undecided`), `source` (`local`, `store`, `deny_cache`, `fallback`, `open`) |
//! | `tower_bearer_limiter_store_seconds` | histogram | `outcome` (`admitted`, `denied`, `failed`) |
//! | `tower_bearer_limiter_failures_total` | counter | `reason` |
//! | `tower_bearer_limiter_degraded_total` | counter | `reason` |
//! | `tower_bearer_limiter_reconnects_total` | counter | `reason` |
//! | `tower_bearer_limiter_script_loads_total` | counter | – |
//! | `tower_bearer_limiter_keys` | gauge | `map` (`windows`, `deny`, `failures`) |
//! | `tower_bearer_limiter_evicted_total` | counter | `map` |
//! | `tower_bearer_forward_total` | counter | `upstream`, `mode` (`off`, `headers`, `signed_headers`), `outcome` (`sent`, `anonymous`, `stripped`, `refused`) |
//! | `tower_bearer_forward_stripped_total` | counter: field names | `group` (`identity`, `credential`, `proxy`, `leg`) |
//! | `tower_bearer_mcp_session_refused_total` | counter | – |
//! | `tower_bearer_verify_total` (feature `signed`) | counter | `result`: `ok`, or why a forwarded identity was not believed |
//! | `tower_bearer_forward_nominated_total` | counter: field names | – |
//! | `tower_bearer_forward_left_out_total` | counter: full names without a raw value (preset contextforge) | `upstream` |
//! | `tower_bearer_forward_mint_seconds` | histogram | `upstream`, `result` (`ok`, `reauth_required`, `login_required`, `identity_denied`, `step_up`, `refuses_us`, `busy`, `error`, `deadline`) |
//! | `tower_bearer_forward_cache_total` | counter | `upstream`, `result` (`hit`, `miss`, `joined`, `paused`) |
//! | `tower_bearer_forward_issuer_refuses_us_total` | counter | `upstream` |
//! | `tower_bearer_link_refresh_total` | counter | `result` (`ok`, `gone`, `refuses_us`, `busy`, `error`, `deadline`) |
//! | `tower_bearer_link_persist_failed_total` | counter | – |
//!
//! # How many series
//!
//! 1. No label is ever made of a request: no token, id, address, e-mail or path. A label is one of this crate's fixed words
//!    or a name that was configured: `kind`, `policy`, `upstream`, and `route`.
//! 2. `step` is a [`StepName`](crate::rejection::StepName), `reason` a [`Reason`](crate::rejection::Reason); `cache` is
//!    `context`, `negative`, `app`, `member`, `permit`, `caller`, `minted` or `link`, `dependency` the cache's store (`token`, `app`, `member`,
//!    `permit`, `caller`, `minted` or `link`), `shared_cache` or `limiter`. `reason` of a limiter's store is a
//!    [`StoreFailure`](crate::store::StoreFailure). `-` is what is not known.
//! 3. So the number of series is a product known at build. Decisions are the most: (steps × reasons + 1) × (kinds + 1) ×
//!    routes, of which most never happen. [`route`](crate::authenticator::AuthenticatorBuilder::route) gives constants; a
//!    service that leaks a string per request has itself to blame.
//!
//! # What is counted
//!
//! 1. Decisions: one `pass` per request and gate that authenticates (step `bearer`, reason `-`), and each refusal, by the step
//!    that refused; `undecided` from status 500 on.
//! 2. Look-ups: each asked for one fact. `negative` is the token cache's memory of what was refused; the other caches count
//!    both memories as one. What a token's last request learned is no look-up. Entries lag behind by those that the cache
//!    has not put in order yet.
//! 3. Loads: in flight from the start of the task on, waiting for a place included. `overload` never ran and took no time;
//!    what the breaker turned away is no load.
//! 4. Entries and keys are sums over all caches and maps of that name in this process; of two breakers of one name, the
//!    last change shows. `manual` flushes are those of
//!    [`forget_all`](crate::Authenticator::forget_all), by hand or after a revocation that nobody could confirm.
//! 5. Limits: `policy` is the one with the least left, or the first violated; `store` is a shared store, `deny_cache` a
//!    denial of its that was remembered, `fallback` the logs in process, `open` let by what could not be decided. Failures are
//!    failed calls, `degraded` counts decisions that the shared store did not make. A reconnection
//!    and, after the first on each server, a load of the script say that what Redis knew is in doubt. Decisions of a [`FailureLimit`](crate::stack::FailureLimit) are refusals of step `limit`.
//! 6. The bus: `connected` is a sum over the authenticators of this process. The lag is what the adapter says, else that of this
//!    process's own notices, as they come round. A gap and each joining but the first are `bus_reconnect` flushes. `origin` `bus`
//!    counts what others told of, in this process; each of several processes counts it.
//! 7. The shared cache: `late` passed its deadline, `foreign` could not be used (another version, no object, another kind); what
//!    the breaker turned away is `failed`. All but `hit` and `buried` sent the load on to its source.
//! 8. Forwarding: what was removed from requests that went on. `mcp_session_refused` counts ids that were not bound to their
//!    caller, and ids of upstreams that could not be bound.
//!    `joined` waited for a credential that was being minted already,
//!    `paused` asked nobody because the issuer asks to be left alone. Of a user's own tokens `upstream` in
//!    `forward_issuer_refuses_us_total` is the provider's name. A `link_persist_failed_total` that moves says that users will have
//!    to sign in again once this process ends.

#[cfg(feature = "metrics")]
mod recorded;
#[cfg(not(feature = "metrics"))]
mod silent;

#[cfg(feature = "metrics")]
use self::recorded as meters;
#[cfg(feature = "metrics")]
pub use self::recorded::describe;
#[cfg(not(feature = "metrics"))]
use self::silent as meters;

#[cfg(feature = "signed")]
pub(crate) use self::meters::verified;
pub(crate) use self::meters::{
    CacheMeter, Decisions, ForwardMeter, KeysMeter, LimitMeter, LoadMeter, MintMeter, OnBus,
    StoreMeter, bus_lag, flushed, mcp_session_refused, refused, revoked, shared_cache,
    shared_cache_breaker, suppressed,
};
#[cfg(feature = "redis")]
pub(crate) use self::meters::{reconnected, script_loaded};

/// A refusal, in the words of its labels.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refused<'a> {
    pub(crate) step: &'static str,
    pub(crate) undecided: bool,
    pub(crate) reason: &'static str,
    pub(crate) kind: Option<&'a str>,
}

/// Why a map did not say what is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lacking {
    Absent,
    Ended,
}

/// How a load ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LoadEnd {
    Found,
    None,
    Failed,
    Late,
}

/// Where a token was ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    Local,
    Bus,
}

/// Why everything cached was dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flush {
    Manual,
    BusReconnect,
}

/// What the shared cache said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SharedOutcome {
    Hit,
    Miss,
    Buried,
    Failed,
    Late,
    Foreign,
}

/// Whether a dependency is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BreakerState {
    Closed,
    HalfOpen,
    Open,
}

/// What a limiter said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LimitVerdict {
    Admitted,
    Denied,
    Never,
    Free,
    WouldDeny,
    Undecided,
}

/// What a limiter decided by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LimitSource {
    Local,
    Store,
    DenyCache,
    Fallback,
    Open,
}

/// What a call to a shared store of windows came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoreOutcome {
    Admitted,
    Denied,
    Failed,
}

/// How many names of each group were removed from one request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Removed {
    pub(crate) identity: u32,
    pub(crate) credential: u32,
    pub(crate) proxy: u32,
    pub(crate) leg: u32,
    pub(crate) nominated: u32,
}
