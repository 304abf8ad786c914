//! What a preset sends, row by row.

use http::HeaderValue;
use http::request::Parts;

use super::*;
use crate::forward::error::{ConfigError, ForwardError};
use crate::forward::identity::{Field, Identity};
use crate::forward::key_rules::KeyFault;
use crate::forward::set::ForwardSet;
use crate::forward::upstream::Upstream;
use crate::forward::{ForwardOptions, Overflow};

const K: &[u8] = b"0123456789abcdef0123456789abcdef";

fn upstream() -> Upstream {
    Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap()
}

fn options(preset: &ContextForge) -> ForwardOptions {
    preset.options(upstream()).set(&ForwardSet::separate())
}

fn head() -> Parts {
    http::Request::new(()).into_parts().0
}

/// What the upstream sees, without the prefix, and the field that was left out.
fn sent(
    options: ForwardOptions,
    identity: &Identity<'_>,
) -> Result<(Vec<(String, String)>, Option<Field>), ForwardError> {
    let mut head = head();
    let prepared = options.build().unwrap().prepare_request(&mut head, Some(identity))?;
    let lines = head.headers.iter().map(|(name, value)| {
        let name = name.as_str();
        let name = name.strip_prefix("x-forwarded-user-").unwrap_or(name);
        (name.to_owned(), value.to_str().unwrap().to_owned())
    });
    Ok((lines.collect(), prepared.left_out()))
}

fn of(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn headers() {
    let alice = || Identity::account("alice@co.com").with_email("alice@co.com");
    let bob = || Identity::account("bob");
    let (id, email, no) = (("id", "alice@co.com"), ("email", "alice@co.com"), ("admin", "false"));
    let of_bob = ("id", "bob");
    for (name, identity, want) in [
        ("FA2", alice(), &[id, email, no][..]),
        ("FA2 yes", alice().with_admin(true), &[id, email, ("admin", "true")]),
        ("FA3", bob().with_groups(["eng", "dev"]), &[of_bob, ("groups", "eng,dev"), no]),
        ("FA3", bob().with_teams(["team-1"]), &[of_bob, ("teams", "team-1"), no]),
        (
            "FA3",
            bob().with_roles(["developer", "reviewer"]),
            &[of_bob, ("roles", "developer,reviewer"), no],
        ),
        ("FA3", bob().with_service_account("ci-bot"), &[of_bob, no, ("service-account", "ci-bot")]),
        (
            "F251 others are not its",
            bob().with_workspace("ws-1").with_scopes(["a"]).with_app("x").with_role("editor"),
            &[of_bob, no],
        ),
        (
            "F251 empty",
            bob()
                .with_email("")
                .with_full_name("")
                .with_groups(Vec::<&str>::new())
                .with_auth_method("")
                .with_service_account("")
                .with_delegation_chain(Vec::<&str>::new()),
            &[of_bob, no],
        ),
        (
            "F251 raw",
            Identity::account("a b").with_full_name("Alice, 100% Smith").with_auth_method("o auth"),
            &[("id", "a b"), ("full-name", "Alice, 100% Smith"), no, ("auth-method", "o auth")],
        ),
        (
            "F251 chain",
            bob().with_delegation_chain(["svc", "bob"]),
            &[of_bob, no, ("delegation-chain", "svc,bob")],
        ),
    ] {
        assert_eq!(sent(options(&contextforge()), &identity), Ok((of(want), None)), "{name}");
    }
    for full_name in ["Fábián", " Alice", "Alice ", "a\r\nX-Forwarded-User-Admin: true", "a\0b"] {
        let got = sent(options(&contextforge()), &bob().with_full_name(full_name));
        assert_eq!(got, Ok((of(&[of_bob, no]), Some(Field::FullName))), "F251 {full_name:?}");
    }
}

#[test]
fn refusals() {
    let bob = || Identity::account("bob");
    let unencodable = |field: &'static str| ForwardError::Unencodable { field: field.into() };
    for (name, identity, want) in [
        ("F251", Identity::account(""), unencodable("id")),
        ("F251", Identity::account("José"), unencodable("id")),
        ("F251", Identity::account("a "), unencodable("id")),
        ("F251", bob().with_email("josé@co.com"), unencodable("email")),
        ("F251", bob().with_groups(["a,b"]), unencodable("groups")),
        ("F251", bob().with_roles(["a", ""]), unencodable("roles")),
        ("F251", bob().with_teams([" a"]), unencodable("teams")),
        ("F251", bob().with_auth_method("a\tb"), unencodable("auth_method")),
        (
            "F68",
            bob().with_delegation_chain(["a"; 9]),
            ForwardError::TooLarge { field: "delegation_chain".into() },
        ),
        (
            "F66 the caps hold",
            bob().with_full_name("a".repeat(4_097)),
            ForwardError::TooLarge { field: "full_name".into() },
        ),
    ] {
        assert_eq!(sent(options(&contextforge()), &identity), Err(want), "{name}");
    }
    let long = bob().with_groups(["a".repeat(4_097)]);
    let fewer = options(&contextforge()).overflow(Overflow::OmitLists);
    let want = of(&[("id", "bob"), ("admin", "false"), ("overflow", "groups")]);
    assert_eq!(sent(fewer, &long), Ok((want, None)), "F66");
}

#[test]
fn signatures() {
    for (name, key, want) in [
        ("FB6 empty", &b""[..], Err(KeyFault::Short)),
        ("FB6", b"test-secret", Err(KeyFault::Short)),
        ("F268 weak", &[7; 32], Err(KeyFault::Weak)),
        ("F268", K, Ok(())),
    ] {
        let want = want.map_err(|fault| ConfigError::Key { fault });
        assert_eq!(contextforge().sign_claims(key).map(drop), want, "{name} contextforge");
        assert_eq!(coder(|_, _| CoderIds::new("", ""), key).map(drop), want, "{name} coder");
    }
    let signed = || contextforge().sign_claims(K).unwrap();
    let alice = Identity::account("acc-alice").with_email("alice@co.com");
    let code = |id, email| contextforge_signature(K, id, email);
    let (lines, _) = sent(options(&signed()), &alice).unwrap();
    let last = lines.last().map(|(name, value)| (name.as_str(), value.as_str()));
    let fb4 = "db2f2fd30ba17816f72b14565f7f8b740e1e46e73bfb515c6a000621bb034eec";
    assert_eq!(last, Some(("claims-signature", fb4)), "FB4");
    let (lines, _) = sent(options(&signed()).fields([]), &alice).unwrap();
    let want = of(&[("id", "acc-alice"), ("claims-signature", &code("acc-alice", None))]);
    assert_eq!(lines, want, "F252 over what is sent");
    assert!(!format!("{:?} {:?}", signed(), options(&signed())).contains("0123456789"), "F173");

    let mut head = head();
    let forwarding = options(&signed().headers_prefix("X-GW-User")).build().unwrap();
    head.headers.insert("x-gw-user-claims-signature", HeaderValue::from_static("x"));
    head.headers.insert("x_gw_user_id", HeaderValue::from_static("admin"));
    let _prepared = forwarding.prepare_request(&mut head, Some(&alice)).unwrap();
    let caller = verify_contextforge(&head.headers, "X-GW-User", K).unwrap();
    assert_eq!((caller.id(), caller.email()), ("acc-alice", Some("alice@co.com")), "F217");
    assert!(!head.headers.contains_key("x_gw_user_id"), "F41");
    assert!(head.headers["x-gw-user-claims-signature"].is_sensitive(), "F67");
}

#[test]
fn settings_of_every_mode_keep_the_preset() {
    let preset = contextforge().sign_claims(K).unwrap();
    let identity = Identity::account("a b").with_email("alice@co.com");
    let code = contextforge_signature(K, "a b", Some("alice@co.com"));
    let lines = [("id", "a b"), ("email", "alice@co.com"), ("admin", "false")];
    let want = of(&[&lines[..], &[("claims-signature", &code)]].concat());
    let got = sent(options(&preset).percent_encode_ids(), &identity);
    assert_eq!(got, Ok((want.clone(), None)), "F251 still raw");

    let base = options(&preset).build().unwrap();
    let (local, error) = base.overridden(None, r#"{"headers_prefix":"X-GW-User"}"#);
    assert_eq!(error, None);
    let mut head = head();
    let _prepared = local.prepare_request(&mut head, Some(&identity)).unwrap();
    let caller = verify_contextforge(&head.headers, "X-GW-User", K).unwrap();
    assert_eq!((caller.id(), head.headers.len()), ("a b", want.len()), "F160 still signed");
}

#[test]
fn carriers() {
    for (name, preset, in_headers, in_meta) in [
        ("FA10 headers", contextforge(), true, false),
        ("FA10 meta", contextforge().carriers(Carriers::Meta), false, true),
        ("FA10 both", contextforge().carriers(Carriers::Both), true, true),
        ("F252 disabled", contextforge().carriers(Carriers::Both).disabled(), false, false),
    ] {
        assert_eq!((preset.puts_headers(), preset.puts_meta()), (in_headers, in_meta), "{name}");
        let is_off = options(&preset).build().unwrap().is_off();
        assert_eq!(is_off, !in_headers, "{name}");
    }
}

#[test]
fn attributes() {
    let bob = Identity::account("bob").with_attribute("dept", "d").with_attribute("ssn", "s");
    let mapped = |preset: &ContextForge| {
        let options = options(preset).map_attribute("dept", "X-Dept").map_attribute("ssn", "X-Ssn");
        let (lines, _) = sent(options, &bob).unwrap();
        let names = lines.into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("x-")).collect::<Vec<_>>()
    };
    let weak = || contextforge().local_may_weaken();
    let local = |preset: ContextForge, json| preset.with_override(json).unwrap();
    for (name, preset, want) in [
        ("F170", contextforge(), &["x-dept"][..]),
        ("F252 allowed", contextforge().allowed_attributes(["ssn"]), &[]),
        ("F252 []", contextforge().allowed_attributes([]), &[]),
        ("F252 none held back", contextforge().sensitive_attributes([]), &["x-dept", "x-ssn"]),
        ("F168", local(contextforge(), r#"{"sensitive_attributes":["dept"]}"#), &[]),
        ("F168 replaces", local(weak(), r#"{"sensitive_attributes":["dept"]}"#), &["x-ssn"]),
        ("F252 null", local(contextforge(), r#"{"sensitive_attributes":null}"#), &["x-dept"]),
        ("F252 applied", local(contextforge(), r#"{"allowed_attributes":["other"]}"#), &[]),
        (
            "F252 no wider",
            local(
                contextforge().allowed_attributes(["other"]),
                r#"{"allowed_attributes":["dept"]}"#,
            ),
            &[],
        ),
        (
            "F252 wider by permission",
            local(weak().allowed_attributes(["other"]), r#"{"allowed_attributes":["dept"]}"#),
            &["x-dept"],
        ),
    ] {
        assert_eq!(mapped(&preset), want, "{name}");
    }
}

#[test]
fn overrides() {
    let signed = || contextforge().sign_claims(K).unwrap();
    let denied = |setting, permission| Err(ConfigError::NotPermitted { setting, permission });
    let unsigned = denied("sign_claims", "local_may_weaken");
    let kept = (true, Carriers::Headers, "X-Forwarded-User", true);
    for (name, preset, json, want) in [
        ("F252 nothing", signed(), "{}", Ok(kept)),
        (
            "F252 null inherits",
            signed(),
            r#"{"enabled":null,"mode":null,"headers_prefix":null,"sign_claims":null,"sensitive_attributes":null,"allowed_attributes":null}"#,
            Ok(kept),
        ),
        ("F252 prefix", signed(), r#"{"headers_prefix":"X-GW"}"#, Ok((true, kept.1, "X-GW", true))),
        ("F252 mode", signed(), r#"{"mode":"both"}"#, Ok((true, Carriers::Both, kept.2, true))),
        ("F252 mode", signed(), r#"{"mode":"meta"}"#, denied("mode", "local_may_weaken")),
        (
            "F252 mode",
            contextforge(),
            r#"{"mode":"meta"}"#,
            Ok((true, Carriers::Meta, kept.2, false)),
        ),
        ("F252 off", signed(), r#"{"enabled":false}"#, Ok((false, kept.1, kept.2, true))),
        (
            "F252 on",
            signed().disabled(),
            r#"{"enabled":true}"#,
            denied("enabled", "local_may_enable"),
        ),
        ("F252 on", signed().disabled().local_may_enable(), r#"{"enabled":true}"#, Ok(kept)),
        ("F252 unsigned", signed(), r#"{"sign_claims":false}"#, unsigned),
        (
            "F252 unsigned",
            signed().local_may_weaken(),
            r#"{"sign_claims":false}"#,
            Ok((true, kept.1, kept.2, false)),
        ),
        (
            "F252 no key",
            contextforge(),
            r#"{"sign_claims":true}"#,
            Err(ConfigError::Unavailable { setting: "sign_claims" }),
        ),
        ("F252 signed", signed(), r#"{"sign_claims":true}"#, Ok(kept)),
        (
            "F252 word",
            signed(),
            r#"{"mode":"off"}"#,
            Err(ConfigError::UnknownWord { setting: "mode" }),
        ),
        ("F252 key", signed(), r#"{"fields":[]}"#, Err(ConfigError::Override)),
        ("F252 twice", signed(), r#"{"mode":"both","mode":"headers"}"#, Err(ConfigError::Override)),
        ("F252 type", signed(), r#"{"enabled":"yes"}"#, Err(ConfigError::Override)),
        ("F252 array", signed(), "[true]", Err(ConfigError::Override)),
    ] {
        let got = preset.with_override(json);
        let got = got.as_ref().map(|local| {
            (local.enabled, local.carriers, local.prefix.as_str(), local.key.is_some())
        });
        assert_eq!(got.map_err(|error| *error), want, "{name} {json}");
    }
}
