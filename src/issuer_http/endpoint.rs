//! How is a token endpoint asked (RFC 6749 §3.2)?

use super::answer::Answer;
use super::client::{Client, Question};
use super::client_auth::ClientAuth;
use super::error::HttpError;
use super::form::Form;
use crate::forward::ConfigError;

/// Sends a form to a token endpoint.
pub(super) async fn ask(
    client: &Client,
    auth: &ClientAuth,
    mut form: Form,
) -> Result<Answer, HttpError> {
    let credential = auth.sign(&mut form, client.url())?;
    let question = Question {
        media_type: "application/x-www-form-urlencoded",
        credential,
        body: form.into_bytes(),
        reads: |_| true, // an error code may lie in any
    };
    client.post(question).await
}

/// An absolute URI without a fragment.
pub(super) fn absolute(uri: &str) -> Result<String, ConfigError> {
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let fine = uri.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(is_scheme)
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
    });
    if fine { Ok(uri.to_owned()) } else { Err(ConfigError::Value { setting: "absolute uri" }) }
}
