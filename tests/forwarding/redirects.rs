//! A redirect carries identity to its upstream's origin, or nowhere.

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_bearer::AuthContext;
use tower_bearer::forward::{ForwardOptions, ForwardSet, Mode, Upstream};
use tower_bearer::rejection::{Rejection, RejectionKind};
use tower_bearer::stack::IdentityForward;
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::follow_redirect::policy::{Action, Attempt, Policy};

use crate::support::*;
use crate::{check, forward};

const FIRST: &str = "https://mcp.example.com/mcp";

/// An upstream that sends whoever asks at [`FIRST`] elsewhere.
#[derive(Clone)]
struct Elsewhere {
    to: &'static str,
    seen: Recorder,
}

impl<B: Body> Service<Request<B>> for Elsewhere {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if *request.uri() == FIRST {
            let mut response = Response::new(String::new());
            *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert("location", HeaderValue::from_static(self.to));
            drop(self.seen.call(request));
            return ready(Ok(response));
        }
        self.seen.call(request)
    }
}

/// Follows wherever it is sent, with all that the first request had.
#[derive(Clone, Copy)]
struct Careless;

impl<B, E> Policy<B, E> for Careless {
    fn redirect(&mut self, _: &Attempt<'_>) -> Result<Action, E> {
        Ok(Action::Follow)
    }
}

/// A request of [`ALICE`] without a body, on its way out.
async fn outgoing(uri: &str, lines: Lines<'_>) -> Request<String> {
    let seen = Recorder::new();
    let service = ServiceBuilder::new().layer(check()).service(seen.clone());
    send(service, request("/", &[ALICE])).await;
    let mut outgoing = request(uri, lines).map(|_| String::new());
    let context = AuthContext::of(&seen.take()[0].extensions).unwrap().clone();
    context.attach(outgoing.extensions_mut());
    outgoing
}

/// The status, the kind of refusal, and whom was asked.
fn outcome<B>(
    response: &Response<B>,
    seen: &Recorder,
) -> (u16, Option<RejectionKind>, Vec<String>) {
    let refusal = response.extensions().get::<Rejection>().map(Rejection::kind);
    let asked = seen.take();
    for head in &asked {
        assert_eq!(head.headers.get("x-forwarded-user-id").unwrap(), "acc-alice");
    }
    (response.status().as_u16(), refusal, asked.iter().map(|head| head.uri.to_string()).collect())
}

#[tokio::test]
async fn redirects() {
    let mismatch = Some(RejectionKind::OriginMismatch);
    for (name, to, followed) in [
        ("same origin", "https://mcp.example.com/other", true),
        ("same origin, default port", "https://mcp.example.com:443/other", true),
        ("relative", "/other", true),
        ("other host", "https://evil.example/mcp", false),
        ("a host below", "https://a.mcp.example.com/mcp", false),
        ("other port", "https://mcp.example.com:8443/mcp", false),
        ("http", "http://mcp.example.com/mcp", false),
    ] {
        let want = if followed { (200, None) } else { (500, mismatch) };
        for (place, wrap) in [("FL5 outside", false), ("FL6 inside", true)] {
            let forward = forward(options());
            let (client, seen) = {
                let seen = Recorder::new();
                (Elsewhere { to, seen: seen.clone() }, seen)
            };
            let followers = [
                ("standard", FollowRedirectLayer::new().boxed_by(&forward, wrap, client.clone())),
                (
                    "careless",
                    FollowRedirectLayer::with_policy(Careless).boxed_by(
                        &forward,
                        wrap,
                        client.clone(),
                    ),
                ),
                (
                    "forgetful",
                    FollowRedirectLayer::with_policy(Careless).preserve_extensions(false).boxed_by(
                        &forward,
                        wrap,
                        client.clone(),
                    ),
                ),
            ];
            for (follower, service) in followers {
                let response = service.oneshot(outgoing(FIRST, &[]).await).await.unwrap();
                let (status, refusal, asked) = outcome(&response, &seen);
                let context = format!("F205 {place} {name}, {follower} follower: {asked:?}");
                // without its context nobody can tell whom a request was prepared for
                let forgets = follower == "forgetful" || (follower == "standard" && !followed);
                match (forgets, wrap) {
                    (true, false) => assert_eq!((status, asked.len()), (500, 1), "{context}"),
                    (true, true) => {
                        assert_eq!((status, refusal, asked.len()), (500, mismatch, 1), "{context}");
                    }
                    (false, _) => {
                        assert_eq!((status, refusal), want, "{context}");
                        assert_eq!(asked.len(), 1 + usize::from(followed), "{context}");
                    }
                }
            }
        }
    }
}

type Client = tower::util::BoxCloneSyncService<Request<String>, Response<()>, Infallible>;

trait Boxed {
    /// A client with this follower outside the layer, or inside it over a guard.
    fn boxed_by(self, forward: &IdentityForward, inside: bool, client: Elsewhere) -> Client;
}

impl<P> Boxed for FollowRedirectLayer<P>
where
    P: Clone + Send + Sync + 'static,
    P: Policy<String, Infallible>,
    P: Policy<tower_bearer::forward::ForwardBody<String>, Infallible>,
{
    fn boxed_by(self, forward: &IdentityForward, inside: bool, client: Elsewhere) -> Client {
        if inside {
            let service = ServiceBuilder::new()
                .layer(forward.client_side())
                .layer(self)
                .layer(forward.origin_guard())
                .service(client);
            Client::new(ServiceExt::<Request<String>>::map_response(service, |response| {
                response.map(drop)
            }))
        } else {
            let service =
                ServiceBuilder::new().layer(self).layer(forward.client_side()).service(client);
            Client::new(ServiceExt::<Request<String>>::map_response(service, |response| {
                response.map(drop)
            }))
        }
    }
}

#[tokio::test]
async fn guarded() {
    let guard = forward(options()).origin_guard();
    let mark = || async { outgoing("https://mcp.example.com/mcp", &[]).await.extensions().clone() };
    let other = "https://other.example/";
    for (name, lines, attached, want) in [
        ("F205 says nothing", &[("accept", "*/*"), ("x-forwarded-for", "1")][..], false, 200),
        ("F205 no mark", &[("x_forwarded_user_id", "acc-alice")], false, 500),
        ("F205 no mark, signature", &[("signature", "idf=:AA:")], false, 500),
        ("F205 no mark, credential", &[("authorization", "Bearer t")], false, 500),
        ("F205 no mark, id of our hop", &[("mcp-session-id", "s")], false, 500),
        ("F205 attached and not forwarded", &[("x-forwarded-user-id", "a")], true, 500),
        ("F205 attached and says nothing", &[], true, 200),
    ] {
        for uri in [FIRST, other] {
            let mut request = request(uri, lines);
            if attached {
                *request.extensions_mut() = mark().await;
            }
            let (response, refusal) = send(guard.layer(Recorder::new()), request).await;
            assert_eq!(response.status(), want, "{name} {uri}");
            let kind = refusal.map(|refusal| refusal.kind());
            assert_eq!(kind, (want == 500).then_some(RejectionKind::OriginMismatch), "{name}");
        }
    }
    assert_eq!(RejectionKind::OriginMismatch.error(), "forward_origin_mismatch", "F239");
}

/// Two upstreams, chosen by path.
fn choose<'r>(head: &'r Parts, _: &'r AuthContext) -> Option<&'r str> {
    Some(if head.uri.path() == "/a" { "a" } else { "b" })
}

/// Marks of one layer mean nothing to the guard of another, and each upstream has its own.
#[tokio::test]
async fn each_upstream_has_its_own_mark() {
    let set = ForwardSet::separate();
    let to = |name: &str, url: &str| {
        let upstream = Upstream::new(name, url).unwrap();
        ForwardOptions::new(upstream, Mode::Headers).set(&set).build().unwrap()
    };
    let two = || [to("a", "https://a.example"), to("b", "https://b.example")];
    let forward = IdentityForward::select(two(), choose).unwrap();
    let stranger = IdentityForward::select(two(), choose).unwrap();
    /// What a proxying service does.
    fn to_origin(origin: &'static str) -> impl Fn(Request<Wrapped>) -> Request<Wrapped> + Clone {
        move |mut request| {
            *request.uri_mut() = format!("{origin}{}", request.uri().path()).parse().unwrap();
            request
        }
    }
    type Wrapped = tower_bearer::forward::ForwardBody<String>;
    for (name, path, origin, guard, want) in [
        ("F205 server side", "/a", "https://a.example", &forward, 200),
        ("F205 server side", "/b", "https://b.example", &forward, 200),
        ("F205 the other one", "/a", "https://b.example", &forward, 500),
        ("F205 not absolute", "/a", "", &forward, 500),
        ("F205 the guard of another layer", "/a", "https://a.example", &stranger, 500),
    ] {
        let service = ServiceBuilder::new()
            .layer(check())
            .layer(forward.clone())
            .map_request(to_origin(origin))
            .layer(guard.origin_guard())
            .service(Recorder::new());
        let (response, _) = send(service, request(path, &[ALICE])).await;
        assert_eq!(response.status(), want, "{name} {path} {origin}");
    }
}
