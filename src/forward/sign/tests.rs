//! The vectors of the page, byte for byte, and what makes a key.

use http::Request;

use super::*;

const K: &[u8] = b"0123456789abcdef0123456789abcdef";
const B: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
/// RFC 8037 A.1.
const ED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";

fn ed() -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(ED).unwrap()
}

fn head(method: &str, uri: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn signed(key: SigningKey, mut head: Parts, nonce: &str) -> Parts {
    let identity = head.headers.keys().filter(|name| name.as_str().starts_with("x-"));
    let inserted: Vec<HeaderName> = identity.cloned().collect();
    let signing = Signing::new(KeyRing::new([key]).unwrap());
    let now = Timestamp::from_secs(1_700_000_000);
    signing.sign_as(&mut head, "mcp.example.com", &inserted, now, nonce).unwrap();
    head
}

fn signature(head: &Parts) -> &str {
    head.headers.get(SIGNATURE).unwrap().to_str().unwrap()
}

fn of_fi1() -> Parts {
    head(
        "POST",
        "/api/mcp?x=1",
        &[
            ("content-digest", &digest_field(B)),
            ("x-forwarded-user-id", "alice"),
            ("x-forwarded-user-groups", "eng,dev"),
        ],
    )
}

#[test]
fn fi1_base_and_signature() {
    let params = "(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"x-forwarded-user-id\" \"x-forwarded-user-groups\");created=1700000000;expires=1700000060;nonce=\"bm9uY2UtMDAwMQ\";keyid=\"k1\";alg=\"hmac-sha256\";tag=\"identity-forward\"";
    let want = [
        "\"@method\": POST",
        "\"@authority\": mcp.example.com",
        "\"@path\": /api/mcp",
        "\"@query\": ?x=1",
        "\"content-digest\": sha-256=:uendAwx8IfeVG+LGfE90zy73aWDnNViHtq+jPAdN9VM=:",
        "\"x-forwarded-user-id\": alice",
        "\"x-forwarded-user-groups\": eng,dev",
        &format!("\"@signature-params\": {params}"),
    ]
    .join("\n");
    let key = SigningKey::hmac_sha256("k1", K).unwrap();
    let head = signed(key, of_fi1(), "bm9uY2UtMDAwMQ");
    let input = head.headers.get(SIGNATURE_INPUT).unwrap().to_str().unwrap();
    assert_eq!(input, format!("idf={params}"), "FI1 F83");
    let target = Target { authority: "mcp.example.com", head: &head };
    let covered = params[1..].split(')').next().unwrap().split(' ');
    let base = Base::of(&target, covered.map(|name| name.trim_matches('"')), params).unwrap();
    assert_eq!(str::from_utf8(base.as_bytes()).unwrap(), want, "FI1 base");
    assert_eq!(signature(&head), "idf=:UuKBn3Z7wZwuScYXM8uq6XDk3aL2hohFoKhmNGQM3RQ=:", "FI1");
}

#[test]
fn fi2_fi3_signatures() {
    let head_of_fi2 =
        signed(SigningKey::ed25519("ed1", &ed()).unwrap(), of_fi1(), "bm9uY2UtMDAwMQ");
    let want = "idf=:16FmlZMOPNQpBybFCd/92DH2ffQQbc1UMOcGhvhqOJt6YBBkyo9m0gC+iu6PKXuptmD7iUlT7RxGA8vIEN9/CQ==:";
    assert_eq!(signature(&head_of_fi2), want, "FI2");

    let lines = [
        ("content-digest", &*digest_field(b"")),
        ("x-forwarded-user-id", "acc-alice"),
        ("x-forwarded-user-type", "account"),
        ("x-forwarded-user-email", "alice@co.com"),
        ("x-forwarded-user-workspace", "ws-1"),
    ];
    let key = SigningKey::hmac_sha256("k2", K).unwrap();
    let head_of_fi3 = signed(key, head("GET", "/mcp", &lines), "bm9uY2UtMDAwMg");
    let want = "idf=:qNGmWPoi3dlFBLtQ6nQMqBy3BGXu2PjSVUvHI+7R3W8=:";
    assert_eq!(signature(&head_of_fi3), want, "FI3");
}

#[test]
fn fi4_examples_of_the_standard() {
    let head = head(
        "POST",
        "/foo?param=Value&Pet=dog",
        &[
            ("host", "example.com"),
            ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
            ("content-type", "application/json"),
            ("content-length", "18"),
        ],
    );
    let target = Target { authority: "example.com", head: &head };
    let secret =
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let seed = "n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=";
    let decode = |text| STANDARD.decode(text).unwrap();
    for (name, key, covered, key_id, want) in [
        (
            "FI4 B.2.5",
            SigningKey::hmac_sha256("k", &decode(secret)),
            &["date", "@authority", "content-type"][..],
            "test-shared-secret",
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
        ),
        (
            "FI4 B.2.6",
            SigningKey::ed25519("k", &decode(seed)),
            &["date", "@method", "@path", "@authority", "content-type", "content-length"][..],
            "test-key-ed25519",
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        ),
    ] {
        let quoted: Vec<String> = covered.iter().map(|name| format!("\"{name}\"")).collect();
        let params = format!("({});created=1618884473;keyid=\"{key_id}\"", quoted.join(" "));
        let base = Base::of(&target, covered.iter().copied(), &params).unwrap();
        let key = key.unwrap();
        let made = key.sign(base.as_bytes()).unwrap();
        assert_eq!(STANDARD.encode(&made), want, "{name}");
        assert!(key.verifying().verifies(base.as_bytes(), &made), "{name}");
    }
}

#[test]
fn fi5_digests() {
    for (name, body, want) in [
        (
            "FI5",
            &br#"{"hello": "world"}"#[..],
            "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        ),
        ("FI5 nothing", b"", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
    ] {
        assert_eq!(digest_field(body), want, "{name}");
    }
}

#[test]
fn a_component_that_is_not_there_once_has_no_base() {
    let head = head("GET", "/", &[("x-a", "1"), ("x-a", "2")]);
    let target = Target { authority: "a", head: &head };
    assert_eq!(Base::of(&target, ["x-a"], "()"), None, "F211 two lines");
    assert_eq!(Base::of(&target, ["x-b"], "()"), None, "no line");
    let root = Base::of(&target, ["@path", "@query"], "()").unwrap();
    assert_eq!(root.as_bytes(), b"\"@path\": /\n\"@query\": ?\n\"@signature-params\": ()");
}

#[test]
fn keys() {
    let key = |fault| Err(ConfigError::Key { fault });
    let word = b"changeme".repeat(5);
    let name = "k".repeat(65);
    for (row, made, want) in [
        ("F83", SigningKey::hmac_sha256("k1", K), Ok(Algorithm::HmacSha256)),
        ("FI11 31 bytes", SigningKey::hmac_sha256("k1", &K[..31]), key(KeyFault::Short)),
        ("F86 empty", SigningKey::hmac_sha256("k1", b""), key(KeyFault::Short)),
        ("XR11 one value", SigningKey::hmac_sha256("k1", &[0; 64]), key(KeyFault::Weak)),
        ("XR11 7 values", SigningKey::hmac_sha256("k1", &word), key(KeyFault::Weak)),
        ("F85 no name", SigningKey::hmac_sha256("", K), key(KeyFault::Name)),
        ("F85 a quote", SigningKey::hmac_sha256("k\"", K), key(KeyFault::Name)),
        ("F85 65 letters", SigningKey::hmac_sha256(&name, K), key(KeyFault::Name)),
        ("F83", SigningKey::ed25519("k1", &ed()), Ok(Algorithm::Ed25519)),
        ("XR11 a weak seed", SigningKey::ed25519("k1", &[1; 32]), key(KeyFault::Weak)),
        ("no seed", SigningKey::ed25519("k1", &K.repeat(2)), key(KeyFault::Malformed)),
        ("no PKCS#8", SigningKey::ecdsa_p256_sha256("k1", K), key(KeyFault::Malformed)),
    ] {
        assert_eq!(made.map(|made| made.algorithm()), want, "{row}");
    }
    let public = |made: Result<VerifyingKey, ConfigError>| made.map(|made| made.algorithm());
    assert_eq!(public(VerifyingKey::ed25519("k", &K[1..])), key(KeyFault::Malformed));
    assert_eq!(public(VerifyingKey::ecdsa_p256_sha256("k", &[0; 65])), key(KeyFault::Malformed));
    assert_eq!(public(VerifyingKey::hmac_sha256("k", b"secret")), key(KeyFault::Short));
}

#[test]
fn rings() {
    let key = |id: &str| SigningKey::hmac_sha256(id, K).unwrap();
    let count = Err::<&str, _>(ConfigError::OutOfRange { setting: "keys" });
    let twice = Err(ConfigError::NameTaken { setting: "keys" });
    for (name, ids, want) in [
        ("F85 none", &[][..], count),
        ("F85 the first signs", &["new", "old"], Ok("new")),
        ("F85 four", &["d", "c", "b", "a"], Ok("d")),
        ("F268 five", &["e", "d", "c", "b", "a"], count),
        ("F268 twice", &["a", "b", "a"], twice),
    ] {
        let ring = KeyRing::new(ids.iter().map(|id| key(id)));
        let first = ring.as_ref().map(|ring| ring.first().id());
        assert_eq!(first.map_err(|error| *error), want, "{name}");
        let keys = VerifyingKeys::new(ids.iter().map(|id| key(id).verifying()));
        assert_eq!(keys.map(|_| ()), want.map(|_| ()), "{name}");
    }
}

#[test]
fn p256_signs_and_verifies() {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = SigningKey::ecdsa_p256_sha256("p", pkcs8.as_ref()).unwrap();
    let made = key.sign(b"message").unwrap();
    assert_eq!(made.len(), 64, "F83 RFC 9421 §3.3.4");
    assert!(key.verifying().verifies(b"message", &made));
    assert!(!key.verifying().verifies(b"massage", &made));
}

#[test]
fn debug_shows_no_key() {
    let ring = KeyRing::new([
        SigningKey::hmac_sha256("k1", K).unwrap(),
        SigningKey::ed25519("ed1", &ed()).unwrap(),
    ])
    .unwrap();
    let shown = format!("{:?} {:?} {:?}", ring.verifying(), ring.clone(), Signing::new(ring));
    for secret in ["0123456789", "9d61b1", "48, 49, 50", "157, 97, 177"] {
        assert!(!shown.contains(secret), "FM4 {shown}");
    }
    assert!(shown.contains("k1") && shown.contains("HmacSha256"), "{shown}");
}
