//! With a recorder: how credentials for upstreams were come by.

use ::metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use std::sync::Arc;
use std::time::Duration;

use crate::metrics::recorded::Counters;

const SECONDS: &str = "tower_bearer_forward_mint_seconds";
const CACHE: &str = "tower_bearer_forward_cache_total";
const REFUSES_US: &str = "tower_bearer_forward_issuer_refuses_us_total";
const REFRESHES: &str = "tower_bearer_link_refresh_total";
const NOT_PERSISTED: &str = "tower_bearer_link_persist_failed_total";

pub(super) fn describe() {
    describe_histogram!(SECONDS, Unit::Seconds, "How long issuers took for a credential");
    describe_counter!(CACHE, "Look-ups of minted credentials");
    describe_counter!(REFUSES_US, "Answers of an issuer that does not accept this service");
    describe_counter!(REFRESHES, "Uses of users' refresh tokens");
    describe_counter!(NOT_PERSISTED, "New tokens of users that no store would take");
}

/// The credentials of one source. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MintMeter(Arc<Counters>);

impl MintMeter {
    /// Looked for a credential: `hit`, `miss`, `joined` or `paused`.
    pub(crate) fn looked(&self, upstream: &str, result: &'static str) {
        self.0.count(
            upstream,
            [result, "", "", ""],
            || counter!(CACHE, "upstream" => upstream.to_owned(), "result" => result),
        );
    }

    /// An issuer answered after so many nanoseconds, or did not.
    pub(crate) fn minted(&self, upstream: &str, result: &'static str, nanos: u64) {
        histogram!(SECONDS, "upstream" => upstream.to_owned(), "result" => result)
            .record(Duration::from_nanos(nanos).as_secs_f64());
    }

    /// The issuer does not accept this service.
    pub(crate) fn refused_us(&self, upstream: &str) {
        counter!(REFUSES_US, "upstream" => upstream.to_owned()).increment(1);
    }

    /// A refresh token was used: `ok`, or why there are no new tokens.
    pub(crate) fn refreshed(&self, result: &'static str) {
        counter!(REFRESHES, "result" => result).increment(1);
    }

    /// New tokens could not be stored.
    pub(crate) fn not_persisted(&self) {
        counter!(NOT_PERSISTED).increment(1);
    }
}
