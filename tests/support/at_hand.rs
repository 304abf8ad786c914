//! A service whose answers' bodies are at hand, whatever body its layers make.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use tower::util::BoxCloneService;
use tower::{Service, ServiceExt};

pub(crate) type Boxed = BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>;

pub(crate) fn boxed<S, B>(service: S) -> Boxed
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    BoxCloneService::new(service.then(|answer: Result<Response<B>, Infallible>| async {
        let Ok(answer) = answer;
        let (head, body) = answer.into_parts();
        let Ok(body) = body.collect().await;
        Ok(Response::from_parts(head, Full::new(body.to_bytes())))
    }))
}
