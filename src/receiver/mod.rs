//! Who do I, an upstream, believe to be the caller?
//!
//! 1. A [`Verifier`] reads what a gateway in mode `signed_headers` sent (RFC 9421), and believes nothing of it before the
//!    signature over all of it is right: no header that looks like identity may stand outside.
//! 2. A signature counts for this authority, for a short time, and once: the nonce is asked for last.
//! 3. An [`AssertionVerifier`] does the same for a gateway in mode `assertion` (RFC 7519), whose JWT holds all that counts.
//! 4. [`VerifyIdentity`] is either as a layer, which leaves the [`VerifiedCaller`] in the request's extensions.
//! 5. Every failure is one answer, 403 `identity_not_verified`; what failed is for the logs. A nonce store without an answer
//!    is 503: never a pass.
//!
//! ```
//! use http_body_util::BodyExt;
//! use std::time::Duration;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_bearer::clock::{Clock, SystemClock};
//! use tower_bearer::forward::{ForwardBody, ForwardOptions, Identity, KeyRing, Signing, SigningKey, Upstream};
//! use tower_bearer::receiver::{VerifiedCaller, Verifier, VerifyIdentity};
//! use tower_bearer::store::MemoryNonces;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // both ends know one key; draw your own 32 bytes
//! let ring = KeyRing::new([SigningKey::hmac_sha256("k1", b"0123456789abcdef0123456789abcdef")?])?;
//! let verifying = ring.verifying();
//!
//! // the gateway, most often as `IdentityForward::new(forwarding).client_side()`
//! let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
//! let signing = Signing::new(ring).lifetime(Duration::from_secs(30));
//! let forwarding = ForwardOptions::signed_headers(upstream, signing).build()?;
//!
//! // the upstream
//! let verifier = Verifier::builder(verifying).url("https://mcp.example.com").build()?;
//! let service = ServiceBuilder::new().layer(VerifyIdentity::new(verifier, MemoryNonces::new())).service(service_fn(
//!     |request: http::Request<ForwardBody<String>>| async move {
//!         let caller = request.extensions().get::<VerifiedCaller>().map(|caller| caller.id().to_owned());
//!         Ok::<_, std::convert::Infallible>(http::Response::new(caller.unwrap_or_default()))
//!     },
//! ));
//!
//! let request = http::Request::builder().uri("https://mcp.example.com/mcp").body(String::from("{}"))?;
//! let (mut head, body) = request.into_parts();
//! let now = || SystemClock::new().now().wall();
//! let _prepared = forwarding.prepare_request_at(&mut head, Some(&Identity::account("acc-alice")), now)?;
//! forwarding.sign_body(&mut head, &body.clone().into())?;
//! let response = service.oneshot(http::Request::from_parts(head, body)).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "acc-alice");
//! # Ok(())
//! # }
//! ```

mod assertion;
mod caller;
mod claims;
mod decode;
mod fields;
mod verifier;
mod verify_identity;

pub use assertion::{AssertionVerifier, AssertionVerifierBuilder};
pub use caller::{CallerType, VerifiedCaller};
#[cfg(any(test, fuzzing))]
pub(crate) use fields::Signed;
pub use verifier::{Unspent, Verifier, VerifierBuilder, VerifyError};
pub use verify_identity::VerifyIdentity;
