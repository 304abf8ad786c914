//! What ends at this hop ends here, and nothing a client nominates removes our identity.

use super::*;

#[test]
fn hop_by_hop() {
    let plain = ForwardSet::separate;
    let upgrading = || plain().allow_upgrade(["websocket"]).unwrap();
    let websocket: Lines<'_> = &[("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")];
    let both = &[("connection", "upgrade"), ("upgrade", "websocket")][..];
    for (name, set, lines, want) in [
        (
            "FF2",
            plain(),
            &[
                ("Connection", "x-internal-auth, x-original-url"),
                ("x-internal-auth", "1"),
                ("x-original-url", "/"),
            ][..],
            &[][..],
        ),
        ("FF3 allowed", upgrading(), websocket, both),
        ("FF3 not allowed", plain(), websocket, &[]),
        ("F34 not nominated", upgrading(), &[("Connection", "close"), websocket[1]], &[]),
        ("F34 other protocol", upgrading(), &[websocket[0], ("Upgrade", "h2c")], &[]),
        ("F34 two protocols", upgrading(), &[websocket[0], ("Upgrade", "websocket, h2c")], &[]),
        ("F34 two lines", upgrading(), &[websocket[0], websocket[1], websocket[1]], &[]),
        ("FF4", plain(), &[("TE", "trailers")], &[("te", "trailers")]),
        ("FF4", plain(), &[("TE", "gzip")], &[]),
        ("FF4", plain(), &[("TE", "gzip, trailers;q=0.5")], &[("te", "trailers")]),
        ("F33 two lines", plain(), &[("TE", "gzip"), ("TE", " TRAILERS ")], &[("te", "trailers")]),
        ("F31 te", plain(), &[("Connection", "TE"), ("TE", "trailers")], &[("te", "trailers")]),
        (
            "FF5",
            plain(),
            &[
                ("Connection", "content-length, host, Content-Type, content-encoding"),
                ("content-length", "5"),
                ("host", "a"),
                ("content-type", "b"),
                ("content-encoding", "c"),
            ],
            &[
                ("content-length", "5"),
                ("host", "a"),
                ("content-type", "b"),
                ("content-encoding", "c"),
            ],
        ),
        (
            "F30 all lines",
            plain(),
            &[("Connection", "x-a"), ("Connection", "X-B"), ("x-a", "1"), ("x-b", "1")],
            &[],
        ),
        (
            "F30 XR4 list grammar",
            plain(),
            &[("Connection", ",, \tx-a\t ,,x-b"), ("x-a", "1"), ("x-b", "1")],
            &[],
        ),
        (
            "F30 no tokens",
            plain(),
            &[("Connection", "x a, \"x-b\", é, x-c"), ("x-b", "1"), ("x-c", "1")],
            &[("x-b", "1")],
        ),
        ("F30 a value twice", plain(), &[("Connection", "x-a"), ("x-a", "1"), ("x-a", "2")], &[]),
        (
            "F32",
            plain(),
            &[
                ("Keep-Alive", "1"),
                ("Proxy-Connection", "1"),
                ("Transfer-Encoding", "chunked"),
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "1"),
                ("Proxy-Authenticate", "1"),
                ("Proxy-Authorization", "1"),
                ("Proxy-Authentication-Info", "1"),
            ],
            &[],
        ),
        (
            "F33 trailer",
            plain(),
            &[("Trailer", "x-sum, X-Forwarded-User-Id, Host"), ("Trailer", "Cookie,,x-n")],
            &[("trailer", "x-sum, x-n")],
        ),
        (
            "F33 trailer, none left",
            plain(),
            &[("Trailer", "content-length, transfer-encoding")],
            &[],
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
fn nominated_identity() {
    let forwarding = options().build().unwrap();
    for (name, lines) in [
        ("FF1", &[("Connection", "x-forwarded-user-id")][..]),
        (
            "FF1 XA5",
            &[("Connection", "close, X-Forwarded-User-Id"), ("X-Forwarded-User-Id", "admin")],
        ),
    ] {
        let mut head = head(lines);
        let prepared = forwarding.prepare_request(&mut head, Some(&alice())).unwrap();
        assert_eq!(seen(&head.headers), ALICE, "{name}");
        assert_eq!(prepared.cleaned().nominated(), 1, "F31 {name}");
    }
}

#[test]
fn answers() {
    let set = ForwardSet::separate().allow_upgrade(["websocket", "mqtt"]).unwrap();
    let forwarding = options().set(&set).build().unwrap();
    let asks: Lines<'_> = &[("Connection", "upgrade"), ("Upgrade", "mqtt")];
    let gives: Lines<'_> = &[("Connection", "Upgrade"), ("Upgrade", "MQTT")];
    let both = &[("connection", "upgrade"), ("upgrade", "mqtt")][..];
    for (name, request, status, lines, want) in [
        (
            "FE9 XA8",
            &[][..],
            200,
            &[("X-Forwarded-User-Id", "x"), ("X_Forwarded_User", "x"), ("a", "b")][..],
            &[("a", "b")][..],
        ),
        ("F48 leg, signature", &[], 200, &[("Mcp-Session-Id", "x"), ("Signature", "x")], &[]),
        (
            "F48 nothing else",
            &[],
            401,
            &[("www-authenticate", "Basic"), ("set-cookie", "a"), ("x-real-ip", "b")],
            &[("www-authenticate", "Basic"), ("set-cookie", "a"), ("x-real-ip", "b")],
        ),
        ("F35", &[], 200, &[("Connection", "x-a"), ("x-a", "1"), ("Keep-Alive", "1")], &[]),
        ("F202", &[], 407, &[("Proxy-Authenticate", "Basic")], &[]),
        ("F35 tunnel", asks, 101, gives, both),
        ("F35 no tunnel without a 101", asks, 200, gives, &[]),
        ("F35 not asked for", &[], 101, gives, &[]),
        ("F35 another protocol", asks, 101, &[gives[0], ("Upgrade", "websocket")], &[]),
    ] {
        let mut asked = head(request);
        let prepared = forwarding.prepare_request(&mut asked, Some(&alice())).unwrap();
        let mut answer = Response::new(()).into_parts().0;
        answer.status = StatusCode::from_u16(status).unwrap();
        answer.headers = head(lines).headers;
        let _counts = forwarding.clean_response(&mut answer, &prepared);
        assert_eq!(seen(&answer.headers), want, "{name}");
    }
}
