//! The same over real sockets: a stack of this crate in front of an upstream.

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder};
use tower_bearer::forward::ForwardBody;

use crate::claims::CLAIMS;
use crate::support::*;
use crate::{check, forward};

/// Serves every connection with clones of `service` until the test's runtime ends.
async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(socket), service).await);
            });
        }
    });
    address
}

/// The smallest proxy: the same request to another host.
fn proxy(
    to: SocketAddr,
    h2: bool,
) -> impl Service<
    Request<ForwardBody<Incoming>>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send {
    let client = Client::builder(TokioExecutor::new()).http2_only(h2).build_http();
    tower::service_fn(move |mut request: Request<ForwardBody<Incoming>>| {
        let client: Client<_, ForwardBody<Incoming>> = client.clone();
        *request.uri_mut() = format!("http://{to}{}", request.uri().path()).parse::<Uri>().unwrap();
        *request.version_mut() = http::Version::HTTP_11;
        async move {
            let (head, body) = client.request(request).await.unwrap().into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            Ok(Response::from_parts(head, Full::new(body)))
        }
    })
}

#[tokio::test]
async fn identity_arrives_once_and_ours_alone() {
    for (name, h2) in [("HTTP/1 upstream", false), ("HTTP/2 upstream", true)] {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&heads);
        let upstream = serve(tower::service_fn(move |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            writes.lock().unwrap().push(head);
            async move {
                let body = body.collect().await.unwrap().to_bytes();
                let mut response = Response::new(Full::new(body));
                response.headers_mut().insert("x-forwarded-user-id", "echo".parse().unwrap());
                Ok(response)
            }
        }))
        .await;
        let stack = ServiceBuilder::new()
            .layer(check())
            .layer(forward(options()))
            .service(proxy(upstream, h2));
        let front = serve(stack).await;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        for &(row, claims, _) in CLAIMS {
            let mut lines = [&[ALICE], claims].concat();
            lines.retain(|(name, _)| *name != "host"); // the client's own counts
            let mut outgoing = Request::new(Full::new(Bytes::from_static(b"hello")));
            *outgoing.method_mut() = http::Method::POST;
            *outgoing.uri_mut() = format!("http://{front}/x").parse().unwrap();
            *outgoing.headers_mut() = headers(&lines);
            let response = client.request(outgoing).await.unwrap();
            assert_eq!(response.status(), 200, "{row} {name}");
            assert!(
                !response.headers().contains_key("x-forwarded-user-id"),
                "FE9 XA8 {row} {name}"
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, "hello", "FF5 {row} {name}");
            let head = std::mem::take(&mut *heads.lock().unwrap()).pop().unwrap();
            assert_eq!(head.version == http::Version::HTTP_2, h2, "{row} {name}");
            let ours: Vec<_> = seen(&head.headers)
                .into_iter()
                .filter(|(name, _)| name.replace(['_', '.'], "-").starts_with("x-forwarded-user"))
                .collect();
            assert_eq!(ours, OF_ALICE, "{row} {name}");
            assert!(
                !head.headers.contains_key("connection")
                    && !head.headers.contains_key("authorization"),
                "{row} {name}"
            );
        }
    }
}

/// Requests of the test below; `tests/figures forwarding` sends more.
const REQUESTS: usize = 8_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_in_turn_over_the_same_connections() {
    let wanted = std::env::var("BEARER_REQUESTS").ok().and_then(|count| count.parse().ok());
    let count: usize = wanted.unwrap_or(REQUESTS);
    let upstream = serve(tower::service_fn(|request: Request<Incoming>| async move {
        let ids = request.headers().get_all("x-forwarded-user-id").iter();
        let ids: Vec<_> = ids.map(|id| id.to_str().unwrap().to_owned()).collect();
        Ok(Response::new(Full::<Bytes>::from(ids.join(" "))))
    }))
    .await;
    let stack = ServiceBuilder::new()
        .layer(check())
        .layer(forward(options()))
        .service(proxy(upstream, false));
    let front = serve(stack).await;
    let client: Client<_, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(4).build_http();
    let tasks = (0..4).map(|task| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut mixed = 0;
            for turn in 0..count / 4 {
                let (name, value, id) = if (task + turn) % 2 == 0 {
                    (ALICE.0, ALICE.1, "acc-alice")
                } else {
                    (ROBOT.0, ROBOT.1, "svc-robot")
                };
                let request = Request::get(format!("http://{front}/x"))
                    .header(name, value)
                    .body(Full::default())
                    .unwrap();
                let response = client.request(request).await.unwrap();
                let body = response.into_body().collect().await.unwrap().to_bytes();
                mixed += usize::from(body != id);
            }
            mixed
        })
    });
    let mut mixed = 0;
    for task in tasks.collect::<Vec<_>>() {
        mixed += task.await.unwrap();
    }
    println!("mixed {mixed} of {count}");
    assert_eq!(mixed, 0, "F190");
}
