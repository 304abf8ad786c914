//! Reading the log in a test while other tests of the file run beside it.

use std::sync::Once;

/// Keeps events alive for whoever listens on one thread.
///
/// Without a subscriber for all threads, a thread that has none can be the first to meet an event, and switches it off
/// for every thread. Where each test comes through here first, none can.
pub(crate) fn listen() {
    static ALL: Once = Once::new();
    ALL.call_once(|| {
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).ok();
    });
}
