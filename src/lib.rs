//! Composable bearer-token authentication and authorization for any tower or hyper service.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod audit;
pub mod authenticator;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod breaker;
mod cache;
pub mod clock;
mod context;
mod evidence;
pub mod forward;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod gate;
pub mod id;
pub mod issuing;
mod key;
pub mod limit;
pub mod rejection;
pub mod scope;
pub mod stack;
pub mod store;
pub mod subject;
pub mod token;
mod window;

pub use authenticator::Authenticator;
pub use context::{AuthContext, Quota};
pub use evidence::Evidence;
