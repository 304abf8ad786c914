use super::*;
use crate::rejection::{LimitRefusal, Rejection};
use crate::window::vectors::{cost, limit};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use proptest::prelude::*;

fn room(remaining: u32, reset_ms: u32) -> Standing {
    Standing::Room { remaining, reset_ms }
}

fn full(remaining: u32, retry_after_ms: u32) -> Standing {
    Standing::Full { remaining, retry_after_ms }
}

fn text(value: Option<HeaderValue>) -> Option<String> {
    value.map(|value| value.to_str().unwrap().to_owned())
}

/// `RateLimit-Policy`, `RateLimit` and `Retry-After`.
fn lines(policies: &[(&str, Limit)], standings: &[Standing]) -> [Option<String>; 3] {
    let names: Vec<PolicyName> =
        policies.iter().map(|(name, _)| PolicyName::new(name).unwrap()).collect();
    let policies = || names.iter().zip(policies).map(|(name, (_, limit))| (name, *limit));
    let answer = Answer::new(standings.iter().copied());
    let retry_after = answer.retry_after_ms().and_then(|retry_after_ms| {
        let refusal = LimitRefusal { retry_after_ms: Some(retry_after_ms), violated: Vec::new() };
        let mut headers = HeaderMap::new();
        Rejection::over_limit(refusal).write_headers(&mut headers);
        headers.remove(RETRY_AFTER)
    });
    [rate_limit_policy(policies()), rate_limit(policies(), &answer), retry_after].map(text)
}

#[test]
fn retry_after_seconds() {
    for (ms, want) in
        [(1, "1"), (999, "1"), (1_000, "1"), (1_001, "2"), (59_940, "60"), (60_000, "60")]
    {
        let [_, _, got] = lines(&[("token", limit(60, 60_000))], &[full(0, ms)]);
        assert_eq!(got.as_deref(), Some(want), "L731 {ms}");
    }
}

#[test]
fn admissions() {
    let (minute, hour) = (limit(60, 60_000), limit(1_000, 3_600_000));
    let both = [("token", minute), ("hour", hour)];
    let minute_policy = r#""token";q=60;w=60"#;
    for (name, policies, standings, policy, want) in [
        (
            "L732 first call",
            &both[..1],
            &[room(59, 60_000)][..],
            minute_policy,
            r#""token";r=59;t=60"#,
        ),
        ("L732 58 left", &both[..1], &[room(58, 1)], minute_policy, r#""token";r=58;t=58"#),
        ("L732 none left", &both[..1], &[room(0, 1)], minute_policy, r#""token";r=0;t=1"#),
        (
            "L732 none left, long",
            &both[..1],
            &[room(0, 59_941)],
            minute_policy,
            r#""token";r=0;t=60"#,
        ),
        ("L732 30 left", &both[..1], &[room(30, 30_001)], minute_policy, r#""token";r=30;t=31"#),
        (
            "L733 per hour",
            &[("token", limit(100, 3_600_000))],
            &[room(50, 5_000)],
            r#""token";q=100;w=3600"#,
            r#""token";r=50;t=1800"#,
        ),
        (
            "L733 per second",
            &[("token", limit(10, 1_000))],
            &[room(9, 1_000)],
            r#""token";q=10;w=1"#,
            r#""token";r=9;t=1"#,
        ),
        (
            "L733 per 1.5 s",
            &[("token", limit(5, 1_500))],
            &[room(4, 1_500)],
            r#""token";q=5;w=2"#,
            r#""token";r=4;t=2"#,
        ),
        (
            "L734 the least left",
            &both,
            &[room(12, 1_500), room(20, 1)],
            r#""token";q=60;w=60, "hour";q=1000;w=3600"#,
            r#""token";r=12;t=12"#,
        ),
        (
            "L735 the other one",
            &both,
            &[room(12, 1_500), room(7, 12_000)],
            r#""token";q=60;w=60, "hour";q=1000;w=3600"#,
            r#""hour";r=7;t=26"#,
        ),
        (
            "L705 equal: the first",
            &both,
            &[room(7, 1_500), room(7, 12_000)],
            r#""token";q=60;w=60, "hour";q=1000;w=3600"#,
            r#""token";r=7;t=7"#,
        ),
    ] {
        let want = [Some(policy.to_owned()), Some(want.to_owned()), None];
        assert_eq!(lines(policies, standings), want, "{name}");
    }
}

#[test]
fn denials() {
    let bursts = [("burst", limit(5, 1_000)), ("minute", limit(10, 60_000))];
    let token = [("token", limit(10, 10_000))];
    for (name, policies, standings, want, retry) in [
        (
            "L736 both violated",
            &bursts[..],
            &[full(0, 1_000), full(0, 59_000)][..],
            r#""burst";r=0;t=1, "minute";r=0;t=59"#,
            "59",
        ),
        (
            "L705 one violated",
            &bursts,
            &[room(5, 0), full(0, 58_000)],
            r#""minute";r=0;t=58"#,
            "58",
        ),
        ("L737 c3", &token, &[full(2, 8_000)], r#""token";r=2;t=8"#, "8"),
    ] {
        let [_, line, got] = lines(policies, standings);
        assert_eq!((line.as_deref(), got.as_deref()), (Some(want), Some(retry)), "{name}");
    }
}

/// L737's c11 and its like: no question can be made, so there is no answer that any of this could be made of.
#[test]
fn never_has_no_answer() {
    use crate::store::{Ask, AskError, AskItem, LogId, WindowKey};
    let (name, id) = (PolicyName::new("token").unwrap(), LogId::of_app("app-public"));
    let items = [AskItem::new(WindowKey::new(&name, id, id), limit(10, 10_000))];
    assert_eq!(Ask::new(cost(11), 2_000, &items).err(), Some(AskError::CostOverLimit), "L737 c11");
}

#[test]
fn settings() {
    for (name, fields, want) in [
        ("L702 Always", Fields::default(), [true, true]),
        ("L743 OnDenied", Fields::OnDenied, [false, true]),
        ("L743 Never", Fields::Never, [false, false]),
    ] {
        assert_eq!([fields.shows(true), fields.shows(false)], want, "{name}");
    }
}

#[test]
fn nothing_to_say() {
    let nobody: [(&PolicyName, Limit); 0] = [];
    assert_eq!(rate_limit_policy(nobody), None);
    assert_eq!(rate_limit(nobody, &Answer::new([])), None);
}

#[test]
fn the_longest_line() {
    let name = PolicyName::new(&"a".repeat(32)).unwrap();
    let policies = || (0..9).map(|_| (&name, limit(1, 2_073_600_000)));
    let answer = Answer::new((0..8).map(|_| full(u32::MAX, u32::MAX)));
    let item = format!("\"{name}\";r=4294967295;t=4294968");
    assert_eq!(text(rate_limit(policies(), &answer)), Some(vec![item; 8].join(", ")));
    let line = text(rate_limit_policy(policies())).unwrap();
    assert!(parse(&line).len() >= 8);
}

/// A list of strings with integer parameters, by RFC 9651 §4.2 as strictly as that.
fn parse(line: &str) -> Vec<(String, Vec<(String, u64)>)> {
    line.split(", ")
        .map(|item| {
            let mut parts = item.split(';');
            let quoted = parts.next().unwrap();
            let name = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            assert!(
                name.bytes()
                    .all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
            );
            let parameters = parts.map(|parameter| {
                let (key, value) = parameter.split_once('=').unwrap();
                assert!(key.starts_with(|first: char| first.is_ascii_lowercase() || first == '*'));
                assert!(key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
                assert!(!value.is_empty() && value.len() <= 15, "an integer has at most 15 digits");
                assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "{value}");
                assert!(value == "0" || !value.starts_with('0'), "no leading zero: {value}");
                (key.to_owned(), value.parse().unwrap())
            });
            (name.to_owned(), parameters.collect())
        })
        .collect()
}

fn state() -> impl Strategy<Value = (String, u32, u64, bool, f64, f64)> {
    let window = prop_oneof![1..100_u64, 1..100_000_u64, 1..=2_073_600_000_u64];
    (
        "[a-z][a-z0-9_-]{0,31}",
        prop_oneof![1..=4_096_u32, any::<u32>().prop_map(|count| count.max(1))],
        window,
        any::<bool>(),
        0.0..=1.0,
        0.0..=1.0,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_value_is_a_list(states in prop::collection::vec(state(), 1..=8)) {
        let share = |whole: u64, part: f64| ((whole as f64) * part).floor().to_string().parse::<u32>().unwrap();
        let policies: Vec<(&str, Limit)> =
            states.iter().map(|(name, count, window, ..)| (name.as_str(), limit(*count, *window))).collect();
        let standings: Vec<Standing> = states.iter().map(|(_, count, window, is_full, left, ms)| {
            let (remaining, ms) = (share((*count - 1).into(), *left), share(*window - 1, *ms) + 1);
            if *is_full { full(remaining, ms) } else { room(remaining, ms) }
        }).collect();
        let [policy, line, retry] = lines(&policies, &standings);
        let names = |line: &Vec<(String, Vec<(String, u64)>)>| -> Vec<String> {
            line.iter().map(|(name, _)| name.clone()).collect()
        };

        let policy = parse(&policy.unwrap());
        let wanted: Vec<String> = states.iter().map(|state| state.0.clone()).collect();
        prop_assert_eq!(names(&policy), wanted);
        for ((_, parameters), (_, count, window, ..)) in policy.iter().zip(&states) {
            let w = window.div_ceil(1_000);
            prop_assert!(w >= 1, "L747");
            let wanted = vec![("q".to_owned(), u64::from(*count)), ("w".to_owned(), w)];
            prop_assert_eq!(parameters, &wanted, "L704");
        }

        let line = parse(&line.unwrap());
        let violated: Vec<String> =
            states.iter().filter(|state| state.3).map(|state| state.0.clone()).collect();
        match &retry {
            Some(_) => prop_assert_eq!(names(&line), violated, "L705"),
            None => prop_assert_eq!(line.len(), 1, "L705"),
        }
        let retry = retry.map_or(u64::MAX, |retry| retry.parse().unwrap());
        for (_, parameters) in &line {
            let [(r, _), (t, after)] = &parameters[..] else { panic!("{parameters:?}") };
            prop_assert_eq!((r.as_str(), t.as_str()), ("r", "t"));
            prop_assert!(*after <= retry, "L706 Retry-After is never earlier than any t");
        }
    }
}
