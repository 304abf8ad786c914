//! Which bytes are signed?
//!
//! 1. The signature base of RFC 9421 §2.5: one line for each covered component, then the parameters.
//! 2. Whoever signs and whoever verifies writes it by this code; a component that is not there once has no line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use std::fmt;

use super::TAG;
use super::key::Algorithm;

pub(crate) const CONTENT_DIGEST: &str = "content-digest";

/// A request as it is signed: its head, and the authority that it is for.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// In lower case, without default port.
    pub(crate) authority: &'a str,
    pub(crate) head: &'a Parts,
}

impl Target<'_> {
    /// What is covered of every request, in our order.
    pub(crate) const COMPONENTS: [&'static str; 4] = ["@method", "@authority", "@path", "@query"];

    /// Writes the value of one component; `None` if there is none, or no single one.
    fn write(&self, component: &str, out: &mut Vec<u8>) -> Option<()> {
        let uri = &self.head.uri;
        match component {
            "@method" => out.extend_from_slice(self.head.method.as_str().as_bytes()),
            "@authority" => out.extend_from_slice(self.authority.as_bytes()),
            "@path" => {
                let path = Some(uri.path()).filter(|path| !path.is_empty());
                out.extend_from_slice(path.unwrap_or("/").as_bytes());
            }
            "@query" => {
                out.push(b'?');
                out.extend_from_slice(uri.query().unwrap_or_default().as_bytes());
            }
            field => out.extend_from_slice(self.line(field)?.as_bytes().trim_ascii()),
        }
        Some(())
    }

    /// The only line of a field.
    fn line(&self, field: &str) -> Option<&HeaderValue> {
        let mut lines = self.head.headers.get_all(field).iter();
        lines.next().filter(|_| lines.next().is_none())
    }
}

/// The signature base.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Base(Vec<u8>);

impl Base {
    /// The base of these components under `params`, the text that follows the label; `None` if one is not there once.
    pub(crate) fn of<'c>(
        target: &Target<'_>,
        covered: impl IntoIterator<Item = &'c str>,
        params: &str,
    ) -> Option<Self> {
        let mut out = Vec::with_capacity(512);
        for component in covered {
            out.push(b'"');
            out.extend_from_slice(component.as_bytes());
            out.extend_from_slice(b"\": ");
            target.write(component, &mut out)?;
            out.push(b'\n');
        }
        out.extend_from_slice(b"\"@signature-params\": ");
        out.extend_from_slice(params.as_bytes());
        Some(Self(out))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The parameters of a signature that we make, written in our order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params<'a> {
    pub(crate) covered: &'a [&'a str],
    pub(crate) created: u64,
    pub(crate) expires: u64,
    pub(crate) nonce: &'a str,
    pub(crate) key: &'a str,
    pub(crate) algorithm: Algorithm,
}

/// As both fields and the base carry them: nothing in them needs an escape.
impl fmt::Display for Params<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, component) in self.covered.iter().enumerate() {
            let before = if place == 0 { '(' } else { ' ' };
            write!(f, "{before}\"{component}\"")?;
        }
        let Self { created, expires, nonce, key, .. } = self;
        let algorithm = self.algorithm.word();
        write!(f, ");created={created};expires={expires};nonce=\"{nonce}\"")?;
        write!(f, ";keyid=\"{key}\";alg=\"{algorithm}\";tag=\"{TAG}\"")
    }
}

/// A `Content-Digest` of a body, the empty one too (RFC 9530 §2).
pub(crate) fn digest_field(body: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}
