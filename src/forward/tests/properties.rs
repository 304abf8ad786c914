//! The promises of the other tables, for any header section.

use proptest::prelude::*;

use super::*;

/// Names that are likely to matter, in likely spellings, and others.
fn any_name() -> impl Strategy<Value = String> {
    let words = "(x|forwarded|user|id|groups|connection|te|trailer|upgrade|cookie|signature|gw|dept|host|a)";
    let spelled = "[-_.]?(X|Forwarded|User|id|GROUPS|Dept)";
    prop_oneof![
        prop::string::string_regex(&format!("{words}([-_.]{words}){{0,4}}{spelled}")).unwrap(),
        "x[-_]forwarded[-_]user([-_](id|groups|foo))?",
        "(connection|te|trailer|upgrade|cookie|authorization|x[_-]dept|mcp[_-]session[_-]id|host)",
        "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,12}",
    ]
}

fn any_lines() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = prop_oneof![
        "[ -~]{0,24}".prop_map(String::into_bytes),
        any_name().prop_map(String::into_bytes),
        prop::collection::vec(any_name(), 0..4).prop_map(|names| names.join(", ").into_bytes()),
        prop::collection::vec(0x80_u8..=0xFF, 0..6),
    ];
    prop::collection::vec((any_name(), value), 0..24)
}

fn client(lines: &[(String, Vec<u8>)]) -> Parts {
    let mut head = head(&[]);
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        head.headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    head
}

fn any_identity() -> impl Strategy<Value = Identity<'static>> {
    let groups = prop::option::of(prop::collection::vec(".{0,20}", 0..4));
    ("\\PC{0,12}|[a-z-]{1,8}", ".{0,40}", groups, ".{0,9}").prop_map(|(id, name, groups, dept)| {
        let identity = Identity::account(id).with_full_name(name).with_attribute("dept", dept);
        match groups {
            Some(groups) => identity.with_groups(groups),
            None => identity,
        }
    })
}

proptest! {
    /// FE10: whatever a client sends, the upstream learns the same about the caller, and the request fares the same.
    #[test]
    fn no_header_changes_identity(lines in any_lines(), identity in any_identity(), known: bool, optional: bool) {
        let set = ForwardSet::separate().allow_upgrade(["websocket"]).unwrap();
        let options = options().set(&set).fields([Field::FullName, Field::Groups]).map_attribute("dept", "X-Dept");
        let forwarding = if optional { options.optional() } else { options }.build().unwrap();
        let identity = known.then_some(&identity);
        let (mut bare, mut full) = (client(&[]), client(&lines));
        let want = forwarding.prepare_request(&mut bare, identity).map(|prepared| prepared.outcome());
        let got = forwarding.prepare_request(&mut full, identity).map(|prepared| prepared.outcome());
        prop_assert_eq!(got, want);
        let told = |headers: &HeaderMap| -> Vec<_> {
            let managed = headers.iter().filter(|(name, _)| set.fate(name.as_str()) == Some(names::Group::Identity));
            managed.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        prop_assert_eq!(told(&full.headers), told(&bare.headers));
    }

    /// XT3.3: no name folds to a managed one but ours, each once; no CR or LF; caps kept; stripping twice = once.
    #[test]
    fn header_set(lines in any_lines(), identity in any_identity(), trusted: bool, percent: bool, omit: bool, cap in 64_usize..600) {
        let set = ForwardSet::separate();
        let set = if trusted { set.trust_proxy_headers() } else { set };
        let mut options = options().set(&set).fields([Field::FullName, Field::Groups]).map_attribute("dept", "X-Dept");
        if percent {
            options = options.percent_encode_ids();
        }
        if omit {
            options = options.overflow(Overflow::OmitLists);
        }
        let forwarding = options.max_value_bytes(cap).max_total_bytes(cap).build().unwrap();
        let mut head = client(&lines);
        let sent = forwarding.prepare_request(&mut head, Some(&identity)).is_ok();
        let ours = ["id", "full-name", "groups", "overflow"].map(|suffix| format!("x-forwarded-user-{suffix}"));
        let mut total = 0;
        for (name, value) in &head.headers {
            let managed = set.fate(name.as_str()) == Some(names::Group::Identity);
            let emitted = ours.iter().any(|own| own == name.as_str()) || name == "x-dept";
            prop_assert_eq!(managed, emitted, "{}", name);
            prop_assert!(!value.as_bytes().contains(&b'\r') && !value.as_bytes().contains(&b'\n'));
            if managed {
                prop_assert!(sent);
                prop_assert_eq!(head.headers.get_all(name).iter().count(), 1);
                prop_assert!(value.as_bytes().iter().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(value.len() <= cap);
                total += name.as_str().len() + value.len() + 4;
            }
        }
        prop_assert!(total <= cap);

        let (mut once, mut twice) = (client(&lines).headers, client(&lines).headers);
        let _first = set.clean_request(&mut once);
        let _first = set.clean_request(&mut twice);
        let _second = set.clean_request(&mut twice);
        prop_assert_eq!(once, twice);
    }
}
