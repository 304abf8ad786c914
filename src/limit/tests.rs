use super::*;
use crate::store::WhenFull;
use crate::window::vectors::limit;
use std::time::Duration;

fn faults(builder: LimiterBuilder) -> Vec<LimiterFault> {
    builder.build().map_or_else(|error| error.faults().to_vec(), |_| Vec::new())
}

fn policies(names: &[&str]) -> LimiterBuilder {
    let policy = |name: &&str| Policy::per_token(limit(60, 60_000)).named(*name);
    names.iter().map(policy).fold(Limiter::builder(), LimiterBuilder::policy)
}

#[test]
fn settings() {
    let named = |name: &str| LimiterFault::BadPolicyName { name: name.to_owned() };
    let twice = |name: &str| LimiterFault::DuplicatePolicy { name: name.to_owned() };
    let out_of = |setting, range| LimiterFault::SettingOutOfRange { setting, range };
    let deadline = out_of("deadline", "5 to 250 ms");
    let max_keys =
        LimiterFault::SettingOutOfRange { setting: "max_keys", range: "1,024 to 16,777,216" };
    let exact_up_to =
        LimiterFault::SettingOutOfRange { setting: "exact_up_to", range: "1 to 4,096" };
    let exact = |count| {
        policies(&["a"]).policy(Policy::per_token(limit(u32::MAX, 60_000)).exact_up_to(count))
    };
    let (ms, eight) = (Duration::from_millis, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    let by_peer = Anonymous::ByPeer(limit(2, 60_000));
    for (name, builder, want) in [
        ("L901 none", policies(&[]), vec![LimiterFault::NoPolicies]),
        ("L901 eight", policies(&eight), vec![]),
        (
            "L901 nine",
            policies(&eight).policy(Policy::per_app(limit(1, 1))),
            vec![LimiterFault::TooManyPolicies { count: 9 }],
        ),
        (
            "L902 names",
            policies(&["", "Token", "a:b"]),
            vec![named(""), named("Token"), named("a:b")],
        ),
        ("L902 twice", policies(&["a", "a", "a", "b"]), vec![twice("a")]),
        ("L902 peer", policies(&["peer"]), vec![]),
        (
            "L810 the name of peers is taken",
            policies(&["peer"]).anonymous(by_peer),
            vec![twice("peer")],
        ),
        ("L906 least", policies(&["a"]).max_keys(1_024).when_full(WhenFull::Closed), vec![]),
        ("L906 too few", policies(&["a"]).max_keys(1_023), vec![max_keys.clone()]),
        ("L906 too many", policies(&["a"]).max_keys(16_777_217), vec![max_keys.clone()]),
        ("L908 least", policies(&["a"]).deadline(ms(5)), vec![]),
        ("L908 most", policies(&["a"]).deadline(ms(250)), vec![]),
        ("L908 too short", policies(&["a"]).deadline(ms(4)), vec![deadline.clone()]),
        ("L908 too long", policies(&["a"]).deadline(ms(251)), vec![deadline.clone()]),
        ("L904 least", exact(1), vec![]),
        ("L904 most", exact(4_096), vec![]),
        ("L904 none", exact(0), vec![exact_up_to.clone()]),
        ("L904 one more", exact(4_097), vec![exact_up_to]),
        ("L907 off", policies(&["a"]).deny_cache(0), vec![]),
        ("L907 most", policies(&["a"]).deny_cache(1_048_576), vec![]),
        (
            "L907 too many",
            policies(&["a"]).deny_cache(1_048_577),
            vec![out_of("deny_cache", "0 to 1,048,576")],
        ),
        ("L909 least", policies(&["a"]).local_share(1), vec![]),
        ("L909 most", policies(&["a"]).local_share(1_024), vec![]),
        (
            "L909 outside",
            policies(&["a"]).local_share(0),
            vec![out_of("local_share", "1 to 1,024")],
        ),
        (
            "L910 least",
            policies(&["a"]).breaker_in_a_row(1).breaker_within_second(1).breaker_probe(ms(50)),
            vec![],
        ),
        (
            "L910 most",
            policies(&["a"])
                .breaker_in_a_row(100)
                .breaker_within_second(1_000)
                .breaker_probe(ms(5_000)),
            vec![],
        ),
        (
            "L910 outside",
            policies(&["a"]).breaker_in_a_row(101).breaker_within_second(0).breaker_probe(ms(49)),
            vec![
                out_of("breaker_in_a_row", "1 to 100"),
                out_of("breaker_within_second", "1 to 1,000"),
                out_of("breaker_probe", "50 ms to 5 s"),
            ],
        ),
        (
            "9.1 all at once",
            policies(&["a", "a", "B"]).deadline(ms(1)).max_keys(0),
            vec![twice("a"), named("B"), deadline, max_keys],
        ),
    ] {
        assert_eq!(faults(builder), want, "{name}");
    }
}

#[test]
fn errors_name_every_fault() {
    let error = policies(&["a", "a", "B"]).build().unwrap_err();
    let want =
        r#"policy "a" is there more than once; policy "B" needs a name of [a-z][a-z0-9_-]{0,31}"#;
    assert_eq!(error.to_string(), want);
}

#[test]
fn default_names() {
    let minute = limit(60, 60_000);
    for (policy, want, tenant) in [
        (Policy::per_token(minute), "token", false),
        (Policy::per_subject(minute), "subject", false),
        (Policy::per_workspace(minute), "workspace", true),
        (Policy::per_app(minute), "app", true),
        (Policy::custom("plan", minute, |_| Ok(CustomKey::Exempt)), "plan", false),
    ] {
        assert_eq!((policy.name(), policy.is_tenant()), (want, tenant), "L902 {want}");
    }
}

#[test]
fn clones_are_one_limiter() {
    let (one, other) = (policies(&["a"]).build().unwrap(), policies(&["a"]).build().unwrap());
    let clone = one.clone();
    assert_eq!([one.number(), clone.number()], [one.number(); 2], "L103");
    assert_ne!(one.number(), other.number(), "L805");
}

/// The bodies of §7.2; their fields are looked at in `tests/limits.rs`.
#[test]
fn bodies() {
    use crate::rejection::LimitRefusal;
    let violated = vec![PolicyName::new("token").unwrap()];
    for (name, retry_after_ms, want) in [
        (
            "L721, L738",
            Some(23_456),
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Too Many Requests","status":429,"error":"rate_limited","detail":"Too many requests. Try again after the time in Retry-After.","retry_after_ms":23456,"violated-policies":["token"]}"#,
        ),
        (
            "L722",
            None,
            r#"{"type":"about:blank","title":"Too Many Requests","status":429,"error":"cost_over_limit","detail":"This request costs more than its limit ever allows.","violated-policies":["token"]}"#,
        ),
    ] {
        let refusal = LimitRefusal { retry_after_ms, violated: violated.clone() };
        let body = Rejection::over_limit(refusal).body();
        assert_eq!(std::str::from_utf8(&body.0).unwrap(), want, "{name}");
    }
}

#[cfg(feature = "redis-cluster")]
#[test]
fn a_cluster_decides_for_one_owner() {
    use crate::store::{Redis, RedisWindows};

    let cluster = Redis::cluster(["redis://127.0.0.1:1"]).unwrap();
    let (many, one) = (RedisWindows::new(&cluster), RedisWindows::new(&cluster).one_slot());
    let server = RedisWindows::new(&Redis::open("redis://127.0.0.1:1").unwrap());
    let minute = limit(60, 60_000);
    let (token, subject) = (Policy::per_token(minute), Policy::per_subject(minute));
    let (workspace, app) = (Policy::per_workspace(minute), Policy::per_app(minute));
    let plan = Policy::custom("plan", minute, |_context| Ok(CustomKey::Exempt));
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let crosses = |caller, tenant| {
        vec![LimiterFault::CrossSlot { caller: names(caller), tenant: names(tenant) }]
    };
    let of = |policies: &[&Policy]| {
        let policies = policies.iter().copied().cloned();
        policies.fold(Limiter::builder(), LimiterBuilder::policy)
    };
    for (name, builder, want) in [
        (
            "L366 token and workspace",
            of(&[&token, &workspace]).store(Arc::new(many)),
            crosses(&["token"], &["workspace"]),
        ),
        (
            "L332 all of both groups are named",
            of(&[&token, &app, &plan, &workspace]).store(RedisWindows::new(&cluster)),
            crosses(&["token", "plan"], &["app", "workspace"]),
        ),
        ("L366 one slot", of(&[&token, &workspace]).store(one), vec![]),
        (
            "L366 token and subject",
            of(&[&token, &subject, &plan]).store(RedisWindows::new(&cluster)),
            vec![],
        ),
        (
            "L333 the other group",
            of(&[&workspace, &app]).store(RedisWindows::new(&cluster)),
            vec![],
        ),
        ("L335 one server", of(&[&token, &workspace]).store(server), vec![]),
        ("L335 in process", of(&[&token, &workspace]), vec![]),
    ] {
        assert_eq!(faults(builder), want, "{name}");
    }
    let told = of(&[&token, &app]).store(RedisWindows::new(&cluster)).build().unwrap_err();
    let told = told.to_string();
    for part in [r#"["token"]"#, r#"["app"]"#, "a limiter of each group", "one_slot"] {
        assert!(told.contains(part), "L332: {told}");
    }
}
