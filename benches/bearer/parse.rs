//! From header bytes to a token of a known kind, beside the one-liners that do less.

use criterion::Criterion;
use sha2::Digest as _;
use tower_bearer::token::Digest;

use crate::beside::beside;
use crate::timing::round;
use crate::token::credential;
use crate::world::{TOKEN, kinds, request};

pub(crate) fn bench(c: &mut Criterion) {
    let good = request(&format!("Bearer {TOKEN}"));
    let headers = good.headers();
    let read = || credential::read(headers, None, 4_096);
    let naive = || {
        let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
        value.strip_prefix("Bearer ").filter(|token| token.bytes().all(is_b64token))
    };
    assert_eq!((read(), naive()), (Ok(TOKEN), Some(TOKEN)));
    let name = ("parse", "credential");
    beside(c, name, ("naive", || round(|| (), |()| naive())), || round(|| (), |()| read()));

    let kinds = kinds();
    let naive = |token: &str| {
        token
            .strip_prefix("tba_")
            .is_some_and(|rest| rest.len() == 49 && rest.bytes().all(is_base64))
    };
    for (name, token, fine) in [
        ("classify_good", TOKEN.to_owned(), true),
        ("classify_bad_checksum", TOKEN.replace("81xprsL", "81xprsM"), false),
        ("classify_bad_prefix", TOKEN.replace("tba_", "tbx_"), false),
    ] {
        assert_eq!(kinds.classify(&token).is_ok(), fine, "{name}");
        assert_eq!(naive(&token), !name.ends_with("prefix"), "{name}");
        let theirs = || round(|| &*token, naive);
        beside(c, ("parse", name), ("naive", theirs), || {
            round(|| &*token, |token| kinds.classify(token).is_ok())
        });
    }

    let bare = |token: &str| <[u8; 32]>::from(sha2::Sha256::digest(token));
    assert_eq!(bare(TOKEN), *Digest::of(TOKEN).as_bytes());
    let theirs = || round(|| TOKEN, bare);
    beside(c, ("parse", "digest"), ("sha256", theirs), || round(|| TOKEN, Digest::of));
}

fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}
