//! One hit in a cache of 50,000 with 5,000 hot keys: quick_cache, which the crate uses, beside moka.
//!
//! Before it times anything it prints how many of the hot keys each still holds after a million keys that came once.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use tower_bearer::token::Digest;

type Value = Arc<[u8; 256]>;

const HOT: usize = 5_000;
const CAPACITY: usize = 50_000;

pub(crate) fn bench(c: &mut Criterion) {
    let keys: Vec<Digest> = (0..HOT).map(|n| Digest::of(&format!("hot {n}"))).collect();
    let value: Value = Arc::new([0; 256]);
    let moka = moka::sync::Cache::<Digest, Value>::new(CAPACITY as u64);
    let quick = quick_cache::sync::Cache::<Digest, Value>::new(CAPACITY);
    for key in &keys {
        moka.insert(*key, Arc::clone(&value));
        quick.insert(*key, Arc::clone(&value));
    }
    for n in 0..1_000_000_usize {
        let cold = Digest::of(&format!("cold {n}"));
        let hot = keys.get(n % HOT).expect("in range");
        black_box((moka.get(hot), quick.get(hot)));
        moka.insert(cold, Arc::clone(&value));
        quick.insert(cold, Arc::clone(&value));
    }
    let kept = |holds: &dyn Fn(&Digest) -> bool| keys.iter().filter(|key| holds(key)).count();
    let (in_moka, in_quick) =
        (kept(&|key| moka.contains_key(key)), kept(&|key| quick.peek(key).is_some()));
    println!(
        "cache hot keys kept of {HOT} after 1,000,000 others: moka {in_moka}, quick_cache {in_quick}"
    );
    for key in &keys {
        moka.insert(*key, Arc::clone(&value));
        quick.insert(*key, Arc::clone(&value));
    }
    let mut group = c.benchmark_group("cache");
    let mut next = keys.iter().cycle();
    group.bench_function("hit_moka", |b| {
        b.iter(|| moka.get(black_box(next.next().expect("cycles"))))
    });
    let mut next = keys.iter().cycle();
    group.bench_function("hit_quick_cache", |b| {
        b.iter(|| quick.get(black_box(next.next().expect("cycles"))))
    });
    group.finish();
}
