//! How does a token endpoint know who we are?
//!
//! 1. By one of the methods of RFC 6749 §2.3 and RFC 7523 §2.2. What is secret goes into one header or the form's end, never
//!    into a URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use std::fmt;

use super::error::HttpError;
#[cfg(feature = "signed")]
use super::error::HttpErrorKind as Kind;
use super::form::{Form, encode};
#[cfg(feature = "signed")]
use super::jwt::Signer;
use crate::forward::ConfigError;
#[cfg(feature = "signed")]
use crate::forward::SigningKey;
use crate::secret::Secret;

/// How we say who we are to a token endpoint. `Debug` shows the method and the client id.
#[derive(Clone)]
pub struct ClientAuth(Method);

#[derive(Clone)]
enum Method {
    Basic {
        id: Box<str>,
        header: HeaderValue,
    },
    Post {
        id: Box<str>,
        secret: Secret,
    },
    Public {
        id: Box<str>,
    },
    Unknown,
    #[cfg(feature = "signed")]
    Signed(Box<Signer>),
}

impl ClientAuth {
    /// `client_secret_basic`: `Authorization: Basic` of id and secret, each form-encoded first (RFC 6749 §2.3.1).
    ///
    /// # Errors
    /// [`ConfigError::Value`] if one of them is empty or both together are longer than 4,096 bytes.
    pub fn basic(client_id: &str, secret: Secret) -> Result<Self, ConfigError> {
        let unfit = check(client_id, secret.expose())?;
        let mut pair = zeroize::Zeroizing::new(String::new());
        encode(client_id, &mut pair);
        pair.push(':');
        encode(secret.expose(), &mut pair);
        let value = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
        let mut header = HeaderValue::try_from(value).map_err(|_shape| unfit)?;
        header.set_sensitive(true);
        Ok(Self(Method::Basic { id: client_id.into(), header }))
    }

    /// `client_secret_post`: `client_id` and `client_secret` at the form's end. Only where `basic` is not supported.
    ///
    /// # Errors
    /// As [`basic`](Self::basic).
    pub fn post(client_id: &str, secret: Secret) -> Result<Self, ConfigError> {
        check(client_id, secret.expose())?;
        Ok(Self(Method::Post { id: client_id.into(), secret }))
    }

    /// `client_id` at the form's end and no secret: a public client (RFC 6749 §3.2.1).
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it is empty or longer than 4,096 bytes.
    pub fn public(client_id: &str) -> Result<Self, ConfigError> {
        check(client_id, "-")?;
        Ok(Self(Method::Public { id: client_id.into() }))
    }

    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self(Method::Unknown)
    }

    /// `private_key_jwt`: an assertion of 60 s, signed anew for each question, whose audience is the token endpoint's URL
    /// (RFC 7523 §3). The key's name is sent as `kid`.
    ///
    /// # Errors
    /// [`ConfigError::Key`] for a symmetric key; [`ConfigError::Value`] as for [`public`](Self::public).
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    pub fn private_key_jwt(client_id: &str, key: SigningKey) -> Result<Self, ConfigError> {
        check(client_id, "-")?;
        Ok(Self(Method::Signed(Box::new(Signer::new(client_id, key)?))))
    }

    /// Takes the time of assertions from `clock`. Default: the system's.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    #[must_use]
    pub fn with_clock(mut self, clock: impl crate::clock::Clock) -> Self {
        if let Method::Signed(signer) = &mut self.0 {
            signer.set_clock(clock);
        }
        self
    }

    /// Adds to the form what belongs there, and says what header goes with it.
    #[cfg_attr(
        not(feature = "signed"),
        expect(unused_variables, reason = "only an assertion is made for one endpoint")
    )]
    pub(super) fn sign(
        &self,
        form: &mut Form,
        url: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, HttpError> {
        match &self.0 {
            Method::Basic { header, .. } => return Ok(Some((AUTHORIZATION, header.clone()))),
            Method::Post { id, secret } => {
                form.add("client_id", id);
                form.add("client_secret", secret.expose());
            }
            Method::Public { id } => form.add("client_id", id),
            Method::Unknown => {}
            #[cfg(feature = "signed")]
            Method::Signed(signer) => {
                let assertion = signer.assertion(url).ok_or(UNSIGNED)?;
                form.add(
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                );
                form.add("client_assertion", assertion.expose());
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, id) = match &self.0 {
            Method::Basic { id, .. } => ("client_secret_basic", Some(&**id)),
            Method::Post { id, .. } => ("client_secret_post", Some(&**id)),
            Method::Public { id } => ("public", Some(&**id)),
            Method::Unknown => ("none", None),
            #[cfg(feature = "signed")]
            Method::Signed(signer) => ("private_key_jwt", Some(signer.client_id())),
        };
        f.debug_struct("ClientAuth").field("method", &method).field("client_id", &id).finish()
    }
}

#[cfg(feature = "signed")]
const UNSIGNED: HttpError = HttpError::early(Kind::Question);

fn check(id: &str, secret: &str) -> Result<ConfigError, ConfigError> {
    let unfit = ConfigError::Value { setting: "client authentication" };
    let fine = !id.is_empty() && !secret.is_empty() && id.len() + secret.len() <= 4_096;
    if fine { Ok(unfit) } else { Err(unfit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let auth = |made: Result<ClientAuth, ConfigError>| made.unwrap();
        let secret = || Secret::new("p@ss:word");
        for (name, auth, header, form) in [
            (
                "FJ2",
                auth(ClientAuth::basic("gw client", secret())),
                Some("Basic Z3crY2xpZW50OnAlNDBzcyUzQXdvcmQ="),
                "",
            ),
            (
                "F128 post",
                auth(ClientAuth::post("gw client", secret())),
                None,
                "client_id=gw+client&client_secret=p%40ss%3Aword",
            ),
            ("F128 public", auth(ClientAuth::public("gw client")), None, "client_id=gw+client"),
            ("F128 none", ClientAuth::none(), None, ""),
        ] {
            let mut got = Form::new();
            let sent = auth.sign(&mut got, "https://as.example.com/t").unwrap();
            let sent = sent.map(|(name, value)| {
                assert!(value.is_sensitive() && name == AUTHORIZATION, "XK1");
                value.to_str().unwrap().to_owned()
            });
            assert_eq!(sent.as_deref(), header, "{name}");
            assert_eq!(got.into_bytes(), form.as_bytes(), "{name}");
            assert!(!format!("{auth:?}").contains("ss"), "F173 {auth:?}");
        }
        for (name, id, secret) in [("no id", "", "s"), ("no secret", "i", "")] {
            let got = ClientAuth::basic(id, Secret::new(secret)).map(|_| ());
            let want = Err(ConfigError::Value { setting: "client authentication" });
            assert_eq!(got, want, "F128 {name}");
        }
    }
}
