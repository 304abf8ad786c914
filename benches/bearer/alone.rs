//! Each layer by itself around the bare service, its request prepared by the layers that it needs.

use std::convert::Infallible;

use criterion::Criterion;
use http::Extensions;
use tokio::runtime::Runtime;
use tower::{Layer, Service, service_fn};

use crate::beside::beside;
use crate::layers::Layers;
use crate::timing::{ready, round};
use crate::world::{Inner, Request, Response, TOKEN, World, request};

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let all = Layers::new(&World::new());
    let known = |outer: &dyn Fn(Seeing) -> Boxed| left_by(&runtime, outer);
    let bearer = known(&|inner| Boxed::new(all.bearer.layer(inner)));
    let app = known(&|inner| Boxed::new(all.bearer.layer(all.app.layer(inner))));
    let member =
        known(&|inner| Boxed::new(all.bearer.layer(all.app.layer(all.members.layer(inner)))));
    macro_rules! alone {
        ($name:literal, $layer:expr, $left:expr) => {
            let (mut service, left) = ($layer.layer(Inner), $left);
            for _ in 0..3 {
                let answer = runtime.block_on(service.call(prepared(&left)));
                assert_eq!(answer.expect("infallible").status(), 200, $name);
            }
            let _guard = runtime.enter();
            let bare = || round(|| prepared(&left), |request| ready(Inner.call(request)));
            beside(c, ("alone", $name), ("bare", bare), || {
                round(|| prepared(&left), |request| ready(service.call(request)))
            });
        };
    }
    alone!("bearer", all.bearer, Extensions::new());
    alone!("limit", all.limit, bearer.clone());
    alone!("scopes", all.scopes, bearer.clone());
    alone!("app", all.app, bearer.clone());
    alone!("members", all.members, app);
    alone!("access", all.access, member);
    alone!("caller", all.caller, bearer.clone());
    alone!("forward", all.forward, bearer);
}

type Boxed = tower::util::BoxCloneService<Request, Response, Infallible>;
type Seeing = tower::util::BoxCloneService<Request, Response, Infallible>;

/// What these layers leave in a request.
fn left_by(runtime: &Runtime, outer: &dyn Fn(Seeing) -> Boxed) -> Extensions {
    let (tell, told) = std::sync::mpsc::channel();
    let seeing = Seeing::new(service_fn(move |request: Request| {
        let told = tell.send(request.extensions().clone());
        async move {
            told.expect("somebody listens");
            Ok(http::Response::default())
        }
    }));
    let answer = runtime.block_on(outer(seeing).call(prepared(&Extensions::new())));
    assert_eq!(answer.expect("infallible").status(), 200);
    told.recv().expect("the request came through")
}

fn prepared(left: &Extensions) -> Request {
    let mut request = request(&format!("Bearer {TOKEN}"));
    *request.extensions_mut() = left.clone();
    request
}
