//! Was this signed request seen before?

use std::future::Future;

use crate::clock::Timestamp;

/// Remembers the nonces of signed requests, so that none counts twice.
///
/// Called once for each request whose signature is right, never for others. Receivers that share an authority share a store,
/// or a request counts once at each.
pub trait NonceStore: Send + Sync + 'static {
    /// Why the store could not say: the request is answered 503.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Whether this nonce of this key is new, in one atomic step that also remembers it through `until`.
    ///
    /// `key` is 1 to 64 of `A-Z a-z 0-9 . _ -`, `nonce` 1 to 64 of `A-Z a-z 0-9 _ -`. A full store is an error: a nonce
    /// that still counts is never thrown out.
    fn insert_if_absent(
        &self,
        key: &str,
        nonce: &str,
        until: Timestamp,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;
}
