//! One hit in a cache of 50,000 with 5,000 hot keys: quick_cache, which the crate uses, beside moka.
//!
//! Before it times anything it prints how many of the hot keys each still holds after a million keys that came once.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use tower_bearer::token::Digest;

use crate::beside::beside;
use crate::timing::{ready, round};
use crate::world::{TOKEN, World};

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
    let mut next = keys.iter().cycle();
    let theirs = || round(|| next.next().expect("cycles"), |key| moka.get(key));
    let mut next = keys.iter().cycle();
    beside(c, ("cache", "hit_quick_cache"), ("hit_moka", theirs), || {
        round(|| next.next().expect("cycles"), |key| quick.get(key))
    });

    let auth = World::new().auth;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let known = runtime.block_on(auth.authenticate(TOKEN)).expect("it is known");
    assert_eq!(known.token_id().map(|id| id.as_str()), Some("tok_bench"));
    quick.insert(Digest::of(TOKEN), value);
    let theirs = || round(|| TOKEN, |token| quick.get(&Digest::of(token)));
    beside(c, ("cache", "authenticate"), ("digest_and_hit", theirs), || {
        round(|| TOKEN, |token| ready(auth.authenticate(token)))
    });
}
