//! One bench beside its baseline: criterion times the one, the line behind it compares both, timed in turn.

use std::time::Duration;

use criterion::Criterion;

use crate::timing::{CALLS, typical};

/// Times rounds of `ours` under the name `group/name`, and a round of `baseline` before each.
///
/// A round gives its nanoseconds a call.
pub(crate) fn beside(
    c: &mut Criterion,
    (group, name): (&str, &str),
    (baseline, mut theirs): (&str, impl FnMut() -> f64),
    mut ours: impl FnMut() -> f64,
) {
    let (mut base, mut own) = (Vec::new(), Vec::new());
    c.benchmark_group(group).bench_function(name, |bencher| {
        bencher.iter_custom(|calls| {
            let before = own.len();
            for _ in 0..calls.div_ceil(CALLS.into()) {
                base.push(theirs());
                own.push(ours());
            }
            let rounds = own.get(before..).unwrap_or_default();
            let mean = rounds.iter().sum::<f64>() / rounds.len() as f64;
            Duration::from_secs_f64(mean * calls as f64 / 1e9)
        });
    });
    if own.is_empty() {
        return; // filtered out
    }
    let (base, own) = (typical(&base), typical(&own));
    println!(
        "{group}/{name}: {:.2} x {baseline} ({baseline} {base:.1} ns, {name} {own:.1} ns)",
        own / base
    );
}
