//! How is one question put over HTTP, and how much of the answer is looked at?
//!
//! 1. To one URL, checked when it is configured. No proxy, no redirect, no retry, no cookie, no referrer.
//! 2. Connection and whole exchange have a deadline each; the second covers every byte of the answer, not each read.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;
use std::time::Duration;

use super::answer::{Answer, answer};
use super::error::{HttpError, HttpErrorKind as Kind};
use crate::forward::{ConfigError, UrlFault, issuer_url};

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
