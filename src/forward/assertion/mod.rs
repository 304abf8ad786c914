//! What do we state of a caller, signed, for one upstream and one request?
//!
//! 1. A short JWT (RFC 7519, RFC 7515 §3.1) that says who calls, for whom it is meant and for how long; made anew for each
//!    request, never kept.
//! 2. Claims are built from values, never from text: a quote in an e-mail address stays inside of it.
//! 3. Public keys only: whoever can verify an assertion cannot make one.
//! 4. Keys change without a gap: the next one is published before it signs, an old one for as long as its last assertion
//!    and every kept copy of the key set live.
//! 5. Everything but the drawing of an id is a function of an identity and a time.

mod jwk;
mod jwks;
mod schedule;

pub use jwks::JwksService;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer as _};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use self::jwk::Jwk;
use self::schedule::Schedule;
use super::error::{ConfigError, ForwardError};
use super::identity::{CLAIMS, Field, Identity};
use super::key_rules::KeyFault;
use super::sign::{SigningKey, VerifyingKey, VerifyingKeys};
use super::write::{Names, Writer};
use crate::clock::Timestamp;

/// The `typ` of an assertion.
pub(crate) const TYP: &str = "identity+jwt";

/// Most bytes of an assertion, as of every credential.
pub(crate) const LONGEST: usize = 8192;

/// Claims that are about the assertion; no attribute takes their names.
pub(super) const OWN_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"];

/// A key that signs assertions, under the name that they carry as `kid`.
#[derive(Clone, Debug)]
pub struct AssertionKey(SigningKey);

impl AssertionKey {
    /// A key under its thumbprint (RFC 7638): 43 letters that nobody has to choose.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for a symmetric key: whoever could verify could sign.
    pub fn new(key: SigningKey) -> Result<Self, ConfigError> {
        let jwk = Jwk::of(&key.verifying()).ok_or(SYMMETRIC)?;
        Ok(Self(key.renamed(jwk.thumbprint().into())))
    }

    /// A key under the name that it was made with.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn named(key: SigningKey) -> Result<Self, ConfigError> {
        let is_public = key.algorithm().jws_word().is_some();
        if is_public { Ok(Self(key)) } else { Err(SYMMETRIC) }
    }

    /// The name that assertions carry.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.0.id()
    }

    /// The public half, under the same name.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        self.0.verifying()
    }
}

const SYMMETRIC: ConfigError = ConfigError::Key { fault: KeyFault::Algorithm };

/// Who states, for how long, and with which keys.
///
/// Clones share the keys, so that a change of keys reaches the forwarding and the [`JwksService`] that were built from them.
/// Use keys that sign no token which the authenticator accepts. `Debug` shows issuer and names of keys.
///
/// ```
/// use tower_bearer::forward::{AssertionKey, Assertions, ForwardOptions, JwksService, SigningKey, Upstream};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let mut seed = [0; 32];
/// # getrandom::fill(&mut seed)?;
/// let key = AssertionKey::new(SigningKey::ed25519("unused", &seed)?)?;
/// let assertions = Assertions::new("https://gw.example.com", key)?;
/// let published = JwksService::<bytes::Bytes>::new(&assertions);
///
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let forwarding = ForwardOptions::assertion(upstream, assertions).build()?;
/// # let _ = (published, forwarding);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Assertions {
    issuer: Arc<str>,
    life: Duration,
    keys: Arc<Keys>,
}

struct Keys {
    schedule: RwLock<Arc<Schedule>>,
    /// Longest life of what was signed, in seconds: an old key is published for that long.
    longest_life: AtomicU64,
}

impl Assertions {
    /// Statements of `issuer`, the `iss` that receivers compare, signed with `key` and good for 60 seconds.
    ///
    /// # Errors
    /// [`ConfigError::Value`] unless `issuer` is 1 to 2,048 bytes 0x21 to 0x7E.
    pub fn new(issuer: &str, key: AssertionKey) -> Result<Self, ConfigError> {
        if !(1..=2048).contains(&issuer.len())
            || !issuer.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(ConfigError::Value { setting: "issuer" });
        }
        let schedule = RwLock::new(Arc::new(Schedule::new(key)));
        let keys = Arc::new(Keys { schedule, longest_life: AtomicU64::new(0) });
        Ok(Self { issuer: issuer.into(), life: DEFAULT_LIFE, keys })
    }

    /// Sets for how long an assertion counts, 1 to 3,600 whole seconds; a receiver adds 30 for clocks that differ.
    ///
    /// Default 60 s. Receivers of this crate believe nothing longer than 300 s unless they are told to.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn lifetime(mut self, life: Duration) -> Result<Self, ConfigError> {
        if life.subsec_nanos() != 0 || !(1..=3600).contains(&life.as_secs()) {
            return Err(ConfigError::OutOfRange { setting: "lifetime" });
        }
        self.life = life;
        Ok(self)
    }

    /// Publishes `key` now, and signs with it from `from` on, which is at least 300 s later; for all clones.
    ///
    /// The key that it takes over from is retired then, and published until `from` + lifetime + 300 s.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for an earlier `from`, one that is not after those before, and for more than 4 keys that
    /// are published at once; [`ConfigError::NameTaken`] for a `kid` that is published already.
    pub fn next(
        &self,
        key: AssertionKey,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<(), ConfigError> {
        let life = self.longest_life();
        self.change(|schedule| schedule.with_next(key, from, now, life))
    }

    /// Publishes the public half of a key that signed until `at`, e.g. before a restart: until `at` + lifetime + 300 s.
    ///
    /// # Errors
    /// As [`next`](Self::next) for number and name; [`ConfigError::Key`] for a symmetric key.
    pub fn retire(&self, key: VerifyingKey, at: Timestamp) -> Result<(), ConfigError> {
        if key.public_parts().is_none() {
            return Err(SYMMETRIC);
        }
        let life = self.longest_life();
        self.change(|schedule| schedule.with_retired(key, at, life))
    }

    /// The keys that are published at `now`, the one that signs first.
    #[must_use]
    pub fn verifying(&self, now: Timestamp) -> VerifyingKeys {
        VerifyingKeys::of(self.schedule().published(now, self.longest_life()))
    }

    /// The `iss` of every assertion.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn life(&self) -> Duration {
        self.life
    }

    /// An assertion with an id of its own.
    pub(super) fn state(
        &self,
        audience: &str,
        claims: Claims<'_>,
        now: Timestamp,
    ) -> Result<String, ForwardError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|_no_entropy| ForwardError::Unsigned)?;
        self.sign(audience, claims, now, &URL_SAFE_NO_PAD.encode(id))
    }

    /// The assertion of this id: the same for the same values, but for what an algorithm draws.
    pub(super) fn sign(
        &self,
        audience: &str,
        claims: Claims<'_>,
        now: Timestamp,
        id: &str,
    ) -> Result<String, ForwardError> {
        let schedule = self.schedule();
        let AssertionKey(key) = schedule.signer(now);
        let alg = key.algorithm().jws_word().ok_or(ForwardError::Unsigned)?;
        let header = serde_json::to_vec(&Header { typ: TYP, alg, kid: key.id() });
        let claims = self.claims(audience, claims, now.as_secs(), id);
        let unencodable = |_fault| ForwardError::Unencodable { field: ASSERTION.into() };
        let (header, claims) = (header.map_err(unencodable)?, claims.map_err(unencodable)?);

        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = key.sign(token.as_bytes()).ok_or(ForwardError::Unsigned)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        if token.len() > LONGEST {
            return Err(ForwardError::TooLarge { field: ASSERTION.into() });
        }
        self.keys.longest_life.fetch_max(self.life.as_secs(), Ordering::Relaxed);
        Ok(token)
    }

    fn claims(
        &self,
        audience: &str,
        claims: Claims<'_>,
        now: u64,
        id: &str,
    ) -> Result<Vec<u8>, serde_json::Error> {
        let Claims { writer, identity, omitted } = claims;
        let mut out = Vec::new();
        let mut json = serde_json::Serializer::new(&mut out);
        let mut object = json.serialize_map(None)?;
        let [iss, sub, aud, iat, nbf, exp, jti] = OWN_CLAIMS;
        object.serialize_entry(iss, &*self.issuer)?;
        object.serialize_entry(sub, identity.id())?;
        object.serialize_entry(aud, audience)?;
        object.serialize_entry(iat, &now)?;
        object.serialize_entry(nbf, &now)?;
        object.serialize_entry(exp, &now.saturating_add(self.life.as_secs()))?;
        object.serialize_entry(jti, id)?;
        writer.members(identity, omitted, Names::Claims(&CLAIMS), &mut object)?;
        object.end()?;
        Ok(out)
    }

    fn change(
        &self,
        change: impl FnOnce(&Schedule) -> Result<Schedule, ConfigError>,
    ) -> Result<(), ConfigError> {
        let mut schedule = self.keys.schedule.write().unwrap_or_else(PoisonError::into_inner);
        *schedule = Arc::new(change(&schedule)?);
        Ok(())
    }

    fn schedule(&self) -> Arc<Schedule> {
        Arc::clone(&self.keys.schedule.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn longest_life(&self) -> Duration {
        let signed = self.keys.longest_life.load(Ordering::Relaxed);
        self.life.max(Duration::from_secs(signed))
    }
}

const DEFAULT_LIFE: Duration = Duration::from_secs(60);

/// What errors call it.
const ASSERTION: &str = "assertion";

/// What is stated of the caller.
#[derive(Clone, Copy)]
pub(super) struct Claims<'a> {
    pub(super) writer: &'a Writer,
    pub(super) identity: &'a Identity<'a>,
    pub(super) omitted: &'a [Field],
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

impl fmt::Debug for Assertions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertions")
            .field("issuer", &self.issuer)
            .field("life", &self.life)
            .field("keys", &self.schedule().names().collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests;
