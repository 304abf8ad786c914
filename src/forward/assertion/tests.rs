//! The vectors of the page, byte for byte, and what becomes of keys in time.

use http::request::Parts;
use http::{HeaderValue, Request, Response};
use tower_service::Service as _;

use super::*;
use crate::clock::ManualClock;
use crate::forward::{Attribute, ForwardOptions, ForwardSet, Mode, Target, Upstream};
use crate::receiver::{AssertionVerifier, VerifiedCaller};

/// RFC 8037 A.1.
const ED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const FI13: &str = "eyJ0eXAiOiJpZGVudGl0eStqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsifQ.eyJpc3MiOiJodHRwczovL2d3LmV4YW1wbGUuY29tIiwic3ViIjoiYWNjLWFsaWNlIiwiYXVkIjoiaHR0cHM6Ly9tY3AuZXhhbXBsZS5jb20vbWNwIiwiaWF0IjoxNzAwMDAwMDAwLCJuYmYiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMDA2MCwianRpIjoiYW5ScExUQXdNREUiLCJzdWJfdHlwZSI6ImFjY291bnQiLCJlbWFpbCI6ImFsaWNlQGNvLmNvbSIsIndvcmtzcGFjZSI6IndzLTEifQ.MYOjTi4_dKo9FVJxPB8NedW_zfeQgprKqx_IKvN2CLXEgG-DR67oKn5DcJE2cufTug20wK4YZAj-ajd03fpzDw";
const RSA_2048: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/keys/rsa_2048.pk8"));
const RSA_1024: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/keys/rsa_1024.pk8"));
const START: u64 = 1_700_000_000;
const AUDIENCE: &str = "https://mcp.example.com/mcp";

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn ed() -> AssertionKey {
    let seed = URL_SAFE_NO_PAD.decode(ED).unwrap();
    AssertionKey::new(SigningKey::ed25519("ed1", &seed).unwrap()).unwrap()
}

/// Another key for each number.
fn key(number: u8) -> AssertionKey {
    let seed: Vec<u8> = (number..number + 32).collect();
    AssertionKey::named(SigningKey::ed25519(&format!("k{number}"), &seed).unwrap()).unwrap()
}

fn p256() -> SigningKey {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    let form = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(form, &SystemRandom::new()).unwrap();
    SigningKey::ecdsa_p256_sha256("p", pkcs8.as_ref()).unwrap()
}

fn assertions(key: AssertionKey) -> Assertions {
    Assertions::new("https://gw.example.com", key).unwrap()
}

fn upstream() -> Upstream {
    Upstream::new("mcp-main", AUDIENCE).unwrap()
}

fn options(key: AssertionKey) -> ForwardOptions {
    let options = ForwardOptions::assertion(upstream(), assertions(key));
    options.set(&ForwardSet::separate()).fields([Field::Type, Field::Email, Field::Workspace])
}

fn fixture() -> Identity<'static> {
    Identity::account("acc-alice").with_email("alice@co.com").with_workspace("ws-1")
}

fn head() -> Parts {
    Request::new(()).into_parts().0
}

/// What is sent of `identity`, and the claims of its assertion.
fn sent(options: ForwardOptions, identity: &Identity<'_>) -> Result<(Parts, String), ForwardError> {
    let mut head = head();
    let forwarding = options.build().unwrap();
    let prepared = forwarding.prepare_request_at(&mut head, Some(identity), || at(START))?;
    assert_eq!(prepared.outcome().word(), "sent");
    let token = head.headers.get("x-forwarded-user-assertion").unwrap().to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    Ok((head, String::from_utf8(claims).unwrap()))
}

fn judged(keys: VerifyingKeys, token: &str, now: Timestamp) -> Option<VerifiedCaller> {
    let verifier = AssertionVerifier::builder(keys, "https://gw.example.com", AUDIENCE);
    let mut head = head();
    head.headers
        .insert("x-forwarded-user-assertion", HeaderValue::from_bytes(token.as_bytes()).unwrap());
    verifier.build().unwrap().verify_once(&head, now).ok()?.spend(true).ok()
}

#[test]
fn fi13_token() {
    let forwarding = options(ed()).build().unwrap();
    let writer = forwarding.writer().unwrap();
    let (identity, omitted) = (fixture(), &[][..]);
    let claims = Claims { writer, identity: &identity, omitted };
    let token = assertions(ed()).sign(AUDIENCE, claims, at(START), "anRpLTAwMDE").unwrap();
    assert_eq!(token, FI13, "FI13");
    assert_eq!(token.len(), 500, "FI13");
    let caller = judged(assertions(ed()).verifying(at(START)), &token, at(START)).unwrap();
    assert_eq!(caller.text(Field::Email), Some("alice@co.com"), "FI13 and back");
}

#[test]
fn claims_of_every_field() {
    let identity = Identity::external("https://idp.example", "guest-1")
        .with_email(r#"a","admin":"x"#)
        .with_full_name("José")
        .with_role("editor")
        .with_app("app-1")
        .with_client("cli")
        .with_scopes(["apps:read", "apps:run"])
        .with_groups(["eng,dev", "ops"])
        .with_teams(Vec::<&str>::new())
        .with_admin(true)
        .with_auth_method("account")
        .with_service_account("ci-bot")
        .with_delegation_chain(["bob", "carol"])
        .with_attribute("department", "R&D")
        .with_attribute("ssn", "123")
        .with_attribute("unmapped", "x")
        .with_attribute("vendor", Attribute::from_json(r#"{"Password":"x","name":"y"}"#).unwrap());
    let all = [
        Field::Type,
        Field::Issuer,
        Field::Email,
        Field::FullName,
        Field::Role,
        Field::App,
        Field::Client,
        Field::Scopes,
        Field::Groups,
        Field::Teams,
        Field::Roles,
        Field::Admin,
        Field::AuthMethod,
        Field::ServiceAccount,
        Field::DelegationChain,
    ];
    let options = options(ed())
        .fields(all)
        .map_attribute("department", "X-Dept")
        .map_attribute("department", "X-Department")
        .map_attribute("ssn", "X-Ssn")
        .map_attribute_as_json("vendor", "X-Vendor");
    let (head, claims) = sent(options, &identity).unwrap();
    let names: Vec<&str> = head.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["x-forwarded-user-assertion"], "F78 no header beside it");
    let value = head.headers.get("x-forwarded-user-assertion").unwrap();
    assert!(value.is_sensitive(), "F67");
    let (own, rest) = claims.split_once(r#","sub_type""#).unwrap();
    let id = identity.id();
    let want = format!(
        r#"{{"iss":"https://gw.example.com","sub":"{id}","aud":"{AUDIENCE}","iat":1700000000,"nbf":1700000000,"exp":1700000060,"jti":""#
    );
    assert_eq!(own.strip_prefix(&want).map(str::len), Some(23), "F91 {own}");
    let want = concat!(
        r#":"external","sub_iss":"https://idp.example","email":"a\",\"admin\":\"x","name":"José","role":"editor","#,
        r#""app":"app-1","client_id":"cli","scope":"apps:read apps:run","groups":["eng,dev","ops"],"teams":[],"#,
        r#""is_admin":true,"auth_method":"account","service_account":"ci-bot","act":{"sub":"bob","act":{"sub":"carol"}},"#,
        r#""attributes":{"department":"R&D","vendor":{"name":"y"}}}"#,
    );
    assert_eq!(rest, want, "FI14 F50-F61 F170");
}

#[test]
fn callers_that_cannot_be_stated() {
    let unencodable = |field: &'static str| ForwardError::Unencodable { field: field.into() };
    let too_large = |field: &'static str| ForwardError::TooLarge { field: field.into() };
    let long = "g".repeat(4_000);
    let lists = [Field::Scopes, Field::Groups, Field::Teams, Field::DelegationChain];
    for (name, identity, want) in [
        ("F62 id", Identity::account("a b"), unencodable("id")),
        ("F56 a blank", Identity::account("a").with_scopes(["b c"]), unencodable("assertion")),
        ("F64 empty item", Identity::account("a").with_groups([""]), unencodable("groups")),
        (
            "F68",
            Identity::account("a").with_delegation_chain(["b"; 9]),
            too_large("delegation_chain"),
        ),
        (
            "F79 8,192 bytes",
            Identity::account("a").with_groups([&*long]).with_teams([&*long]),
            too_large("assertion"),
        ),
    ] {
        assert_eq!(sent(options(ed()).fields(lists), &identity).unwrap_err(), want, "{name}");
    }
    let empty = Identity::account("a").with_scopes(Vec::<&str>::new());
    let empty = empty.with_delegation_chain(Vec::<&str>::new());
    let (_, claims) = sent(options(ed()).fields(lists), &empty).unwrap();
    assert!(claims.ends_with("\"}"), "F64 empty: no scope, no act {claims}");
}

#[test]
fn every_public_algorithm() {
    for (name, key, alg) in [
        ("F90 EdDSA", ed(), "EdDSA"),
        ("F90 ES256", AssertionKey::new(p256()).unwrap(), "ES256"),
        (
            "F90 RS256",
            AssertionKey::new(SigningKey::rsa_pkcs1_sha256("r", RSA_2048).unwrap()).unwrap(),
            "RS256",
        ),
    ] {
        assert_eq!(key.kid().len(), 43, "{name}");
        let (head, _) = sent(options(key.clone()), &fixture()).unwrap();
        let token = head.headers.get("x-forwarded-user-assertion").unwrap().to_str().unwrap();
        let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
        let want = format!(r#"{{"typ":"identity+jwt","alg":"{alg}","kid":"{}"}}"#, key.kid());
        assert_eq!(String::from_utf8(header).unwrap(), want, "{name}");
        let text = jwk::set_of(&assertions(key).verifying(at(START)));
        let keys = VerifyingKeys::from_jwks(str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!(judged(keys, token, at(START)).unwrap().id(), "acc-alice", "{name}");
    }
    let fault = |fault| ConfigError::Key { fault };
    let hmac = || SigningKey::hmac_sha256("h", b"0123456789abcdef0123456789abcdef").unwrap();
    for (name, made) in
        [("F268 HS*", AssertionKey::new(hmac())), ("F268 HS* by name", AssertionKey::named(hmac()))]
    {
        assert_eq!(made.unwrap_err(), fault(KeyFault::Algorithm), "{name}");
    }
    let retired = assertions(ed()).retire(hmac().verifying(), at(START));
    assert_eq!(retired, Err(fault(KeyFault::Algorithm)), "F268 HS*");
    let rsa = SigningKey::rsa_pkcs1_sha256("r", RSA_2048).unwrap();
    let signing = crate::forward::Signing::new(crate::forward::KeyRing::new([rsa]).unwrap());
    let requests = ForwardOptions::signed_headers(upstream(), signing.without_body()).build();
    assert_eq!(requests.unwrap_err(), fault(KeyFault::Algorithm), "F83 no RSA for requests");
    let short = SigningKey::rsa_pkcs1_sha256("r", RSA_1024).unwrap_err();
    assert_eq!(short, fault(KeyFault::ShortModulus), "F90 1,024 bits");
    let none = SigningKey::rsa_pkcs1_sha256("r", b"no key").unwrap_err();
    assert_eq!(none, fault(KeyFault::Malformed), "F90");
}

#[test]
fn thumbprints_of_the_standards() {
    assert_eq!(ed().kid(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "RFC 8037 A.3");
    let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
    let n = URL_SAFE_NO_PAD.decode(n).unwrap();
    let key = VerifyingKey::rsa_pkcs1_sha256("r", &n, &[1, 0, 1]).unwrap();
    let want = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert_eq!(Jwk::of(&key).unwrap().thumbprint(), want, "RFC 7638 §3.1");
}

#[test]
fn keys_change_without_a_gap() {
    let assertions = assertions(key(1)).lifetime(Duration::from_secs(100)).unwrap();
    let from = START + 300;
    let names = |secs| -> Vec<String> {
        let keys = assertions.verifying(at(secs));
        keys.iter().map(|key| key.id().to_owned()).collect()
    };
    let signer = |secs| assertions.schedule().signer(at(secs)).kid().to_owned();
    let range = |setting| Err(ConfigError::OutOfRange { setting });
    let early = assertions.next(key(2), at(from - 1), at(START));
    assert_eq!(early, range("from"), "F94 published 300 s before use");
    assertions.next(key(2), at(from), at(START)).unwrap();
    assert_eq!(assertions.next(key(3), at(from), at(START)), range("from"), "one signs at a time");
    let again = assertions.next(key(1), at(from + 9), at(START));
    assert_eq!(again, Err(ConfigError::NameTaken { setting: "keys" }));
    for (name, secs, signs, published) in [
        ("F94 a next key", START, "k1", &["k1", "k2"][..]),
        ("F94 before its time", from - 1, "k1", &["k1", "k2"]),
        ("F94 in its time", from, "k2", &["k2", "k1"]),
        ("F94 retirement + lifetime + 300 s", from + 400, "k2", &["k2", "k1"]),
        ("F94 and no longer", from + 401, "k2", &["k2"]),
        ("the clock went back", START - 9, "k1", &["k1", "k2"]),
    ] {
        assert_eq!(signer(secs), signs, "{name}");
        assert_eq!(names(secs), published, "{name}");
    }
    assertions.retire(key(9).verifying(), at(from)).unwrap();
    assert_eq!(names(from), ["k2", "k1", "k9"], "F94 a key of the time before a restart");
    let later = from + 401;
    assertions.next(key(3), at(later + 300), at(later)).unwrap();
    assert_eq!(names(later), ["k2", "k3"]);
    assert_eq!(signer(START), "k2", "k1 has gone for good");
    for number in [4, 5] {
        assertions.next(key(number), at(later + 300 + u64::from(number)), at(later)).unwrap();
    }
    assert_eq!(assertions.next(key(6), at(later + 400), at(later)), range("keys"), "F268");
    assert_eq!(names(later + 500), ["k5", "k4", "k3", "k2"], "newest first");
}

#[test]
fn an_old_key_is_published_for_the_longest_life_that_it_signed_for() {
    let base = assertions(key(1)).lifetime(Duration::from_secs(10)).unwrap();
    let longer = base.clone().lifetime(Duration::from_secs(600)).unwrap();
    let options = ForwardOptions::assertion(upstream(), longer).set(&ForwardSet::separate());
    base.next(key(2), at(START + 300), at(START)).unwrap();
    assert_eq!(base.verifying(at(START + 700)).iter().count(), 1, "nothing was signed");
    sent(options, &fixture()).unwrap();
    assert_eq!(base.verifying(at(START + 1_200)).iter().count(), 2, "F94");
    assert_eq!(base.verifying(at(START + 1_201)).iter().count(), 1, "F94");
}

#[test]
fn settings_that_do_not_build() {
    let range = |setting| Err(ConfigError::OutOfRange { setting });
    let secs = Duration::from_secs;
    for (name, life, want) in [
        ("F91 1 s", secs(1), Ok(())),
        ("F91 3,600 s", secs(3600), Ok(())),
        ("FI14 0 s", secs(0), range("lifetime")),
        ("FI14 3,601 s", secs(3601), range("lifetime")),
        ("F91 whole", Duration::from_millis(1_500), range("lifetime")),
    ] {
        assert_eq!(assertions(ed()).lifetime(life).map(|_| ()), want, "{name}");
    }
    for issuer in ["", "a b", "é", "a\n"] {
        let got = Assertions::new(issuer, ed()).map(|_| ());
        assert_eq!(got, Err(ConfigError::Value { setting: "issuer" }), "F91 {issuer:?}");
    }
    let mapped = |header: &str| options(ed()).map_attribute("x", header);
    let claim = |reserved| Err(ConfigError::NameReserved { setting: "map_attribute", reserved });
    let taken = |setting| Err(ConfigError::NameTaken { setting });
    let header = |name: &str| Target::Header(name.to_owned());
    let fixed = HeaderValue::from_static("Bearer static");
    let with_static = |name: &str| {
        let upstream = upstream().with_static_header(name, fixed.clone()).unwrap();
        ForwardOptions::assertion(upstream, assertions(ed())).set(&ForwardSet::separate())
    };
    let keeping = ForwardSet::separate().dangerously_keep(["authorization"]).unwrap();
    for (name, options, want) in [
        ("FI14 exp", mapped("exp"), claim("exp")),
        ("F91 case", mapped("JTI"), claim("jti")),
        ("F91 another claim", mapped("expiry"), Ok(())),
        (
            "F91 other modes",
            {
                ForwardOptions::new(upstream(), Mode::Headers)
                    .set(&ForwardSet::separate())
                    .map_attribute("x", "exp")
            },
            Ok(()),
        ),
        ("F270", ForwardOptions::new(upstream(), Mode::Assertion), Err(ConfigError::NoKeys)),
        ("F267", options(ed()).target(header("Cookie")), {
            Err(ConfigError::NameReserved { setting: "target", reserved: "cookie" })
        }),
        (
            "F267",
            options(ed()).target(header("a b")),
            Err(ConfigError::NameShape { setting: "target" }),
        ),
        ("F267 twice", mapped("X-Dept").target(header("X_Dept")), taken("target")),
        ("F267 a field's", options(ed()).target(header("X-Forwarded-User-Id")), taken("target")),
        (
            "F78 the default, said",
            options(ed()).target(header("X-Forwarded-User-Assertion")),
            Ok(()),
        ),
        ("F44", options(ed()).set(&keeping).target(Target::Authorization), taken("target")),
        ("F78", with_static("Authorization").target(Target::Authorization), Ok(())),
        ("F78", with_static("X-Sso").target(header("X-SSO")), Ok(())),
        ("F46 a folded twin", with_static("X-Sso").target(header("X_Sso")), taken("static header")),
    ] {
        assert_eq!(options.build().map(|_| ()), want, "{name}");
    }
    assert_eq!("assertion".parse(), Ok(Mode::Assertion), "F78");
    assert_eq!(Mode::Assertion.word(), "assertion", "F73");
}

#[test]
fn key_sets_of_others() {
    let ours = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}"#;
    let fault = Err(ConfigError::Key { fault: KeyFault::Set });
    let none = Err(ConfigError::OutOfRange { setting: "keys" });
    let with = |from: &str, to: &str| ours.replace(from, to);
    for (name, keys, want) in [
        ("one", ours.to_owned(), Ok(1)),
        ("RFC 7517 §5 others", format!(r#"{{"kty":"XX"}},{ours},{{}}"#), Ok(1)),
        ("not to sign", with("\"kid\"", "\"use\":\"enc\",\"kid\""), none),
        ("another algorithm", with("\"kid\"", "\"alg\":\"ES256\",\"kid\""), none),
        ("its algorithm", with("\"kid\"", "\"alg\":\"EdDSA\",\"use\":\"sig\",\"kid\""), Ok(1)),
        ("no name", with("\"kid\":\"a\"", "\"ext\":true"), none),
        ("a name with a blank", with("\"a\"", "\"a b\""), none),
        ("a short key", with("11qYAY", ""), none),
        ("a number", with("\"Ed25519\"", "1"), none),
        (
            "one name twice",
            format!("{ours},{ours}"),
            Err(ConfigError::NameTaken { setting: "keys" }),
        ),
        ("a private key", with("\"kid\"", "\"d\":\"AA\",\"kid\""), fault),
        ("a symmetric key", format!(r#"{ours},{{"kty":"oct","k":"AA"}}"#), fault),
        ("a member twice", with("\"kid\"", "\"x\":\"AA\",\"kid\""), fault),
        ("no key", String::new(), none),
    ] {
        let got = VerifyingKeys::from_jwks(&format!("{{\"keys\":[{keys}]}}"));
        assert_eq!(got.map(|keys| keys.iter().count()), want, "{name}");
    }
    for text in ["", "[]", "{}", r#"[[]]"#, r#"{"keys":{}}"#] {
        assert_eq!(VerifyingKeys::from_jwks(text).map(|_| ()), fault.map(|_: usize| ()), "{text}");
    }
    let many: Vec<String> = (0..17).map(|n| with("\"a\"", &format!("\"a{n}\""))).collect();
    let many = VerifyingKeys::from_jwks(&format!("{{\"keys\":[{}]}}", many.join(",")));
    assert_eq!(many.map(|_| ()), none.map(|_: usize| ()), "more than 16");
}

fn ask(
    service: &mut JwksService<Vec<u8>>,
    method: &str,
    lines: &[(&str, &str)],
) -> Response<Vec<u8>> {
    let mut request = Request::builder().method(method).uri("/jwks.json");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let response = service.call(request.body(()).unwrap());
    response.into_inner().unwrap()
}

#[test]
fn fi16_key_set() {
    let (assertions, clock) = (assertions(ed()), ManualClock::at(at(START)));
    let mut service = JwksService::<Vec<u8>>::new(&assertions).clock(clock.clone());
    let get = ask(&mut service, "GET", &[]);
    let want = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","alg":"EdDSA","use":"sig"}]}"#;
    assert_eq!(str::from_utf8(get.body()).unwrap(), want, "FI16");
    let tag = get.headers().get("etag").unwrap().to_str().unwrap().to_owned();
    let fields: Vec<_> = get
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let want = [
        ("cache-control", "public, max-age=300"),
        ("etag", &*tag),
        ("content-type", "application/jwk-set+json"),
        ("content-length", &*want.len().to_string()),
    ];
    assert_eq!((get.status().as_u16(), fields), (200, want.to_vec()), "F94");
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 66, "F94 strong {tag}");

    let head = ask(&mut service, "HEAD", &[]);
    assert_eq!((head.status().as_u16(), head.headers()), (200, get.headers()), "F94 HEAD");
    assert_eq!(head.body().len(), 0, "F94 HEAD");
    let (weak, listed) = (format!("W/{tag}"), format!("\"x\", {tag}"));
    for (name, method, lines, status) in [
        ("F94 known", "GET", &[("if-none-match", &*tag)][..], 304),
        ("F94 known", "HEAD", &[("if-none-match", &*tag)], 304),
        ("RFC 9110 §13.1.2 weak", "GET", &[("if-none-match", &*weak)], 304),
        ("RFC 9110 §13.1.2 any", "GET", &[("if-none-match", "*")], 304),
        ("RFC 9110 §13.1.2 listed", "GET", &[("if-none-match", &*listed)], 304),
        ("two lines", "GET", &[("if-none-match", "\"x\""), ("if-none-match", &*tag)], 304),
        ("F94 another", "GET", &[("if-none-match", "\"x\"")], 200),
        ("FI16 POST", "POST", &[], 405),
        ("F94 OPTIONS", "OPTIONS", &[], 405),
    ] {
        let got = ask(&mut service, method, lines);
        assert_eq!(got.status().as_u16(), status, "{name}");
        let allow = (status == 405).then_some("GET, HEAD");
        assert_eq!(got.headers().get("allow").map(|line| line.to_str().unwrap()), allow, "{name}");
        assert_eq!(got.headers().contains_key("etag"), status != 405, "{name}");
        assert_eq!(got.body().is_empty(), status != 200, "{name}");
    }

    assertions.next(key(1), at(START + 300), at(START)).unwrap();
    let next = ask(&mut service, "GET", &[("if-none-match", &tag)]);
    assert_eq!(next.status(), 200, "F94 a change is another tag");
    assert_eq!(str::from_utf8(next.body()).unwrap().matches("\"kid\"").count(), 2, "F94 next");
    clock.advance(Duration::from_secs(300 + 60 + 300 + 1));
    let last = ask(&mut service.clone(), "GET", &[]);
    let last = str::from_utf8(last.body()).unwrap();
    assert!(last.contains("\"k1\"") && !last.contains(ed().kid()), "F94 retired {last}");
}

#[test]
fn debug_shows_no_key() {
    let seed = URL_SAFE_NO_PAD.decode(ED).unwrap();
    let shown = format!("{:?} {:?} {:?}", ed(), assertions(ed()), options(ed()));
    assert!(shown.contains("kPrK_qmx"), "{shown}");
    for secret in [ED, &format!("{seed:?}")[1..20], "9d61b19d"] {
        assert!(!shown.contains(secret), "F173 {shown}");
    }
}
