//! What happened, for those who must be able to tell later?
//!
//! 1. One sink per authenticator; the default writes `tracing` events with the target `tower_bearer::audit`.
//! 2. Passes are sampled, refusals are capped per reason and second, and what the cap held back is counted.
//! 3. No event can hold a token, a digest, a scope or an e-mail.

mod event;
mod sampling;
mod traced;

pub(crate) use self::event::request_id;
pub use self::event::{Change, Event, EventName, ForwardedTo, Severity};
pub(crate) use self::sampling::Audit;
pub use self::traced::TracingSink;

/// Takes the events of one authenticator.
///
/// Called on the path of the request: hand slow work to somebody else. A panic reaches the service's panic catcher.
pub trait AuditSink: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: &Event<'_>);

    /// Is an event of this name wanted now? One that is not is not even put together. Default: all are.
    fn wants(&self, name: EventName) -> bool {
        let _ = name;
        true
    }
}
