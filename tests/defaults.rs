//! The page of defaults says what the code does: each default, each range, and the docs of each setter.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use tower_bearer::Authenticator;
use tower_bearer::authenticator::{AuthenticatorBuilder, BuildError};
use tower_bearer::forward::{ForwardOptions, Mode, Upstream};
use tower_bearer::issuing::TtlBounds;
use tower_bearer::limit::{Limit, Limiter, LimiterBuilder, LimiterFault, Policy};
use tower_bearer::store::MemoryStore;
use tower_bearer::subject::SubjectType;
use tower_bearer::token::{TokenKind, TokenKinds};

const AUTH: &str = "`Authenticator::builder`";
const TOKENS: &str = "Tokens";
const LIMITS: &str = "`Limiter::builder`";
const FORWARD: &str = "`ForwardOptions`";

#[test]
fn the_code_starts_with_what_the_page_says() {
    let auth = format!("{:#?}", builder());
    let (before_tokens, caches) = auth.split_once("tokens: ").unwrap();
    let (tokens, facts) = caches.split_once("facts: ").unwrap();
    let upstream = Upstream::new("main", "https://mcp.example.com/").unwrap();
    let forward = format!("{:#?}", ForwardOptions::new(upstream, Mode::Headers));
    let thousandths: f64 = field(tokens, "jitter").parse().unwrap();
    let kinds = kinds();
    let limits = format!("{:#?}", Limiter::builder());
    for (section, setting, code) in [
        (AUTH, "realm", field(before_tokens, "realm")),
        (AUTH, "resource_metadata", field(before_tokens, "resource_metadata")),
        (AUTH, "credential_header", field(before_tokens, "credential_header")),
        (AUTH, "retry_after", field(before_tokens, "retry_after")),
        (AUTH, "name", field(before_tokens, "name")),
        (AUTH, "shared_cache_deadline", field(before_tokens, "shared_cache_deadline")),
        (AUTH, "audit_allowed_sample", field(before_tokens, "audit_allowed_sample")),
        (AUTH, "audit_denied_per_second", field(before_tokens, "audit_denied_per_second")),
        (AUTH, "positive_ttl", field(tokens, "ttl")),
        (AUTH, "fact_ttl", field(facts, "ttl")),
        (AUTH, "negative_ttl", field(tokens, "negative_ttl")),
        (AUTH, "ttl_jitter", (thousandths / 1_000.0).to_string()),
        (AUTH, "context_capacity", field(tokens, "capacity")),
        (AUTH, "fact_capacity", field(facts, "capacity")),
        (AUTH, "negative_capacity", field(tokens, "negative_capacity")),
        (AUTH, "load_deadline", field(tokens, "deadline")),
        (AUTH, "max_loads", field(tokens, "max_loads")),
        (AUTH, "max_waiting_keys", field(tokens, "max_waiting")),
        (AUTH, "tombstone_life", field(tokens, "tombstone_life")),
        (AUTH, "tombstone_capacity", field(tokens, "tombstone_capacity")),
        (TOKENS, "max_token_len", kinds.max_token_len().to_string()),
        (LIMITS, "fields", field(&limits, "fields")),
        (LIMITS, "mode", field(&limits, "mode")),
        (LIMITS, "max_keys", field(&limits, "max_keys")),
        (LIMITS, "when_full", field(&limits, "when_full")),
        (LIMITS, "deadline", field(&limits, "deadline")),
        (LIMITS, "deny_cache", field(&limits, "deny_cache")),
        (LIMITS, "on_outage", field(&limits, "on_outage")),
        (LIMITS, "local_share", field(&limits, "local_share")),
        (LIMITS, "breaker_in_a_row", field(&limits, "breaker_in_a_row")),
        (LIMITS, "breaker_within_second", field(&limits, "breaker_within_second")),
        (LIMITS, "breaker_probe", field(&limits, "breaker_probe")),
        (FORWARD, "max_value_bytes", field(&forward, "max_value")),
        (FORWARD, "max_total_bytes", field(&forward, "max_total")),
    ] {
        assert_eq!(plain(&on_page(section, setting).0), plain(&code), "{section} {setting}");
    }
    assert_eq!(
        field(before_tokens, "problem_base"),
        "none",
        "`about:blank` is said by its absence"
    );
    assert_eq!(field(&limits, "anonymous"), "Refuse", "whoever cannot be counted is refused");
    assert_eq!(field(&limits, "trusted_proxies"), "[]", "nobody's `X-Forwarded-For` is believed");
    assert_eq!(field(&forward, "required"), "true", "anonymous requests are refused");
    assert_eq!(field(&forward, "overflow"), "Refuse", "so is a fact over a cap");
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let said = TtlBounds::new(Duration::from_secs(60), days(14), days(365)).unwrap();
    assert_eq!(on_page(TOKENS, "TtlBounds").0, "1 min, 14 days, 365 days");
    assert_eq!(TtlBounds::default(), said);
}

#[test]
fn a_value_outside_a_range_is_refused_with_the_range_of_the_page() {
    let far = Duration::from_secs(1_000_000);
    type Setter = fn(AuthenticatorBuilder, Duration) -> AuthenticatorBuilder;
    for (setting, set) in [
        ("positive_ttl", (|b, far| b.positive_ttl(far)) as Setter),
        ("fact_ttl", |b, far| b.fact_ttl(far)),
        ("negative_ttl", |b, far| b.negative_ttl(far)),
        ("ttl_jitter", |b, _| b.ttl_jitter(0.6)),
        ("context_capacity", |b, _| b.context_capacity(0)),
        ("fact_capacity", |b, _| b.fact_capacity(0)),
        ("load_deadline", |b, far| b.load_deadline(far).positive_ttl(Duration::ZERO)),
        ("max_loads", |b, _| b.max_loads(0)),
        ("max_waiting_keys", |b, _| b.max_waiting_keys(usize::MAX)),
        ("tombstone_life", |b, far| b.tombstone_life(far)),
        ("tombstone_capacity", |b, _| b.tombstone_capacity(0)),
        ("shared_cache_deadline", |b, far| b.shared_cache_deadline(far)),
        ("audit_allowed_sample", |b, _| b.audit_allowed_sample(2.0)),
        ("audit_denied_per_second", |b, _| b.audit_denied_per_second(0)),
    ] {
        let error = set(builder(), far).build().unwrap_err();
        let BuildError::OutOfRange { setting: named, range } = error else {
            panic!("{setting}: {error:?}");
        };
        assert_eq!(named, setting);
        let said = on_page(AUTH, setting).1.replace(" – ", " to ").replace('–', " to ");
        assert_eq!(said, range, "{setting}");
    }
}

#[test]
fn a_limiter_tells_the_range_of_the_page() {
    let minute = Limit::per_minute(NonZeroU32::MIN).unwrap();
    type Setter = fn(LimiterBuilder) -> LimiterBuilder;
    for (setting, set) in [
        ("max_keys", (|b| b.max_keys(0)) as Setter),
        ("deadline", |b| b.deadline(Duration::ZERO)),
        ("deny_cache", |b| b.deny_cache(usize::MAX)),
        ("local_share", |b| b.local_share(0)),
        ("breaker_probe", |b| b.breaker_probe(Duration::ZERO)),
    ] {
        let builder = set(Limiter::builder().policy(Policy::per_token(minute)));
        let faults = builder.build().unwrap_err().faults().to_vec();
        let [LimiterFault::SettingOutOfRange { setting: named, range }] = &faults[..] else {
            panic!("{setting}: {faults:?}");
        };
        assert_eq!(*named, setting);
        let said = on_page(LIMITS, setting).1.replace(" (off)", "").replace('–', " to ");
        assert_eq!(said, *range, "{setting}");
    }
}

/// Defaults that no value shows are at least the same in the docs of their setters.
#[test]
fn the_docs_of_a_setter_say_what_the_page_says() {
    let auth = "src/authenticator/builder.rs";
    let declared = "src/token/declared.rs";
    let limits = "src/limit/builder.rs";
    let forward = "src/forward/config.rs";
    for (section, setting, file) in [
        (AUTH, "realm", auth),
        (AUTH, "resource_metadata", auth),
        (AUTH, "credential_header", auth),
        (AUTH, "retry_after", auth),
        (AUTH, "positive_ttl", auth),
        (AUTH, "fact_ttl", auth),
        (AUTH, "negative_ttl", auth),
        (AUTH, "ttl_jitter", auth),
        (AUTH, "context_capacity", auth),
        (AUTH, "fact_capacity", auth),
        (AUTH, "negative_capacity", auth),
        (AUTH, "load_deadline", auth),
        (AUTH, "max_loads", auth),
        (AUTH, "max_waiting_keys", auth),
        (AUTH, "tombstone_life", auth),
        (AUTH, "tombstone_capacity", auth),
        (AUTH, "bus", auth),
        (AUTH, "tells", auth),
        (AUTH, "shared_cache", auth),
        (AUTH, "name", auth),
        (AUTH, "shared_cache_deadline", auth),
        (AUTH, "audit_allowed_sample", auth),
        (AUTH, "audit_denied_per_second", auth),
        (TOKENS, "max_token_len", "src/token/builder.rs"),
        (TOKENS, "secret_bytes", declared),
        (TOKENS, "checksum", declared),
        (TOKENS, "prefix", declared),
        (TOKENS, "umbrella", declared),
        (LIMITS, "cost_by", limits),
        (LIMITS, "fields", limits),
        (LIMITS, "mode", limits),
        (LIMITS, "anonymous", limits),
        (LIMITS, "max_keys", limits),
        (LIMITS, "when_full", limits),
        (LIMITS, "deadline", limits),
        (LIMITS, "exact_up_to", "src/limit/policy.rs"),
        (LIMITS, "deny_cache", limits),
        (LIMITS, "on_outage", limits),
        (LIMITS, "local_share", limits),
        (LIMITS, "breaker_in_a_row", limits),
        (LIMITS, "breaker_within_second", limits),
        (LIMITS, "breaker_probe", limits),
        (FORWARD, "max_value_bytes", forward),
        (FORWARD, "max_total_bytes", forward),
        (FORWARD, "lifetime", "src/forward/sign/mod.rs"),
        (FORWARD, "max_body_bytes", "src/forward/sign/mod.rs"),
    ] {
        let docs = docs_of(file, setting);
        let (_, said) =
            docs.split_once("Default ").or_else(|| docs.split_once("Default: ")).unwrap();
        let said = plain(said.trim_start_matches([':', ' ']));
        let page = plain(on_page(section, setting).0.split(", 401").next().unwrap());
        assert!(said.starts_with(&page), "{section} {setting}: {page} on the page, {said} in docs");
    }
}

/// Every setting of the page that has a name in code is in one of the tables above.
#[test]
fn no_row_of_the_page_is_left_out() {
    let own = read("tests/defaults.rs");
    let by_words = ["problem_base", "implies"]; // said in words, each with a test of its own
    for (section, setting) in page().keys() {
        let tested = own.contains(&format!("\"{setting}\""));
        assert!(tested || by_words.contains(&setting.as_str()), "{section} {setting}");
    }
}

fn kinds() -> TokenKinds {
    let kind = TokenKind::new("account").prefix("tst_").subject(SubjectType::Account);
    TokenKinds::builder().kind(kind.narrowed(["full"])).build().unwrap()
}

fn builder() -> AuthenticatorBuilder {
    Authenticator::builder(kinds(), MemoryStore::new())
}

/// The value of a field in pretty `Debug` text, `none` for `None`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
    let value = line.unwrap_or_else(|| panic!("no {name} in {text}"));
    value.trim_end_matches(',').trim_matches('"').replace("None", "none")
}

/// Without what differs between prose and `Debug`: spaces, thousands, capitals, marks of code and links.
fn plain(text: &str) -> String {
    let text = text.replace("Fields::", "").replace("Mode::", "").replace("WhenFull::", "");
    let text = text.replace("Anonymous::", "").replace("Outage::", "").replace(" ± 50 %", "");
    let marks = [' ', ',', '`', '[', ']'];
    text.chars().filter(|letter| !marks.contains(letter)).collect::<String>().to_lowercase()
}

/// Default and range that the page gives.
fn on_page(section: &str, setting: &str) -> (String, String) {
    let row = page().remove(&(section.to_owned(), setting.to_owned()));
    row.unwrap_or_else(|| panic!("the page has no {setting} under {section}"))
}

/// Default and range of every setting that a table with ranges names in code, by section; a row of several is one each.
fn page() -> BTreeMap<(String, String), (String, String)> {
    let (mut rows, mut section) = (BTreeMap::new(), String::new());
    for line in read("docs/manual/05-defaults.md").lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title.to_owned();
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", settings, default, range, _, _, ""] = cells[..] else { continue };
        let settings: Vec<&str> = settings.split(", ").collect();
        let between = if default.contains("; ") { "; " } else { ", " };
        let defaults: Vec<&str> =
            if settings.len() > 1 { default.split(between).collect() } else { vec![default] };
        for (at, setting) in settings.iter().enumerate() {
            let Some(name) = setting.strip_prefix('`').and_then(|rest| rest.split('`').next())
            else {
                continue;
            };
            let name = name.trim_start_matches("Policy::");
            let default = defaults.get(at).or_else(|| defaults.last()).unwrap();
            let row = (default.replace('`', ""), range.replace('`', ""));
            rows.insert((section.clone(), name.to_owned()), row);
        }
    }
    rows
}

/// The doc comment of a setter, as one line.
fn docs_of(file: &str, setter: &str) -> String {
    let text = read(file);
    let start = format!("pub fn {setter}(");
    let above = text.split_once(&start).unwrap_or_else(|| panic!("no {setter} in {file}")).0;
    let lines: Vec<&str> = above.lines().rev().skip(1).collect();
    let docs = lines.iter().map_while(|line| line.trim().strip_prefix("///"));
    let mut docs: Vec<&str> = docs.map(str::trim).collect();
    docs.reverse();
    docs.join(" ")
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()))
}
