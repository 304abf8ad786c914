//! Wherever the password could come out, while everything fails.

use std::error::Error;

use tower_bearer::store::Redis;

use crate::figure::{Figure, exactly, must};
use crate::leaks::Watch;
use crate::scene::{PASSWORD, url, watch};

/// From now on every line that anybody logs, of every level and target, every series and every panic is looked at.
pub(crate) fn look_everywhere() {
    watch().keep_secret(PASSWORD);
    watch().panics();
    tracing::subscriber::set_global_default(watch().clone()).unwrap();
    #[cfg(feature = "metrics")]
    metrics::set_global_recorder(series::Series).unwrap();
}

pub(crate) async fn password() -> Vec<Figure> {
    for bad in [
        format!("http://:{PASSWORD}@127.0.0.1"),
        format!("redis://:{PASSWORD}@127.0.0.1/nowhere"),
        format!("redis://:{PASSWORD}@127.0.0.1:99999"),
        format!("{PASSWORD}@127.0.0.1"),
        format!("redis://{PASSWORD}"), // a host of that name: it may show, so nobody looks
    ] {
        match Redis::open(&bad) {
            Ok(named) => assert!(format!("{named:?}").starts_with("Redis"), "{bad}"),
            Err(error) => {
                watch().look_at_error("a URL", &error);
                assert!(error.source().is_none(), "XK2");
            }
        }
    }
    let named = Redis::open(&url(6_379)).unwrap();
    watch().look_at("a Redis", &named);
    watch().look_at("a namespace", &named.namespace("No Such"));
    // one that sees nothing would find nothing
    let other = Watch::default();
    other.keep_secret(PASSWORD);
    other.look("a URL", &url(6_379));
    let seen = watch().places();
    vec![
        exactly("hits_where_it_is", other.hits().len(), 1),
        must("places_looked_at", seen, ">=1000", seen >= 1_000 || is_alone()),
    ]
}

/// Is this the only row of the run?
fn is_alone() -> bool {
    std::env::var_os("BEARER_ROW").is_some()
}

#[cfg(feature = "metrics")]
mod series {
    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    use crate::scene::watch;

    /// Looks at each series, and counts nothing.
    pub(crate) struct Series;

    impl Recorder for Series {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            watch().look_at("a counter", key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            watch().look_at("a gauge", key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            watch().look_at("a histogram", key);
            Histogram::noop()
        }
    }
}
