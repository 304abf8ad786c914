//! With a recorder: what went to upstreams.

use ::metrics::{Counter, counter, describe_counter};
use std::sync::{Arc, OnceLock};

use crate::metrics::Removed;
use crate::metrics::recorded::Counters;

const FORWARDED: &str = "tower_bearer_forward_total";
const STRIPPED: &str = "tower_bearer_forward_stripped_total";
#[cfg(feature = "signed")]
const VERIFIED: &str = "tower_bearer_verify_total";
const MCP_SESSION_REFUSED: &str = "tower_bearer_mcp_session_refused_total";
const NOMINATED: &str = "tower_bearer_forward_nominated_total";

const LEFT_OUT: &str = "tower_bearer_forward_left_out_total";

pub(super) fn describe() {
    describe_counter!(LEFT_OUT, "Full names that had no value to be sent");
    describe_counter!(FORWARDED, "Requests prepared for an upstream");
    describe_counter!(STRIPPED, "Field names removed from requests");
    #[cfg(feature = "signed")]
    describe_counter!(VERIFIED, "Forwarded identities verified or refused");
    describe_counter!(MCP_SESSION_REFUSED, "Ids of MCP that were not bound to their caller");
    describe_counter!(NOMINATED, "Managed names that a client's Connection field nominated");
}

/// What went to one upstream. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForwardMeter {
    requests: Arc<Counters>,
    names: Arc<OnceLock<NameHandles>>,
}

#[derive(Debug)]
struct NameHandles {
    identity: Counter,
    credential: Counter,
    proxy: Counter,
    leg: Counter,
    nominated: Counter,
}

impl ForwardMeter {
    pub(crate) fn forwarded(&self, upstream: &str, mode: &'static str, outcome: &'static str) {
        self.requests.count(upstream, [mode, outcome, "", ""], || {
            counter!(
                FORWARDED, "upstream" => upstream.to_owned(), "mode" => mode, "outcome" => outcome
            )
        });
    }

    /// Seldom: takes no handle.
    pub(crate) fn left_out(&self, upstream: &str) {
        counter!(LEFT_OUT, "upstream" => upstream.to_owned()).increment(1);
    }

    pub(crate) fn removed(&self, names: Removed) {
        let group = |group: &'static str| counter!(STRIPPED, "group" => group);
        let handles = self.names.get_or_init(|| NameHandles {
            identity: group("identity"),
            credential: group("credential"),
            proxy: group("proxy"),
            leg: group("leg"),
            nominated: counter!(NOMINATED),
        });
        for (counter, number) in [
            (&handles.identity, names.identity),
            (&handles.credential, names.credential),
            (&handles.proxy, names.proxy),
            (&handles.leg, names.leg),
            (&handles.nominated, names.nominated),
        ] {
            if number > 0 {
                counter.increment(u64::from(number));
            }
        }
    }
}

/// An `Mcp-Session-Id` that belongs to nobody here, or could not be bound.
pub(crate) fn mcp_session_refused() {
    counter!(MCP_SESSION_REFUSED).increment(1);
}

/// What became of a forwarded identity here, its receiver: `ok`, or a reason.
#[cfg(feature = "signed")]
pub(crate) fn verified(result: &'static str) {
    counter!(VERIFIED, "result" => result).increment(1);
}
