//! A small world: two kinds of tokens, two workspaces, a few apps, and a stack with all that was built so far.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower_bearer::clock::{Clock, ManualClock, Timestamp};
use tower_bearer::id::{AccountId, AppId, ExternalId, Issuer, TokenId, WorkspaceId};
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{AccessMode, AppRecord, Membership, TokenRecord};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};
use tower_bearer::{Authenticator, authenticator::AuthenticatorBuilder};

use super::scripted::{Scripted, Who};

/// Kinds `account` (`tst_`, up to `full`) and `external` (`ext_`, fixed `apps:run`), without checksums so that tests can write
/// tokens.
pub(crate) fn kinds() -> TokenKinds {
    let account = TokenKind::new("account").prefix("tst_").subject(SubjectType::Account);
    let external = TokenKind::new("external").prefix("ext_").subject(SubjectType::External);
    TokenKinds::builder()
        .kind(account.narrowed(["full"]).umbrella("full"))
        .kind(external.fixed(["apps:run"]))
        .implies("apps:manage", ["apps:read", "apps:run"])
        .build()
        .unwrap()
}

/// Token number `n` of a prefix.
pub(crate) fn token(prefix: &str, n: u64) -> String {
    format!("{prefix}{n:043}")
}

pub(crate) fn account(id: &str) -> Subject {
    Subject::Account { id: AccountId::new(id).unwrap() }
}

pub(crate) fn external(subject: &str) -> Subject {
    let issuer = Issuer::new("https://idp.example").unwrap();
    Subject::External { issuer, subject: ExternalId::new(subject).unwrap(), email: None }
}

pub(crate) fn workspace(id: &str) -> WorkspaceId {
    WorkspaceId::new(id).unwrap()
}

pub(crate) fn app(id: &str) -> AppId {
    AppId::new(id).unwrap()
}

/// A world on a clock that stands still.
pub(crate) struct World {
    pub(crate) store: Scripted,
    pub(crate) clock: ManualClock,
    pub(crate) auth: Authenticator,
}

impl World {
    /// Without jitter, so that lives end to the millisecond.
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(set: impl FnOnce(AuthenticatorBuilder) -> AuthenticatorBuilder) -> Self {
        let (store, clock) = (Scripted::default(), ManualClock::new());
        let builder =
            Authenticator::builder(kinds(), store.clone()).clock(clock.clone()).ttl_jitter(0.0);
        let auth = set(builder).build().unwrap();
        Self { store, clock, auth }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now().wall()
    }

    /// Puts a live token of one hour into the store.
    pub(crate) fn token(&self, text: &str, subject: Subject, scopes: &str) -> Digest {
        self.token_for(text, subject, scopes, Duration::from_secs(3_600))
    }

    pub(crate) fn token_for(
        &self,
        text: &str,
        subject: Subject,
        scopes: &str,
        life: Duration,
    ) -> Digest {
        let kind = subject.subject_type().as_str();
        let id = TokenId::new(format!("tok-{}", &text[text.len() - 8..])).unwrap();
        let record = TokenRecord::new(id, kind, subject, self.now().saturating_add(life));
        let digest = Digest::of(text);
        self.store.tokens.put(digest, record.with_scopes(ScopeSet::parse(scopes)));
        digest
    }

    pub(crate) fn app(&self, id: &str, of: &str, mode: &str) {
        let record = AppRecord::new(app(id), workspace(of), AccessMode::from_word(mode));
        self.store.apps.put(app(id), record);
    }

    pub(crate) fn member(&self, id: &str, of: &str) {
        let key = (AccountId::new(id).unwrap(), workspace(of));
        self.store.members.put(key, Membership::new("editor"));
        self.store.callers.put(format!("account:{id}"), Who(id.to_owned()));
    }
}

pub(crate) fn get(path: &str, token: Option<&str>) -> Request<Full<bytes::Bytes>> {
    let mut request = Request::builder().uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Full::default()).unwrap()
}

/// Status, `error` member and whole body of an answer.
pub(crate) async fn read<B>(response: Response<B>) -> (u16, String, String)
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(bytes.to_vec()).unwrap();
    let error = serde_json::from_str::<serde_json::Value>(&body)
        .ok()
        .and_then(|json| json["error"].as_str().map(str::to_owned))
        .unwrap_or_default();
    (status, error, body)
}
