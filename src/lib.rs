//! Composable bearer-token authentication and authorization for any tower or hyper service.
//!
//! A service hands out opaque, prefixed, revocable tokens; this crate says on each request who is calling and whether they
//! may. One [`Authenticator`] knows the kinds of tokens, asks the stores and remembers facts; [`stack`] has a layer for each
//! question, and [`BearerStack`](stack::BearerStack) puts them in order:
//!
//! 1. who is calling: [`BearerCheck`](stack::BearerCheck) leaves the [`AuthContext`],
//! 2. not too often: [`RateLimit`](stack::RateLimit),
//! 3. with the scopes that the route requires: [`ScopeCheck`](stack::ScopeCheck),
//! 4. about which app: [`AppResolver`](stack::AppResolver),
//! 5. as a member of its workspace: [`WorkspaceMembershipCheck`](stack::WorkspaceMembershipCheck),
//! 6. allowed by the app's access rule: [`AppAuthz`](stack::AppAuthz),
//! 7. known to the service: [`CallerMount`](stack::CallerMount),
//! 8. and told to the upstream: [`IdentityForward`](stack::IdentityForward).
//!
//! Every step but the first may be left out. A wrong order in a stack does not compile.
//!
//! ```
//! use http::{Request, StatusCode, header::AUTHORIZATION};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bearer::id::AccountId;
//! use tower_bearer::issuing::{Issuer, MintRequest};
//! use tower_bearer::stack::{BearerCheck, BearerStack};
//! use tower_bearer::store::{AccountStatus, MemoryStore, RevokeReason, RevokeTarget};
//! use tower_bearer::subject::{Subject, SubjectType};
//! use tower_bearer::token::{TokenKind, TokenKinds};
//! use tower_bearer::{AuthContext, Authenticator};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // one kind of token, one store, one authenticator
//! let kind = TokenKind::new("account")
//!     .prefix("acme_")
//!     .subject(SubjectType::Account)
//!     .narrowed(["notes:read", "notes:write"])
//!     .checksum();
//! let store = MemoryStore::new();
//! let kinds = TokenKinds::builder().kind(kind).build()?;
//! let auth = Authenticator::builder(kinds, store.clone()).ledger(store.clone()).build()?;
//!
//! // a token that may read notes
//! let id = AccountId::new("acc-1")?;
//! store.put_account(id.clone(), AccountStatus::Active);
//! let request = MintRequest::new("account", Subject::Account { id }, "cli", "laptop");
//! let issued = Issuer::new(&auth)?.mint(&request.scopes(["notes:read"])).await?;
//!
//! // a service that reads notes, and one that writes them
//! let notes = service_fn(|request: Request<()>| async move {
//!     assert!(AuthContext::of(request.extensions()).is_some());
//!     Ok::<_, std::convert::Infallible>(http::Response::new(Full::<bytes::Bytes>::default()))
//! });
//! let anyone = BearerStack::new(BearerCheck::new(&auth));
//! let read = anyone.clone().require_scopes(["notes:read"])?.layer(notes);
//! let write = anyone.require_scopes(["notes:write"])?.layer(notes);
//!
//! let presented = || {
//!     let credential = format!("Bearer {}", issued.token().expose());
//!     Request::builder().header(AUTHORIZATION, credential).body(())
//! };
//! assert_eq!(read.clone().oneshot(presented()?).await?.status(), StatusCode::OK);
//! assert_eq!(write.oneshot(presented()?).await?.status(), StatusCode::FORBIDDEN);
//! assert_eq!(read.clone().oneshot(Request::new(())).await?.status(), StatusCode::UNAUTHORIZED);
//!
//! // once this has returned, the token is refused
//! let target = RevokeTarget::Id { id: issued.id().clone(), owner: None };
//! auth.revoke_token(target, RevokeReason::Owner).await?;
//! assert_eq!(read.oneshot(presented()?).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! 1. Facts are cached, decisions never: each request is judged anew, from facts that are at most one life old.
//! 2. What nobody could say is 503 with `Retry-After`: never a pass, never a 401, 403 or 404, and remembered nowhere.
//! 3. Once a revocation has returned, a request that arrives afterwards in this process is refused, whatever is in flight.
//! 4. A limit is exact: while a log is kept, never more than its count in any window, and no denial while there is room.
//! 5. Refusals are responses with one problem body (RFC 9457); the [`Rejection`](rejection::Rejection) that made one lies in
//!    its extensions. The inner service's error type stays.
//! 6. A layer that runs without one it needs answers 500 and says so once in the log.
//! 7. Only the kind of a refusal goes on the wire. The reason is for the [`audit`], no event of which can hold a token.
//!
//! # Where to look
//!
//! | question | module |
//! | --- | --- |
//! | Which layers are there, and what does each refuse? | [`stack`] |
//! | How are kinds of tokens declared? | [`token`], [`scope`], [`subject`] |
//! | How are tokens made and ended? | [`issuing`], [`Authenticator`] |
//! | What must my own store answer? | [`store`] |
//! | How do several processes tell each other of revocations? | [`store::RevocationBus`], [`store::ContextStore`] |
//! | How are limits set? | [`limit`] |
//! | What does a refusal say? | [`rejection`] |
//! | What does the upstream learn, and how does it know? | [`forward`], `receiver` (feature `signed`) |
//! | Who mints credentials for the upstream? | [`store::IdentityIssuer`], `issuer_http` (feature `issuer-http`) |
//! | How do my tests move time? | [`clock::ManualClock`] |
//! | How do my tests forge a caller? | feature `test-util` |
//! | How is it done? Why so? What if? | [`manual`] |
//!
//! # Features
//!
//! Each only adds: `axum` (extractors), `issuer-http` (issuers and identity providers over HTTP), `metrics` (counters, gauges and times for the `metrics` facade), `signed` (signed identity and its
//! receiver), `test-util` (forged
//! contexts and scripted stores, for `[dev-dependencies]`), `full` (all).
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
pub mod authenticator;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod breaker;
mod cache;
mod chance;
pub mod clock;
mod context;
mod evidence;
pub mod forward;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod gate;
pub mod id;
#[cfg(feature = "issuer-http")]
#[cfg_attr(docsrs, doc(cfg(feature = "issuer-http")))]
pub mod issuer_http;
pub mod issuing;
mod key;
pub mod limit;
pub mod manual;
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(not(feature = "metrics"))]
mod metrics;
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub mod receiver;
pub mod rejection;
pub mod scope;
mod secret;
pub mod stack;
pub mod store;
pub mod subject;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod test_util;
pub mod token;
mod window;

pub use authenticator::Authenticator;
pub use context::{AuthContext, Quota, QuotaSource};
pub use evidence::Evidence;
pub use secret::Secret;

#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// Without its feature nobody forges a context.
///
/// ```compile_fail,E0599
/// tower_bearer::AuthContext::forge();
/// ```
#[cfg(all(doctest, not(feature = "test-util")))]
struct NobodyForges;
