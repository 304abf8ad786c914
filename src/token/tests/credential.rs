//! What a request presents, row by row.

use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzz::bearer_header::{naive, shout};
use crate::token::credential::CredentialError::*;
use crate::token::credential::{CredentialError, check_token_text, may_hold_token, read};

const TOK: &str = "tba_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81xprsL";
const MAX: usize = 4096;

fn headers(lines: &[(&HeaderName, &[u8])]) -> HeaderMap {
    let value = |bytes| HeaderValue::from_bytes(bytes).unwrap();
    lines.iter().map(|(name, bytes)| ((*name).clone(), value(bytes))).collect()
}

fn read_one(value: &[u8]) -> Result<String, CredentialError> {
    read(&headers(&[(&AUTHORIZATION, value)]), None, MAX).map(str::to_owned)
}

#[test]
fn one_line() {
    for (name, value, want) in [
        ("P221 XB4 Bearer", format!("Bearer {TOK}"), Ok(TOK)),
        ("P221 XB4 bearer", format!("bearer {TOK}"), Ok(TOK)),
        ("P221 XB4 BEARER", format!("BEARER {TOK}"), Ok(TOK)),
        ("XB4 bEaReR", format!("bEaReR {TOK}"), Ok(TOK)),
        ("P221 two SP", format!("Bearer  {TOK}"), Ok(TOK)),
        ("P221 SP around", format!("  Bearer {TOK}  "), Ok(TOK)),
        ("P221 HTAB around", format!("\tBearer {TOK}\t"), Ok(TOK)),
        ("P222 XB5 HTAB after the scheme", format!("Bearer\t{TOK}"), Err(Malformed)),
        ("P222 HTAB after SP", format!("Bearer \t{TOK}"), Err(Malformed)),
        ("P222 XB5 alone", "Bearer".to_owned(), Err(Malformed)),
        ("P222 alone with blanks", "Bearer \t ".to_owned(), Err(Malformed)),
        ("P222 XB3 empty", String::new(), Err(Malformed)),
        ("P222 blank", " \t ".to_owned(), Err(Malformed)),
        ("P223 XB5 no blank", format!("Bearer{TOK}"), Err(OtherScheme)),
        ("P223 XB8 Basic", "Basic dXNlcjpwdw==".to_owned(), Err(OtherScheme)),
        ("XB8 Basic with a valid token", format!("Basic {TOK}"), Err(OtherScheme)),
        ("XB8 Digest with a valid token", format!("Digest {TOK}"), Err(OtherScheme)),
        ("XB8 Negotiate with a valid token", format!("Negotiate {TOK}"), Err(OtherScheme)),
        ("XB3 one byte", "B".to_owned(), Err(OtherScheme)),
        ("P212 the token alone", TOK.to_owned(), Err(OtherScheme)),
        ("P212 comma after the scheme", format!("Bearer,{TOK}"), Err(OtherScheme)),
        ("P224 every class", "Bearer a-._~+/9==".to_owned(), Ok("a-._~+/9==")),
        ("P225 = inside", "Bearer ab=c".to_owned(), Err(NotB64Token)),
        ("P225 XB9 % inside", "Bearer a%b".to_owned(), Err(NotB64Token)),
        ("P225 = alone", "Bearer =".to_owned(), Err(NotB64Token)),
        ("XB9 zero-width space", format!("Bearer {TOK}\u{200B}"), Err(NotB64Token)),
        (
            "XB9 one character %-encoded",
            format!("Bearer {}", TOK.replace("tba", "%74ba")),
            Err(NotB64Token),
        ),
        ("P226 XB6 a b", "Bearer a b".to_owned(), Err(Malformed)),
        ("P226 XB6 a,b", "Bearer a,b".to_owned(), Err(Malformed)),
        ("P226 parameter", "Bearer token=\"a\"".to_owned(), Err(Malformed)),
        ("XB6 a ,b", "Bearer a ,b".to_owned(), Err(Malformed)),
        ("P215 semicolon", "Bearer a;b".to_owned(), Err(Malformed)),
        ("P215 HTAB inside", "Bearer a\tb".to_owned(), Err(Malformed)),
        ("P215 before P216", "Bearer a%b c".to_owned(), Err(Malformed)),
        ("P215 scheme twice", format!("Bearer Bearer {TOK}"), Err(Malformed)),
        ("P103 nothing is decoded", "Bearer a+b".to_owned(), Ok("a+b")),
    ] {
        assert_eq!(read_one(value.as_bytes()), want.map(str::to_owned), "{name}");
    }
    for (name, value) in
        [("P225 0xE9", &b"Bearer a\xE9"[..]), ("XB3 0x80 0xFF", b"Bearer a\x80\xFF")]
    {
        assert_eq!(read_one(value), Err(NotB64Token), "{name}");
    }
}

#[test]
fn lengths() {
    for (name, length, want) in [
        ("P228 4,096 bytes", 4_096, Ok(())),
        ("P228 4,097 bytes", 4_097, Err(TooLong)),
        ("XB7 300 KB", 300_000, Err(TooLong)),
    ] {
        let token = "a".repeat(length);
        assert_eq!(check_token_text(token.as_bytes(), MAX), want, "{name}");
        assert_eq!(read_one(format!("Bearer {token}").as_bytes()).map(drop), want, "{name}");
    }
    let dots = ".".repeat(1_000_000);
    assert_eq!(read_one(format!("Bearer {dots}").as_bytes()), Err(TooLong), "XB7 10^6 dots");
    let list = "a,".repeat(4_096);
    assert_eq!(read_one(format!("Bearer {list}").as_bytes()), Err(TooLong), "P214 before P215");
    let tab = format!("Bearer \t{dots}");
    assert_eq!(read_one(tab.as_bytes()), Err(Malformed), "P213 before P214");
    let padded = format!("  Bearer    {}  ", "a".repeat(4_096));
    assert!(read_one(padded.as_bytes()).is_ok(), "P214 counts the token only");
}

#[test]
fn bare_tokens() {
    for (name, text, want) in [
        ("P601 a token", TOK, Ok(())),
        ("P601 nothing", "", Err(NotB64Token)),
        ("P601 blank at the end", "a ", Err(Malformed)),
        ("P601 with its scheme", "Bearer a", Err(Malformed)),
        ("XB9 DEL", "a\u{7F}", Err(NotB64Token)),
        ("XB9 zero-width space", "a\u{200B}", Err(NotB64Token)),
        ("P225 line break", "a\r\nb", Err(NotB64Token)),
    ] {
        assert_eq!(check_token_text(text.as_bytes(), MAX), want, "{name}");
    }
}

#[test]
fn lines_and_headers() {
    let key = &HeaderName::from_static("x-api-key");
    let (bearer, basic) = (format!("Bearer {TOK}"), &b"Basic dXNlcjpwdw=="[..]);
    let (bearer, token) = (bearer.as_bytes(), TOK.as_bytes());
    let auth = &AUTHORIZATION;
    for (name, lines, off, on) in [
        ("P223 nothing", &[][..], Err(Missing), Err(Missing)),
        (
            "P227 two equal lines",
            &[(auth, bearer), (auth, bearer)],
            Err(SeveralCredentials),
            Err(SeveralCredentials),
        ),
        (
            "XB1 good, bad",
            &[(auth, bearer), (auth, b"Bearer x")],
            Err(SeveralCredentials),
            Err(SeveralCredentials),
        ),
        (
            "XB1 bad, good",
            &[(auth, b"Bearer x"), (auth, bearer)],
            Err(SeveralCredentials),
            Err(SeveralCredentials),
        ),
        (
            "P205 Basic, Bearer",
            &[(auth, basic), (auth, bearer)],
            Err(SeveralCredentials),
            Err(SeveralCredentials),
        ),
        (
            "P205 an empty line",
            &[(auth, b""), (auth, bearer)],
            Err(SeveralCredentials),
            Err(SeveralCredentials),
        ),
        ("P230 x-api-key", &[(key, token)], Err(Missing), Ok(TOK)),
        ("P211 blanks around x-api-key", &[(key, b" \ta\t ")], Err(Missing), Ok("a")),
        ("P211 empty x-api-key", &[(key, b"")], Err(Missing), Err(Malformed)),
        ("P215 scheme in x-api-key", &[(key, bearer)], Err(Missing), Err(Malformed)),
        ("P216 x-api-key", &[(key, b"a%b")], Err(Missing), Err(NotB64Token)),
        (
            "P205 two x-api-key",
            &[(key, token), (key, token)],
            Err(Missing),
            Err(SeveralCredentials),
        ),
        ("P230 both", &[(auth, bearer), (key, token)], Ok(TOK), Err(SeveralCredentials)),
        (
            "P206 Basic and x-api-key",
            &[(auth, basic), (key, token)],
            Err(OtherScheme),
            Err(SeveralCredentials),
        ),
        (
            "P206 empty and x-api-key",
            &[(auth, b""), (key, token)],
            Err(Malformed),
            Err(SeveralCredentials),
        ),
        ("P229 cookie", &[(&COOKIE, b"access_token=a")], Err(Missing), Err(Missing)),
        ("P229 Proxy-Authorization", &[(&PROXY_AUTHORIZATION, bearer)], Err(Missing), Err(Missing)),
        (
            "P203 Sec-WebSocket-Protocol",
            &[(&SEC_WEBSOCKET_PROTOCOL, bearer)],
            Err(Missing),
            Err(Missing),
        ),
    ] {
        let headers = headers(lines);
        assert_eq!(read(&headers, None, MAX), off, "{name}, P202 off");
        assert_eq!(read(&headers, Some(key), MAX), on, "{name}, P202 on");
    }
}

#[test]
fn extra_headers() {
    for (name, header, want) in [
        ("P1303 x-api-key", HeaderName::from_static("x-api-key"), true),
        ("P1303 authorization", AUTHORIZATION, false),
        ("P1303 cookie", COOKIE, false),
        ("P1303 proxy-authorization", PROXY_AUTHORIZATION, false),
    ] {
        assert_eq!(may_hold_token(&header), want, "{name}");
    }
}

proptest! {
    /// XT3.1: accepted exactly when a second, naive parser accepts; the token is a slice of the input; the case of
    /// the scheme changes nothing.
    #[test]
    fn xt3_1_agrees_with_a_naive_parser(values in vec(value(), 0..=3), max in 1_usize..12) {
        let lines: Vec<_> = values.iter().map(|value| (&AUTHORIZATION, value.as_slice())).collect();
        let map = headers(&lines);
        let got = read(&map, None, max);
        prop_assert_eq!(got.map(str::to_owned), naive(&values, max));
        if let (Ok(token), [value]) = (got, &values[..]) {
            prop_assert!(value.windows(token.len()).any(|part| part == token.as_bytes()));
            let slice = map[AUTHORIZATION].as_bytes().as_ptr_range();
            prop_assert!(slice.contains(&token.as_ptr()));
        }
        let shouted: Vec<_> = values.iter().map(|value| shout(value)).collect();
        prop_assert_eq!(got.map(str::to_owned), naive(&shouted, max));
    }
}

/// A field value: any bytes that one may hold, or pieces that come close to a credential.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>()
        .prop_filter("not of a field value", |byte| HeaderValue::from_bytes(&[*byte]).is_ok());
    let pieces = [
        "Bearer", "bearer", "beaRER", "Bearer ", "Basic", " ", "\t", "=", "a", "Z9-", "._~", "+/",
        ",", ";", "\"", "%", "é",
    ];
    let piece = prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec());
    let pieces = vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![
        vec(byte, 0..16),
        pieces.clone(),
        pieces.prop_map(|rest| [b"Bearer ".to_vec(), rest].concat()),
    ]
}
