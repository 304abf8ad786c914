//! Exactly the identity that was configured reaches the upstream, encoded, in order, or the request is refused.

use super::*;

#[test]
fn plain_headers() {
    let chosen = [Field::Groups, Field::Teams, Field::Roles, Field::ServiceAccount];
    let lists = Identity::account("a")
        .with_groups(["eng", "dev"])
        .with_teams(["team-1"])
        .with_roles(["developer", "reviewer"])
        .with_service_account("ci-bot");
    let everything = lists
        .clone()
        .with_full_name("Fábián")
        .with_role("editor")
        .with_app("app-1")
        .with_client("cli")
        .with_scopes(["apps:run"])
        .with_admin(true)
        .with_auth_method("member token".replace(' ', "-"))
        .with_delegation_chain(["svc-x", "acc-alice"])
        .with_issuer("https://idp.example")
        .with_email("a@x")
        .with_workspace("ws");
    let all: Vec<_> = identity::FIELDS.iter().map(|(field, ..)| *field).collect();
    let digest = "145ee6484fcdcf04df64cc7681844e9ffa5c9401d7dabd0c87df31bb674cd95b";
    for (name, options, identity, want) in [
        ("FA4", options(), alice(), ALICE),
        ("FA1", options().disabled(), alice(), &[]),
        (
            "FA3",
            options().fields(chosen),
            lists,
            &[
                ("x-forwarded-user-id", "a"),
                ("x-forwarded-user-groups", "eng,dev"),
                ("x-forwarded-user-teams", "team-1"),
                ("x-forwarded-user-roles", "developer,reviewer"),
                ("x-forwarded-user-service-account", "ci-bot"),
            ],
        ),
        (
            "FA6",
            options().prefix("X-Auth-User").fields([]),
            alice(),
            &[("x-auth-user-id", "acc-alice")],
        ),
        (
            "FA9",
            options().fields(chosen),
            Identity::account("a").with_teams([""; 0]),
            &[("x-forwarded-user-id", "a")],
        ),
        (
            "F50 F52",
            options().fields(all.clone()),
            Identity::external("https://idp.example", "guest-1"),
            &[
                ("x-forwarded-user-id", digest),
                ("x-forwarded-user-type", "external"),
                ("x-forwarded-user-issuer", "https://idp.example"),
            ],
        ),
        (
            "F50 row order",
            options().fields(all),
            everything,
            &[
                ("x-forwarded-user-id", "a"),
                ("x-forwarded-user-type", "account"),
                ("x-forwarded-user-issuer", "https://idp.example"),
                ("x-forwarded-user-email", "a@x"),
                ("x-forwarded-user-full-name", "F%C3%A1bi%C3%A1n"),
                ("x-forwarded-user-workspace", "ws"),
                ("x-forwarded-user-role", "editor"),
                ("x-forwarded-user-app", "app-1"),
                ("x-forwarded-user-client", "cli"),
                ("x-forwarded-user-scopes", "apps%3Arun"),
                ("x-forwarded-user-groups", "eng,dev"),
                ("x-forwarded-user-teams", "team-1"),
                ("x-forwarded-user-roles", "developer,reviewer"),
                ("x-forwarded-user-admin", "true"),
                ("x-forwarded-user-auth-method", "member-token"),
                ("x-forwarded-user-service-account", "ci-bot"),
                ("x-forwarded-user-delegation-chain", "svc-x,acc-alice"),
            ],
        ),
    ] {
        assert_eq!(seen(&sent(&options.build().unwrap(), Some(&identity), &[])), want, "{name}");
    }
}

#[test]
fn personal_fields_are_chosen() {
    let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    let options = ForwardOptions::new(upstream, Mode::Headers).set(&ForwardSet::separate());
    let guest =
        Identity::external("https://idp.example", "guest-1").with_email("g@x").with_workspace("w");
    let headers = sent(&options.build().unwrap(), Some(&guest), &[]);
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    let want =
        ["id", "type", "issuer", "workspace"].map(|suffix| format!("x-forwarded-user-{suffix}"));
    assert_eq!(names, want, "F53 P107");
}

#[test]
fn attributes() {
    let mapped = || {
        ["password_hash", "ssn", "department"].iter().fold(options().fields([]), |options, name| {
            options.map_attribute(name, format!("X-A-{name}"))
        })
    };
    let person = Identity::account("a")
        .with_attribute("password_hash", "h")
        .with_attribute("ssn", 5_i64)
        .with_attribute("department", "eng")
        .with_attribute("unmapped", "u");
    let vendor = Attribute::from_json(r#"{"Api-Key":"x","name":"y"}"#).unwrap();
    let vendor = Identity::account("a").with_attribute("vendor", vendor);
    let as_json =
        options().fields([]).map_attribute_as_json("vendor", "X-Vendor").sensitive(["api_key"]);
    for (name, options, identity, want) in [
        (
            "FA11",
            mapped().sensitive(["password_hash", "ssn"]),
            &person,
            &[("x-a-department", "eng")][..],
        ),
        (
            "F170 folded",
            mapped().sensitive(["Password-Hash", "SSN"]),
            &person,
            &[("x-a-department", "eng")],
        ),
        (
            "FA11 none",
            mapped().sensitive([]),
            &person,
            &[("x-a-password_hash", "h"), ("x-a-ssn", "5"), ("x-a-department", "eng")],
        ),
        ("F170 default", mapped(), &person, &[("x-a-department", "eng")]),
        ("FA12", as_json, &vendor, &[("x-vendor", "eyJuYW1lIjoieSJ9")]),
    ] {
        let before = identity.clone();
        let spoof = if name == "FA12" { "X_Vendor" } else { "X-A-SSN" };
        let headers = sent(&options.build().unwrap(), Some(identity), &[(spoof, "spoofed")]);
        let mut want = want.to_vec();
        want.insert(0, ("x-forwarded-user-id", "a"));
        assert_eq!(seen(&headers), want, "{name}");
        assert_eq!(*identity, before, "{name}: source unchanged");
    }
    let object = options().map_attribute("vendor", "X-Vendor").build().unwrap();
    let got = object.prepare_request(&mut head(&[]), Some(&vendor)).unwrap_err();
    assert_eq!(
        got,
        ForwardError::Unencodable { field: "vendor".into() },
        "F65 names the attribute"
    );
}

#[test]
fn payloads() {
    let j = "eyJpZCI6ImFjYy1hbGljZSIsInR5cGUiOiJhY2NvdW50IiwiZW1haWwiOiJhbGljZUBjby5jb20iLCJ3b3Jrc3BhY2UiOiJ3cy0xIn0";
    let forwarding = options().payload_header("X-Payload", Padding::None).build().unwrap();
    let headers = sent(&forwarding, Some(&alice()), &[("X_Payload", "spoofed")]);
    assert_eq!(headers.get("x-payload").unwrap(), j, "FG6");
    assert!(headers.get("x-payload").unwrap().is_sensitive(), "F67");
    assert_eq!(headers.len(), 5, "F69: beside the headers");

    let json = |identity: &Identity<'_>| {
        let options =
            options().fields([Field::Teams, Field::FullName, Field::Admin, Field::Client]);
        let forwarding = options
            .map_attribute("d", "X-D")
            .payload_header("X-P", Padding::Equals)
            .build()
            .unwrap();
        let value = sent(&forwarding, Some(identity), &[])["x-p"].clone();
        let json =
            base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE, value).unwrap();
        String::from_utf8(json).unwrap()
    };
    let alice = Identity::account("a");
    for (name, identity, want) in [
        ("FA9 known to be none", alice.clone().with_teams([""; 0]), r#"{"id":"a","teams":[]}"#),
        ("FA9 unknown", alice.clone(), r#"{"id":"a"}"#),
        ("F63 plain", alice.clone().with_full_name("J\"é"), r#"{"id":"a","full_name":"J\"é"}"#),
        ("F63 empty", alice.clone().with_full_name(""), r#"{"id":"a"}"#),
        (
            "F55 F58",
            alice.clone().with_admin(false).with_client("c"),
            r#"{"id":"a","client_id":"c","is_admin":false}"#,
        ),
        (
            "F61",
            alice.with_attribute("d", 5_i64).with_attribute("e", "x"),
            r#"{"id":"a","attributes":{"d":5}}"#,
        ),
    ] {
        assert_eq!(json(&identity), want, "{name}");
    }
}

#[test]
fn caps() {
    let long = "g".repeat(4097);
    let some = "s".repeat(4000);
    let groups = Identity::account("a").with_groups([&*long]);
    let both = Identity::account("a")
        .with_groups([&*some])
        .with_scopes([&*some, "x"])
        .with_roles([&*some]);
    let equal =
        Identity::account("a").with_groups([&*some]).with_teams([&*some]).with_roles([&*some]);
    let name = Identity::account("a").with_full_name(&*long).with_groups(["g"]);
    let fields = [Field::FullName, Field::Scopes, Field::Groups, Field::Teams, Field::Roles];
    let too_large = |field: &'static str| Err(ForwardError::TooLarge { field: field.into() });
    for (row, identity, overflow, want) in [
        ("FG4", &groups, Overflow::Refuse, too_large("groups")),
        ("FG4", &groups, Overflow::OmitLists, Ok(("groups", &["id", "overflow"][..]))),
        ("F66 all together", &both, Overflow::Refuse, too_large("identity")),
        (
            "F66 longest first",
            &both,
            Overflow::OmitLists,
            Ok(("scopes", &["id", "groups", "roles", "overflow"])),
        ),
        (
            "F66 ties in row order",
            &equal,
            Overflow::OmitLists,
            Ok(("groups", &["id", "teams", "roles", "overflow"])),
        ),
        ("F66 nothing but lists", &name, Overflow::OmitLists, too_large("full_name")),
    ] {
        let forwarding = options().fields(fields).overflow(overflow).build().unwrap();
        let mut head = head(&[("X-Forwarded-User-Overflow", "spoofed")]);
        let got = forwarding.prepare_request(&mut head, Some(identity)).map(|_| {
            let names = head.headers.keys().map(|name| &name.as_str()["x-forwarded-user-".len()..]);
            (head.headers["x-forwarded-user-overflow"].to_str().unwrap(), names.collect::<Vec<_>>())
        });
        let want = want.map(|(omitted, names)| (omitted, names.to_vec()));
        assert_eq!(got, want, "{row}");
    }
    let exact = Identity::account("a").with_full_name(&long[1..]);
    let max = "x-forwarded-user-id".len() + 1 + 4 + "x-forwarded-user-full-name".len() + 4096 + 4;
    for (row, max, want) in [("F66 at the cap", max, true), ("F66 one over", max - 1, false)] {
        let forwarding = options().fields(fields).max_total_bytes(max).build().unwrap();
        assert_eq!(forwarding.prepare_request(&mut head(&[]), Some(&exact)).is_ok(), want, "{row}");
    }
}

#[test]
fn omitted_lists_are_named_in_row_order_and_leave_the_payload() {
    let long = "g".repeat(3000);
    let identity = Identity::account("a").with_groups([&*long]).with_roles([&*long, "r"]);
    let options = options().fields([Field::Groups, Field::Roles]).overflow(Overflow::OmitLists);
    let forwarding =
        options.payload_header("X-P", Padding::None).max_total_bytes(2000).build().unwrap();
    let headers = sent(&forwarding, Some(&identity), &[]);
    assert_eq!(headers["x-forwarded-user-overflow"], "groups,roles");
    assert_eq!(headers["x-p"], "eyJpZCI6ImEifQ");
}

#[test]
fn refused_values() {
    let unencodable = |field: &'static str| ForwardError::Unencodable { field: field.into() };
    let fields = [Field::Workspace, Field::Groups, Field::DelegationChain];
    for (name, identity, want) in [
        ("FG3 XA9", Identity::account("a\r\nX-Caller-Id: b"), unencodable("id")),
        ("FG3", Identity::account(""), unencodable("id")),
        ("F54", Identity::account("a").with_workspace("w s"), unencodable("workspace")),
        ("F64", Identity::account("a").with_groups(["g", ""]), unencodable("groups")),
        ("F68", Identity::account("a").with_delegation_chain(["x"; 9]), {
            ForwardError::TooLarge { field: "delegation_chain".into() }
        }),
    ] {
        let mut head = head(&[]);
        let got =
            options().fields(fields).build().unwrap().prepare_request(&mut head, Some(&identity));
        assert_eq!((got, head.headers.len()), (Err(want), 0), "{name}");
    }
    let unsent = Identity::account("a").with_client("c c");
    assert!(
        options().build().unwrap().prepare_request(&mut head(&[]), Some(&unsent)).is_ok(),
        "not sent, not judged"
    );
}

#[test]
fn static_headers() {
    let lines: Lines<'_> = &[("X_Team", "spoofed"), ("X-Team", "spoofed"), ("X-Other", "o")];
    for (name, options, identity, want) in [
        (
            "F24 before identity",
            with_static("X-Team"),
            Some(alice()),
            &[("x-other", "o"), ("x-team", "s"), ("x-forwarded-user-id", "acc-alice")][..],
        ),
        (
            "F24 without identity",
            with_static("X-Team").optional(),
            None,
            &[("x-other", "o"), ("x-team", "s")],
        ),
        (
            "F78 a credential",
            with_static("Authorization"),
            Some(alice()),
            &[
                ("x_team", "spoofed"),
                ("x-team", "spoofed"),
                ("x-other", "o"),
                ("authorization", "s"),
                ("x-forwarded-user-id", "acc-alice"),
            ],
        ),
    ] {
        assert_eq!(
            seen(&sent(&options.build().unwrap(), identity.as_ref(), lines)),
            want,
            "{name}"
        );
    }
}
