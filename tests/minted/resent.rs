//! A request goes out a second time only where that was asked for, and only to be believed for the same caller.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_bearer::forward::{ConfigError, ForwardOptions, IdpToken};
use tower_bearer::rejection::Rejection;
use tower_bearer::stack::{BearerCheck, IdentityForward};
use tower_bearer::store::IssueAnswer;

use super::cancel::{CancelAt, Left};
use super::support::*;

/// An upstream that answers these statuses in turn, then 200; complains when it was not asked whether it is ready.
#[derive(Clone, Default)]
struct Statuses {
    left: Arc<Mutex<VecDeque<u16>>>,
    seen: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    ready: bool,
}

impl Statuses {
    fn take(&self) -> Vec<(HeaderMap, Bytes)> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> Service<Request<B>> for Statuses
where
    B::Error: std::fmt::Debug,
{
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "F16 called unready");
        let this = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            tokio::task::yield_now().await;
            this.seen.lock().unwrap().push((head.headers, body));
            let status = this.left.lock().unwrap().pop_front().unwrap_or(200);
            let mut response = Response::new(format!("answer {status}"));
            *response.status_mut() = status.try_into().unwrap();
            Ok(response)
        })
    }
}

/// A body whose length is told, or not.
struct Told(Full<Bytes>, bool);

impl Body for Told {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> SizeHint {
        if self.1 { self.0.size_hint() } else { SizeHint::new() }
    }
}

struct Scene {
    house: House,
    issuer: Minting,
    statuses: Statuses,
    forward: IdentityForward,
}

impl Scene {
    fn new(plays: impl IntoIterator<Item = Play<IssueAnswer>>, max_body: Option<usize>) -> Self {
        let (house, issuer) = (House::new(), Minting::playing(plays));
        let tokens = IdpToken::new(&house.auth, issuer.clone());
        let options = in_a_set_of_its_own(ForwardOptions::idp_token(upstream(), tokens));
        let options = match max_body {
            Some(bytes) => options.resend_once(bytes),
            None => options,
        };
        let forward = IdentityForward::new(options.build().unwrap());
        Self { house, issuer, statuses: Statuses::default(), forward }
    }

    /// The status and the `error` word of one request, and the credentials that were sent.
    async fn ask(&self, statuses: &[u16], told: bool) -> (u16, Option<&'static str>, Vec<String>) {
        self.statuses.left.lock().unwrap().extend(statuses);
        let service = ServiceBuilder::new()
            .layer(BearerCheck::new(&self.house.auth))
            .layer(self.forward.clone())
            .service(self.statuses.clone());
        let body = Told(Full::from("hello"), told);
        let request = Request::post("/x?y=1")
            .header("authorization", "Bearer tba_alice")
            .header("x-other", "1")
            .body(body);
        let response = service.oneshot(request.unwrap()).await.unwrap();
        let refusal = response.extensions().get::<Rejection>().map(|it| it.kind().error());
        let status = response.status().as_u16();
        let mut sends = self.statuses.take();
        let credentials = sends.iter_mut().map(|(headers, _)| {
            headers.remove("authorization").unwrap().to_str().unwrap().to_owned()
        });
        let credentials = credentials.collect();
        assert!(sends.windows(2).all(|pair| pair[0] == pair[1]), "FK7 other headers equal");
        assert!(sends.iter().all(|(_, body)| body == "hello"), "FK7 the whole body");
        assert!(sends.iter().all(|(headers, _)| headers.contains_key("x-other")), "FK7");
        self.statuses.left.lock().unwrap().clear();
        (status, refusal, credentials)
    }
}

#[tokio::test]
async fn a_request_goes_out_a_second_time() {
    let refused = Some("upstream_refused_identity");
    let sent = |numbers: &[&str]| -> Vec<String> {
        numbers.iter().map(|number| format!("Bearer T{number}")).collect()
    };
    for (name, max_body, statuses, told, want, next) in [
        ("FK7 held", Some(5), &[401, 200][..], true, (200, None, sent(&["1", "2"])), "2"),
        ("FK7 streaming", Some(5), &[401, 200], false, (502, refused, sent(&["1"])), "2"),
        ("FK7 twice", Some(5), &[401, 401, 200], true, (502, refused, sent(&["1", "2"])), "3"),
        ("F201 too large", Some(4), &[401, 200], true, (502, refused, sent(&["1"])), "2"),
        ("F201 off", None, &[401, 200], true, (502, refused, sent(&["1"])), "2"),
        ("F201 403", Some(5), &[403, 200], true, (403, None, sent(&["1"])), "1"),
        ("F201 200", Some(5), &[200], true, (200, None, sent(&["1"])), "1"),
        ("F201 then 500", Some(5), &[401, 500], true, (500, None, sent(&["1", "2"])), "2"),
    ] {
        let scene = Scene::new([token("T")], max_body);
        assert_eq!(scene.ask(&[], true).await, (200, None, sent(&["1"])), "{name}: cached first");
        assert_eq!(scene.ask(statuses, told).await, want, "{name}");
        assert_eq!(scene.ask(&[], true).await, (200, None, sent(&[next])), "{name}: what is kept");
    }
    let scene = Scene::new([token("T")], Some(5));
    let fresh = scene.ask(&[401, 200], true).await;
    assert_eq!(fresh, (502, refused, sent(&["1"])), "F201 only for what was cached");
}

#[tokio::test]
async fn without_another_credential_its_refusal_is_the_answer() {
    let scene = Scene::new([token("T")], Some(5));
    scene.ask(&[], true).await;
    scene.issuer.play(Play::Answer(IssueAnswer::ReauthRequired));
    let got = scene.ask(&[401, 200], true).await;
    let want = (401, Some("identity_reauth_required"), vec![String::from("Bearer T1")]);
    assert_eq!(got, want, "F201 F29 never with less");
}

#[tokio::test]
async fn whoever_leaves_leaves_nothing() {
    let scene = Scene::new([token("T")], Some(5));
    let (mut left, alive) = (0, || Arc::strong_count(&scene.statuses.seen));
    for polls in 0.. {
        scene.ask(&[], true).await;
        let ask = Box::pin(scene.ask(&[401, 200], true));
        match CancelAt::new(ask, polls).await {
            Left::Done((status, ..)) => {
                assert_eq!(status, 200, "F201");
                break;
            }
            Left::Alive(future) => drop(future),
        }
        left += 1;
        scene.statuses.left.lock().unwrap().clear();
        scene.statuses.take();
        for _ in 0..32 {
            tokio::task::yield_now().await; // a flight goes on without whoever left
        }
        assert_eq!(alive(), 1, "F16 after {polls} polls");
    }
    assert!(left >= 3, "F16 left {left} times");
}

#[test]
fn settings() {
    let options = |bytes: usize| {
        let house = House::new();
        let tokens = IdpToken::new(&house.auth, Minting::playing([token("T")]));
        in_a_set_of_its_own(ForwardOptions::idp_token(upstream(), tokens))
            .resend_once(bytes)
            .build()
    };
    assert!(options(0).is_ok() && options(16 << 20).is_ok(), "F201");
    let over = options((16 << 20) + 1).map(|_| ()).unwrap_err();
    assert_eq!(over, ConfigError::OutOfRange { setting: "resend_once" }, "F201");
}
