//! Nothing that a client sends looks like identity to an upstream.

use super::*;

#[test]
fn spoofed_identity() {
    let spoofs: [(&str, Lines<'_>); 9] = [
        ("FE1 XA1", &[("X-Forwarded-User-Id", "admin")]),
        ("FE1 twice", &[("X-Forwarded-User-Id", "admin"), ("X-Forwarded-User-Id", "root")]),
        (
            "FE1 XA4 three cases",
            &[
                ("X-Forwarded-User-Id", "a"),
                ("x-forwarded-user-id", "b"),
                ("X-FORWARDED-USER-ID", "c"),
            ],
        ),
        ("FE2 no groups", &[("X-Forwarded-User-Groups", "root")]),
        (
            "FE2 XA3 underscores",
            &[("X_Forwarded_User_Groups", "root"), ("X_Forwarded_User_Id", "admin")],
        ),
        ("FE2 unknown", &[("X-Forwarded-User-Foo", "x")]),
        ("FE2 the prefix", &[("X-Forwarded-User", "x")]),
        (
            "FE6",
            &[
                ("Authorization", "Bearer t"),
                ("Cookie", "a=b"),
                ("Proxy-Authorization", "x"),
                ("DPoP", "x"),
                ("Txn-Token", "x"),
                ("X-Upstream-Authorization", "x"),
                ("Signature", "x"),
                ("Signature-Input", "x"),
            ],
        ),
        ("FE9 XA12", &[("Mcp-Session-Id", "abc")]),
    ];
    for (name, lines) in spoofs {
        let alice = alice();
        let on = options().build().unwrap();
        assert_eq!(seen(&sent(&on, Some(&alice), lines)), ALICE, "{name}");
        let optional = options().optional().build().unwrap();
        assert_eq!(seen(&sent(&optional, None, lines)), &[], "FE3 XA2 {name}, anonymous");
        let off = options().disabled().build().unwrap();
        assert_eq!(seen(&sent(&off, Some(&alice), lines)), &[], "FE3 {name}, off");
        let mut alone = head(lines).headers;
        let _counts = ForwardSet::separate().clean_request(&mut alone);
        assert_eq!(seen(&alone), &[], "FE3 XA2 {name}, no forwarding at all");
        let mut refused = head(lines);
        let got = on.prepare_request(&mut refused, None);
        assert_eq!(
            (got, refused.headers.len()),
            (Err(ForwardError::IdentityMissing), 0),
            "F20 F21 {name}"
        );
    }
}

#[test]
fn upstreams_share_their_names() {
    let set = ForwardSet::separate();
    let one = options().set(&set).fields([]).build().unwrap();
    let two = options().set(&set).fields([]).prefix("X-GW-User").build().unwrap();
    let spoofs: Lines<'_> =
        &[("X-Forwarded-User-Id", "x"), ("X-GW-User-Id", "x"), ("X-Later-Id", "mine")];
    let later = ("x-later-id", "mine");
    let alice = alice();
    assert_eq!(
        seen(&sent(&one, Some(&alice), spoofs)),
        [later, ("x-forwarded-user-id", "acc-alice")],
        "FE4"
    );
    assert_eq!(
        seen(&sent(&two, Some(&alice), spoofs)),
        [later, ("x-gw-user-id", "acc-alice")],
        "FE4"
    );
    let added = options().set(&set).prefix("X-Later").build().unwrap();
    assert_eq!(
        seen(&sent(&one, Some(&alice), spoofs)),
        [("x-forwarded-user-id", "acc-alice")],
        "FE5 added"
    );
    drop(added);
    assert_eq!(
        seen(&sent(&one, Some(&alice), spoofs)),
        [("x-forwarded-user-id", "acc-alice")],
        "FE5 removed"
    );
    let _refused =
        options().set(&set).prefix("X-Never").map_attribute("a", "Host").build().unwrap_err();
    assert_eq!(
        sent(&one, Some(&alice), &[("X-Never-Id", "x")]).len(),
        2,
        "a build that failed adds nothing"
    );
}

#[test]
fn the_process_shares_by_default() {
    let upstream = || Upstream::new("mcp-main", "https://mcp.example.com/mcp").unwrap();
    let one = ForwardOptions::new(upstream(), Mode::Off).build().unwrap();
    let spoof: Lines<'_> = &[("X_Process_Wide_Id", "x")];
    assert_eq!(sent(&one, None, spoof).len(), 1);
    let _two =
        ForwardOptions::new(upstream(), Mode::Headers).prefix("X-Process-Wide").build().unwrap();
    assert_eq!(sent(&one, None, spoof).len(), 0, "FE4");
    let mut alone = head(spoof).headers;
    assert_eq!(ForwardSet::process().clean_request(&mut alone).identity(), 1);
}

#[test]
fn names_grow_from_many_threads() {
    let set = ForwardSet::separate();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let set = set.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let name = format!("x-{}-{round}", ["one", "two", "three", "all"][thread]);
                    set.add_names([&*name]);
                    set.add_names([&*format!("x-shared-{round}")]);
                    assert!(set.fate(&name).is_some());
                }
            });
        }
    });
    for name in ["x-one-49", "x_two_0", "x-three-7", "x-all-30", "x-shared-49"] {
        assert_eq!(set.fate(name), Some(names::Group::Identity), "{name}");
    }
}

#[test]
fn what_passes() {
    let set = ForwardSet::separate;
    let hint: Lines<'_> = &[("x-forwarded-username-hint", "x")];
    let cookies: Lines<'_> = &[("cookie", "a=b"), ("authorization", "Bearer t")];
    let proxy: Lines<'_> = &[
        ("x-forwarded-uri", "/public"),
        ("x-original-url", "/public"),
        ("x-rewrite-url", "/public"),
        ("x-forwarded-prefix", "/"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "host=evil"),
        ("x-real-ip", "::1"),
        ("x-http-method-override", "DELETE"),
    ];
    let mixed: Lines<'_> =
        &[("x-debug-a", "1"), ("x-debug", "2"), ("x_note", "3"), ("x-api-key", "4")];
    for (name, set, lines, want) in [
        ("FE7 trusted", set().trust_proxy_headers(), hint, hint),
        ("FE7", set(), hint, &[]),
        ("FE6 kept", set().dangerously_keep(["Cookie"]).unwrap(), cookies, &cookies[..1]),
        ("FE8 XA6 XA7", set(), proxy, &[]),
        ("F43 trusted", set().trust_proxy_headers(), proxy, proxy),
        (
            "F43 identity goes all the same",
            set().trust_proxy_headers(),
            &[("X-Forwarded-User-Id", "x")],
            &[],
        ),
        (
            "F44 more",
            set().also_strip(["X-Debug-*", "x-note"]).unwrap(),
            mixed,
            &[("x-debug", "2"), mixed[3]],
        ),
        ("F44 P202", set().credential_header("X-Api-Key").unwrap(), &mixed[3..], &[]),
        (
            "F44 XA10",
            set(),
            &[("x-auth-request-email", "x"), ("Remote-User", "x"), ("cookie2", "x")],
            &[],
        ),
        (
            "usual",
            set(),
            &[("host", "a"), ("accept", "*/*"), ("x-request-id", "1")],
            &[("host", "a"), ("accept", "*/*"), ("x-request-id", "1")],
        ),
    ] {
        let mut headers = head(lines).headers;
        let _counts = set.clean_request(&mut headers);
        let mut got = seen(&headers);
        got.sort_unstable();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn counts() {
    let lines: Lines<'_> = &[
        ("X-Forwarded-User-Id", "a"),
        ("X-Forwarded-User-Id", "b"),
        ("X_Forwarded_User_Id", "c"),
        ("Cookie", "c"),
        ("Forwarded", "d"),
        ("Mcp-Session-Id", "e"),
        ("Keep-Alive", "f"),
    ];
    let cleaned = ForwardSet::separate().clean_request(&mut head(lines).headers);
    let got = (
        cleaned.identity(),
        cleaned.credential(),
        cleaned.proxy(),
        cleaned.leg(),
        cleaned.nominated(),
    );
    assert_eq!(got, (2, 1, 1, 1, 0), "F275");
}
