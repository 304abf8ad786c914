//! What a refusal costs, by its cause: all eight layers, everything known that can be, beside the bare service.

use std::num::NonZeroU32;
use std::time::Duration;

use criterion::Criterion;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tower::{Layer, Service};
use tower_bearer::limit::{Limit, Limiter, Policy};
use tower_bearer::stack::RateLimit;

use crate::beside::beside;
use crate::layers::Layers;
use crate::timing::{ready, round};
use crate::world::{EXPIRED, Inner, READS_ONLY, Request, TOKEN, World, request};

/// Well formed, and no store knows it.
const UNKNOWN: &str = "tba_VW5rbm93biB0b2tlbiBvZiB0aGUgYmVuY2hlcy4uLi42Ff2p0";

pub(crate) fn bench(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let all = Layers::new(&World::new());
    let (limit, scopes) = (RateLimit::new(one_a_day()), all.scopes.clone());
    let mut spent = Layers { limit, ..all.clone() }.around(Inner);
    let (mut eight, mut scopes) = (all.around(Inner), scopes.layer(Inner));
    macro_rules! refused {
        ($name:literal, $status:literal, $service:ident, $make:expr) => {
            for _ in 0..3 {
                let _ = runtime.block_on($service.call($make));
            }
            let answer = runtime.block_on($service.call($make)).expect("infallible");
            assert_eq!(answer.status(), $status, $name);
            let _guard = runtime.enter();
            let bare = || round(|| $make, |request| ready(Inner.call(request)));
            beside(c, ("refusals", $name), ("bare", bare), || {
                round(|| $make, |request| ready($service.call(request)))
            });
        };
    }
    let good = || presents(TOKEN);
    refused!("missing_credential", 401, eight, without_credential());
    refused!("malformed", 400, eight, presents("two words"));
    refused!("junk_prefix", 401, eight, presents(&TOKEN.replace("tba_", "tbx_")));
    refused!("junk_checksum", 401, eight, presents(&TOKEN.replace("81xprsL", "81xprsM")));
    refused!("unknown", 401, eight, presents(UNKNOWN));
    refused!("expired", 401, eight, presents(EXPIRED));
    refused!("scope", 403, eight, presents(READS_ONLY));
    refused!("over_the_limit", 429, spent, good());
    refused!("non_member", 404, eight, about("app-foreign"));
    refused!("app_disabled", 403, eight, about("app-disabled"));
    refused!("misordered", 500, scopes, good());
}

fn one_a_day() -> Limiter {
    let day = Duration::from_secs(86_400);
    let limit = Limit::new(NonZeroU32::MIN, day).expect("in range");
    Limiter::builder().policy(Policy::per_token(limit)).build().expect("a limiter")
}

fn presents(token: &str) -> Request {
    request(&format!("Bearer {token}"))
}

fn without_credential() -> Request {
    let mut request = request("");
    request.headers_mut().remove(AUTHORIZATION);
    request.headers_mut().insert("x-none", HeaderValue::from_static(TOKEN));
    request
}

fn about(app: &str) -> Request {
    let mut request = presents(TOKEN);
    *request.uri_mut() = format!("/apps/{app}/run").parse().expect("a path");
    request
}
