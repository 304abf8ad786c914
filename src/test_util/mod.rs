//! How do I test my own service without minting a token for each row?
//!
//! 1. [`Forge`] makes an [`AuthContext`](crate::AuthContext) of any caller, which nothing else outside this crate can: a handler, a
//!    layer or a whole stack is then tested over a plain request.
//! 2. [`ScriptedStore`] puts a switch in front of any store: it answers, fails, hangs, or holds its answers back until they are
//!    let go. So a test shows what users see while a database is out.
//! 3. [`MemoryBus`] and [`MemoryContexts`] stand between authenticators of one test as Redis does between processes; a line of
//!    the bus can be cut and mended.
//! 4. [`ManualClock`](crate::clock::ManualClock) moves time, and needs no feature.
//!
//! For `[dev-dependencies]` alone: a service that is built with this feature can forge its callers. Mistakes of a test panic here,
//! where the rest of the crate gives back an `Err`.
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response, StatusCode};
//! use http_body_util::Full;
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bearer::AuthContext;
//! use tower_bearer::stack::ScopeCheck;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let inner = service_fn(|_: Request<()>| async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) });
//! let service = ScopeCheck::all(["notes:read"])?.layer(inner);
//! for (scopes, want) in [("notes:read", StatusCode::OK), ("notes:write", StatusCode::FORBIDDEN)] {
//!     let mut request = Request::new(());
//!     AuthContext::forge().scopes(scopes).insert_into(request.extensions_mut());
//!     assert_eq!(service.clone().oneshot(request).await?.status(), want, "{scopes}");
//! }
//! # Ok(()) }
//! ```

mod bus;
mod contexts;
mod forge;
mod scripted;

pub use self::bus::{LineCut, MemoryBus};
pub use self::contexts::MemoryContexts;
pub use self::forge::Forge;
pub use self::scripted::{Script, ScriptedError, ScriptedStore};
