//! A setting that would weaken forwarding, or make no sense, is refused when it is built.

use super::*;

#[test]
fn overrides() {
    let prefix = r#"{"enabled":true,"headers_prefix":"X-GW-User"}"#;
    let off = || options().disabled();
    let mode_off = || {
        let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
        ForwardOptions::new(upstream, Mode::Off).set(&ForwardSet::separate())
    };
    let gw = Ok(&["x-gw-user-id", "x-gw-user-type", "x-gw-user-email", "x-gw-user-workspace"][..]);
    let gw_default = Ok(&["x-gw-user-id", "x-gw-user-type", "x-gw-user-workspace"][..]);
    let base: Vec<_> = ALICE.iter().map(|(name, _)| *name).collect();
    let base = Ok(&*base);
    let refused = Err(ForwardError::Misconfigured);
    for (name, options, json, want) in [
        ("FA7 permitted", off().local_may_enable(), prefix, gw.clone()),
        ("FA7 permitted, mode off", mode_off().local_may_enable(), prefix, gw_default),
        ("FA7 not permitted", off(), prefix, refused.clone()),
        ("F164 by its mode", off(), r#"{"mode":"headers","enabled":true}"#, refused.clone()),
        ("F164 by its mode", mode_off(), r#"{"mode":"headers"}"#, refused.clone()),
        ("FA8", options(), r#"{"enabled":false}"#, Ok(&[][..])),
        ("FA8", options(), "{}", base.clone()),
        ("FA8", options(), r#"{"enable":true}"#, refused.clone()),
        ("FA8", options(), r#"{"required":"no"}"#, refused.clone()),
        ("F165 off", options(), r#"{"mode":"off"}"#, Ok(&[])),
        ("F165 optional", options(), r#"{"required":false}"#, refused.clone()),
        ("F165 optional", options().local_may_weaken(), r#"{"required":false}"#, base.clone()),
        ("F165 sign", options(), r#"{"sign":true}"#, refused.clone()),
        ("F166", options(), r#"{"headers_prefix":"X-GW-User"}"#, gw),
        ("F166 reserved", options(), r#"{"headers_prefix":"Host"}"#, refused.clone()),
        ("F167 fewer", options(), r#"{"fields":[]}"#, Ok(&["x-forwarded-user-id"])),
        ("F167 more", options(), r#"{"fields":["app"]}"#, refused.clone()),
        (
            "F167 more",
            options().local_may_weaken(),
            r#"{"fields":["app"]}"#,
            Ok(&["x-forwarded-user-id"]),
        ),
        (
            "F169 smaller",
            options(),
            r#"{"max_value_bytes":4}"#,
            Err(ForwardError::TooLarge { field: "id".into() }),
        ),
        ("F169 out of range", options(), r#"{"max_value_bytes":0}"#, refused.clone()),
        ("F169 out of range", options(), r#"{"lifetime_secs":3601}"#, refused),
    ] {
        let base = options.build().unwrap();
        let (local, error) = base.overridden(None, json);
        let mut head = head(&[("X-Forwarded-User-Id", "admin")]);
        let got = local.prepare_request(&mut head, Some(&alice()));
        let names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(error.is_some(), got == Err(ForwardError::Misconfigured), "{name} {json}");
        assert_eq!(got.map(|_| &*names), want, "{name} {json}");
        if error.is_some() {
            assert!(!names.contains(&"x-forwarded-user-id"), "F21: removed all the same");
            let (kept, again) = base.overridden(Some(base.clone()), json);
            assert_eq!(
                (again, kept.sends(Field::Id)),
                (error, base.sends(Field::Id)),
                "F169: the one before stays"
            );
        }
    }
}

#[test]
fn larger_caps_need_a_permission() {
    let long = "a".repeat(20);
    let alice = Identity::account(&*long);
    for (name, options, want) in [
        (
            "F169 kept",
            options().max_value_bytes(10),
            Err(ForwardError::TooLarge { field: "id".into() }),
        ),
        ("F169 permitted", options().max_value_bytes(10).local_may_weaken(), Ok(Outcome::Sent)),
    ] {
        let (local, error) =
            options.build().unwrap().overridden(None, r#"{"max_value_bytes":100}"#);
        assert_eq!(error, None, "{name}");
        let got = local.prepare_request(&mut head(&[]), Some(&alice));
        assert_eq!(got.map(|prepared| prepared.outcome()), want, "{name}");
    }
}

#[test]
fn set_mistakes() {
    let set = ForwardSet::separate;
    let keep = |set: ForwardSet, name| set.dangerously_keep([name]).map(|_| ());
    let taken = |setting| Err(ConfigError::NameTaken { setting });
    for (name, got, want) in [
        ("F44", keep(set(), "Proxy-Authorization"), Err(ConfigError::NotKeepable)),
        ("F44", keep(set(), "X-Forwarded-User-Id"), Err(ConfigError::NotKeepable)),
        ("F44", keep(set(), "Mcp-Session-Id"), Err(ConfigError::NotKeepable)),
        ("F44", keep(set(), "x-request-id"), Err(ConfigError::NotKeepable)),
        ("F44", keep(set(), "x-auth-request-*"), Err(ConfigError::NotKeepable)),
        ("F44", keep(set(), "x-auth-request-email"), Ok(())),
        ("F44", keep(set(), "a b"), Err(ConfigError::NameShape { setting: "dangerously_keep" })),
        ("F267", keep(set().also_strip(["cookie"]).unwrap(), "Cookie"), taken("dangerously_keep")),
        (
            "F267",
            set().dangerously_keep(["cookie"]).unwrap().also_strip(["cook*"]).map(|_| ()),
            taken("also_strip"),
        ),
        (
            "F44",
            set().also_strip(["*"]).map(|_| ()),
            Err(ConfigError::NameShape { setting: "also_strip" }),
        ),
        (
            "F34",
            set().allow_upgrade(["a b"]).map(|_| ()),
            Err(ConfigError::Value { setting: "allow_upgrade" }),
        ),
    ] {
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn option_mistakes() {
    let taken = |setting| ConfigError::NameTaken { setting };
    let managed = ConfigError::NameManaged { setting: "static header" };
    let shape = ConfigError::NameShape { setting: "map_attribute" };
    let closed = |reserved| ConfigError::NameReserved { setting: "map_attribute", reserved };
    let mapped = |header: &str| options().map_attribute("a", header);
    let kept = ForwardSet::separate().dangerously_keep(["x-remote-user"]).unwrap();
    let shared = ForwardSet::separate();
    let _other = options().set(&shared).prefix("X-GW").build().unwrap();
    for (name, options, want) in [
        ("FG5", options().prefix("X Forwarded"), ConfigError::PrefixShape),
        ("FG5", options().prefix(""), ConfigError::PrefixShape),
        ("FG5", options().prefix("Host"), ConfigError::PrefixReserved { reserved: "host" }),
        ("FG5 XA11", mapped("Transfer-Encoding"), closed("transfer-encoding")),
        ("FG5 XA11", mapped("TE"), closed("te")),
        ("FG5 XA11", mapped("Content_Length"), closed("content-*")),
        ("FG5", mapped("X_Forwarded_User_Id"), taken("map_attribute")),
        ("F267 a field not chosen", mapped("X-Forwarded-User-Groups"), taken("map_attribute")),
        ("F267 overflow", mapped("X-Forwarded-User-Overflow"), taken("map_attribute")),
        ("F267 twice", mapped("X-Dept").map_attribute("b", "x_dept"), taken("map_attribute")),
        ("F267 twice", mapped("X-P").payload_header("x-p", Padding::None), taken("payload_header")),
        ("F267 kept", mapped("X-Remote-User").set(&kept), taken("map_attribute")),
        ("F267 shape", mapped("a b"), shape),
        ("F162 own prefix", with_static("X_Forwarded_User_Foo"), managed),
        ("F162 another's prefix", with_static("X-GW-Id").set(&shared), managed),
        (
            "F162 own mapped",
            with_static("X-Dept").map_attribute("a", "X_Dept"),
            taken("static header"),
        ),
        ("F46 kept", with_static("X-Remote-User").set(&kept), taken("static header")),
        (
            "F268",
            options().max_value_bytes(0),
            ConfigError::OutOfRange { setting: "max_value_bytes" },
        ),
        (
            "F268",
            options().max_total_bytes(65_537),
            ConfigError::OutOfRange { setting: "max_total_bytes" },
        ),
    ] {
        assert_eq!(options.build().unwrap_err(), want, "{name}");
    }
    assert_eq!("on".parse::<Mode>(), Err(ConfigError::UnknownWord { setting: "mode" }), "F78");
    assert_eq!(("off".parse(), "headers".parse()), (Ok(Mode::Off), Ok(Mode::Headers)), "F78");
}
