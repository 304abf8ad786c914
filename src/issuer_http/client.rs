//! How is one question put over HTTP, and how much of the answer is looked at?
//!
//! 1. To one URL, checked when it is configured. No proxy, no redirect, no retry, no cookie, no referrer.
//! 2. Connection and whole exchange have a deadline each; the second covers every byte of the answer, not each read.
//! 3. At most [`MOST`] bytes of a body are kept. One that says it is longer, or has a content coding, is not read at all.
//! 4. What the library says of an error is dropped: it holds URLs.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

use super::error::{HttpError, HttpErrorKind as Kind};
use super::json::Object;
use super::retry_after::{SHORTEST, retry_after};
use crate::forward::{ConfigError, UrlFault, issuer_url};

/// Most bytes of a body.
const MOST: usize = 65_536;
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(60);

/// One place to ask.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    url: reqwest::Url,
    connect: Duration,
    attempt: Duration,
    roots: Vec<reqwest::Certificate>,
}

/// What is asked.
pub(super) struct Question {
    pub(super) media_type: &'static str,
    pub(super) credential: Option<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
    /// Of which answers the body is of any use.
    pub(super) reads: fn(u16) -> bool,
}

/// What was answered: anything but a redirect.
pub(super) struct Answer {
    pub(super) status: u16,
    retry_after: Option<Duration>,
    body: Result<Zeroizing<Vec<u8>>, Kind>,
    bytes: usize,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, ConfigError> {
        issuer_url(url)?;
        let malformed = |_text| ConfigError::IssuerUrl { fault: UrlFault::Malformed };
        let url = reqwest::Url::parse(url).map_err(malformed)?;
        let (connect, attempt, roots) = (CONNECT, ATTEMPT, Vec::new());
        let http = http_client(&url, connect, &roots)?;
        Ok(Self { http, url, connect, attempt, roots })
    }

    pub(super) fn timeouts(
        mut self,
        connect: Duration,
        attempt: Duration,
    ) -> Result<Self, ConfigError> {
        let fine = |span: Duration| !span.is_zero() && span <= LONGEST;
        if !(fine(connect) && fine(attempt)) {
            return Err(ConfigError::OutOfRange { setting: "timeouts" });
        }
        (self.connect, self.attempt) = (connect, attempt);
        self.http = http_client(&self.url, self.connect, &self.roots)?;
        Ok(self)
    }

    pub(super) fn root_certificate(mut self, pem: &str) -> Result<Self, ConfigError> {
        let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
        let certificates = certificates.map_err(|_text| NO_CERTIFICATE)?;
        if certificates.is_empty() {
            return Err(NO_CERTIFICATE);
        }
        self.roots.extend(certificates);
        self.http = http_client(&self.url, self.connect, &self.roots)?;
        Ok(self)
    }

    /// As configured.
    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    pub(super) async fn post(&self, question: Question) -> Result<Answer, HttpError> {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(question.media_type));
        headers.extend(question.credential);
        let asked = self.http.post(self.url.clone()).headers(headers).body(question.body);
        self.within(asked, question.reads).await
    }

    pub(super) async fn get(&self) -> Result<Answer, HttpError> {
        self.within(self.http.get(self.url.clone()), |status| status == 200).await
    }

    async fn within(
        &self,
        asked: reqwest::RequestBuilder,
        reads: fn(u16) -> bool,
    ) -> Result<Answer, HttpError> {
        let asked = asked.header(ACCEPT, HeaderValue::from_static("application/json"));
        let answered = tokio::time::timeout(self.attempt, answer(asked, reads)).await;
        answered.unwrap_or(Err(HttpError::early(Kind::Timeout)))
    }
}

impl Answer {
    /// The body as an object.
    pub(super) fn object(&self) -> Result<Object, HttpError> {
        let body = self.body.as_ref().map_err(|kind| self.error(*kind))?;
        Object::read(body).map_err(|_invalid| self.error(Kind::Invalid))
    }

    /// For how long the issuer asks to be left alone: 429, or 503 with `Retry-After`.
    pub(super) fn busy(&self) -> Option<Duration> {
        match self.status {
            429 => Some(self.retry_after.unwrap_or(SHORTEST)),
            503 => self.retry_after,
            _ => None,
        }
    }

    /// Why this answer is of no use.
    pub(super) fn error(&self, kind: Kind) -> HttpError {
        HttpError::late(kind, self.status, self.bytes).asking_to_wait(self.retry_after.is_some())
    }
}

/// Shows the URL, which holds neither query nor user information.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url.as_str())
            .field("connect", &self.connect)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The settings that whoever asks over HTTP has in common.
macro_rules! client_settings {
    ($type:ident) => {
        impl $type {
            /// Sets how long a connection may take, and how long everything up to the last byte of the answer may.
            ///
            /// Default 1 s and 3 s, each above 0 and at most 60 s. Longer than the deadlines of who asks has no effect.
            ///
            /// # Errors
            /// [`ConfigError::OutOfRange`].
            pub fn timeouts(
                mut self,
                connect: std::time::Duration,
                attempt: std::time::Duration,
            ) -> Result<Self, ConfigError> {
                self.client = self.client.timeouts(connect, attempt)?;
                Ok(self)
            }

            /// Trusts these certificates, in PEM, beside the ones that the system trusts.
            ///
            /// # Errors
            /// [`ConfigError::Value`] for what is no certificate.
            pub fn root_certificate(mut self, pem: &str) -> Result<Self, ConfigError> {
                self.client = self.client.root_certificate(pem)?;
                Ok(self)
            }
        }
    };
}
pub(super) use client_settings;

const NO_CERTIFICATE: ConfigError = ConfigError::Value { setting: "root certificate" };

fn http_client(
    url: &reqwest::Url,
    connect: Duration,
    roots: &[reqwest::Certificate],
) -> Result<reqwest::Client, ConfigError> {
    provide_cryptography();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(connect)
        .http2_initial_stream_window_size(MOST_IN_FLIGHT)
        .http2_max_header_list_size(16_384)
        .http1_max_headers(100);
    let builder = match url.scheme() {
        "https" if roots.is_empty() => builder,
        "https" => builder.tls_certs_merge(roots.iter().cloned()),
        // no certificate will be looked at, so the system's need not be read
        _ => builder.tls_certs_only([]),
    };
    builder.build().map_err(|_text| NO_CERTIFICATE)
}

const MOST_IN_FLIGHT: u32 = 65_536;

/// The client takes the process's choice of cryptography, and panics where nobody has chosen.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // somebody else may choose in the same moment: either choice will do
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

async fn answer(
    asked: reqwest::RequestBuilder,
    reads: fn(u16) -> bool,
) -> Result<Answer, HttpError> {
    let early = |error: reqwest::Error| {
        HttpError::early(if error.is_connect() { Kind::Connect } else { Kind::Broken })
    };
    let mut answered = asked.send().await.map_err(early)?;
    let status = answered.status().as_u16();
    if answered.status().is_redirection() {
        return Err(HttpError::late(Kind::Redirect, status, 0));
    }
    let retry_after = retry_after(answered.headers());
    let (body, bytes) =
        if reads(status) { read(&mut answered).await } else { (Err(Kind::Status), 0) };
    Ok(Answer { status, retry_after, body, bytes })
}

/// The body, and how many bytes of it were kept.
async fn read(answered: &mut reqwest::Response) -> (Result<Zeroizing<Vec<u8>>, Kind>, usize) {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !answered.headers().get_all(CONTENT_ENCODING).iter().all(plain) {
        return (Err(Kind::Encoded), 0);
    }
    let length =
        answered.content_length().map(|length| usize::try_from(length).unwrap_or(usize::MAX));
    if length.is_some_and(|length| length > MOST) {
        return (Err(Kind::TooLarge), 0);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(length.unwrap_or(4_096)));
    loop {
        match answered.chunk().await {
            Ok(None) => {
                let bytes = body.len();
                return (Ok(body), bytes);
            }
            Ok(Some(chunk)) if chunk.len() <= MOST - body.len() => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return (Err(Kind::TooLarge), MOST),
            Err(_text) => return (Err(Kind::Broken), body.len()),
        }
    }
}
