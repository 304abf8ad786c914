//! A small house with a few callers, and an upstream that writes down what it was told.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::{Service, ServiceExt};
use tower_bearer::Authenticator;
use tower_bearer::clock::{ManualClock, Timestamp};
use tower_bearer::forward::{Field, ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::id::{
    AccountId, AppId, ClientId, Email, ExternalId, Issuer, ServiceId, TokenId, WorkspaceId,
};
use tower_bearer::rejection::Rejection;
use tower_bearer::scope::ScopeSet;
use tower_bearer::store::{
    AccessMode, AppRecord, AppStore, Membership, MembershipStore, TokenRecord, TokenStore,
};
use tower_bearer::subject::{Subject, SubjectType};
use tower_bearer::token::{Digest, TokenKind, TokenKinds};

pub(crate) type Lines<'a> = &'a [(&'a str, &'a str)];

pub(crate) const ALICE: (&str, &str) = ("authorization", "Bearer tba_alice");
pub(crate) const GUEST: (&str, &str) = ("authorization", "Bearer tbe_guest");
pub(crate) const ROBOT: (&str, &str) = ("authorization", "Bearer tbs_robot");

/// What the upstream is told of [`ALICE`] by [`options`] and [`with_email`](super::with_email).
pub(crate) const OF_ALICE: Lines<'static> = &[
    ("x-forwarded-user-id", "acc-alice"),
    ("x-forwarded-user-type", "account"),
    ("x-forwarded-user-email", "alice@co.com"),
    ("x-forwarded-user-workspace", "ws-1"),
];

/// Three tokens, one app, one member.
#[derive(Clone)]
pub(crate) struct House;

impl TokenStore for House {
    type Error = Infallible;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, Infallible> {
        let account = Subject::Account { id: AccountId::new("acc-alice").unwrap() };
        let guest = Subject::External {
            issuer: Issuer::new("https://idp.example").unwrap(),
            subject: ExternalId::new("guest-1").unwrap(),
            email: Some(Email::new("guest@shop.example").unwrap()),
        };
        let robot = Subject::Service { id: ServiceId::new("svc-robot").unwrap() };
        let rows = [
            ("tba_alice", "account", account, Some("ws-1")),
            ("tbe_guest", "external", guest, None),
            ("tbs_robot", "service", robot, None),
        ];
        let row = rows.into_iter().find(|(token, ..)| Digest::of(token) == *digest);
        Ok(row.map(|(token, kind, subject, workspace)| {
            let ends = Timestamp::from_secs(1_800_000_000);
            let record = TokenRecord::new(
                TokenId::new(token.replace('_', "-")).unwrap(),
                kind,
                subject,
                ends,
            )
            .with_client(ClientId::new("cli").unwrap())
            .with_scopes(ScopeSet::parse("apps:read apps:run"));
            match workspace {
                Some(workspace) => record.with_workspace(WorkspaceId::new(workspace).unwrap()),
                None => record,
            }
        }))
    }
}

impl AppStore for House {
    type Error = Infallible;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, Infallible> {
        let workspace = WorkspaceId::new("ws-1").unwrap();
        Ok((app.as_str() == "app-public")
            .then(|| AppRecord::new(app.clone(), workspace, AccessMode::Public)))
    }

    async fn permitted(&self, _: &AppId, _: &AccountId) -> Result<bool, Infallible> {
        Ok(false)
    }
}

impl MembershipStore for House {
    type Error = Infallible;

    async fn membership(
        &self,
        _: &AccountId,
        _: &WorkspaceId,
    ) -> Result<Option<Membership>, Infallible> {
        Ok(Some(Membership::new("editor")))
    }
}

pub(crate) fn auth() -> Authenticator {
    let kind = |name, prefix, subject| {
        TokenKind::new(name)
            .prefix(prefix)
            .subject(subject)
            .narrowed(["apps:read", "apps:run"])
            .opaque(1, 64)
    };
    let kinds = TokenKinds::builder()
        .kind(kind("account", "tba_", SubjectType::Account))
        .kind(kind("external", "tbe_", SubjectType::External))
        .kind(kind("service", "tbs_", SubjectType::Service))
        .build()
        .unwrap();
    Authenticator::builder(kinds, House).clock(ManualClock::new()).build().unwrap()
}

pub(crate) fn upstream() -> Upstream {
    Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap()
}

/// The fixture: id, type, e-mail and workspace as plain headers, in a set of names of its own.
pub(crate) fn options() -> ForwardOptions {
    let fields = [Field::Type, Field::Email, Field::Workspace];
    ForwardOptions::new(upstream(), Mode::Headers).set(&ForwardSet::separate()).fields(fields)
}

/// An upstream: writes down each head, answers the same each time.
#[derive(Clone)]
pub(crate) struct Recorder {
    seen: Arc<Mutex<Vec<Parts>>>,
    status: u16,
    answer: HeaderMap,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self::answering(200, &[])
    }

    pub(crate) fn answering(status: u16, lines: Lines<'_>) -> Self {
        Self { seen: Arc::default(), status, answer: headers(lines) }
    }

    /// The heads since the last time.
    pub(crate) fn take(&self) -> Vec<Parts> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl<B> Service<Request<B>> for Recorder {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.seen.lock().unwrap().push(request.into_parts().0);
        let mut response = Response::new(String::from("upstream"));
        *response.status_mut() = self.status.try_into().unwrap();
        *response.headers_mut() = self.answer.clone();
        ready(Ok(response))
    }
}

pub(crate) fn headers(lines: Lines<'_>) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

pub(crate) fn request(uri: &str, lines: Lines<'_>) -> Request<String> {
    let mut request = Request::new(String::from("hello"));
    *request.uri_mut() = uri.parse().unwrap();
    *request.headers_mut() = headers(lines);
    request
}

/// Sends one request through a service: the status and the refusal, if one of the layers made it.
pub(crate) async fn send<S, B>(
    service: S,
    request: Request<String>,
) -> (Response<String>, Option<Rejection>)
where
    S: Service<Request<String>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes, Error = Infallible>,
{
    let (head, body) = service.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let response = Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap());
    let refusal = response.extensions().get::<Rejection>().cloned();
    (response, refusal)
}

/// Every line of a header section, as text.
pub(crate) fn seen(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("?"))).collect()
}
