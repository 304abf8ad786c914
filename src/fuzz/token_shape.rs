//! XT3.2: a byte that picks a registry, a byte that picks a kind and a place, then a token; the same bytes are a secret.

use std::sync::LazyLock;

use crate::fuzz::input::settings;
use crate::subject::SubjectType;
use crate::token::mint::mint_from;
use crate::token::{TokenKind, TokenKinds};

/// At most one kind, and the one that the naive reading finds; mint then parse is the identity; one changed byte never passes
/// a checksum.
pub(super) fn holds(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let which = usize::from(*first);
    let Some((pick, rest)) = settings(rest) else { return };
    let Some((declared, kinds)) = REGISTRIES.get(which % REGISTRIES.len()) else { return };
    let text = String::from_utf8_lossy(rest);
    let found: Vec<&str> = declared
        .iter()
        .filter(|kind| kind.accepts(&text, declared))
        .map(|kind| kind.name)
        .collect();
    assert!(found.len() <= 1, "{found:?} are all kinds of {text:?}");
    assert_eq!(kinds.classify(&text).ok().map(|kind| kind.name()), found.first().copied());

    let Some(own) = declared.get(pick % declared.len()) else { return };
    let secret: Vec<u8> = rest.iter().copied().cycle().take(own.secret).collect();
    let Some(kind) = kinds.get(own.name) else { return };
    let Some(minted) = mint_from(kind, &secret) else {
        assert!(own.is_opaque() || rest.is_empty(), "{} mints nothing", own.name);
        return;
    };
    assert_eq!(kinds.classify(minted.expose()).map(|kind| kind.name()), Ok(own.name));
    if own.checksum {
        let mut changed = minted.expose().as_bytes().to_vec();
        let at = pick % changed.len();
        let Some(byte) = changed.get_mut(at) else { return };
        *byte = (*byte ^ first.rotate_left(1).max(1)) & 0x7F;
        let changed = String::from_utf8_lossy(&changed).into_owned();
        if changed != minted.expose() {
            let got = kinds.classify(&changed).ok();
            assert!(got.is_none_or(|kind| !kind.has_checksum()), "{changed:?} passes");
        }
    }
}

/// A kind as the naive reading knows it.
#[derive(Clone, Copy)]
struct Declared {
    name: &'static str,
    prefix: &'static str,
    /// 0 for a kind whose tokens are made elsewhere.
    secret: usize,
    checksum: bool,
}

impl Declared {
    fn is_opaque(self) -> bool {
        self.secret == 0
    }

    fn kind(self) -> TokenKind {
        let kind = TokenKind::new(self.name).subject(SubjectType::Account).fixed(["a"]);
        let kind = if self.prefix.is_empty() { kind } else { kind.prefix(self.prefix) };
        match (self.is_opaque(), self.checksum) {
            (true, _) => kind.opaque(SHORTEST, LONGEST),
            (false, true) => kind.secret_bytes(self.secret).checksum(),
            (false, false) => kind.secret_bytes(self.secret),
        }
    }

    /// P311 to P326 word by word.
    fn accepts(self, text: &str, all: &[Self]) -> bool {
        let Some(rest) = text.strip_prefix(self.prefix) else { return false };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.prefix.is_empty() {
            let parts: Vec<&str> = text.split('.').collect();
            let is_part = |part: &&str| !part.is_empty() && part.chars().all(is_plain);
            let jwt = parts.len() == 3 && parts.iter().all(is_part);
            let taken = |kind: &Self| !kind.prefix.is_empty() && text.starts_with(kind.prefix);
            if jwt || all.iter().any(taken) {
                return false;
            }
        }
        if self.is_opaque() {
            let body = text.trim_end_matches('=');
            let allowed = |c: char| is_plain(c) || "._~+/".contains(c);
            return (SHORTEST..=LONGEST).contains(&rest.len())
                && !body.is_empty()
                && body.chars().all(allowed);
        }
        let length = self.secret.saturating_mul(4).div_ceil(3);
        let Some((secret, sum)) = rest.split_at_checked(length) else { return false };
        let digits = if self.checksum {
            six_digits(&format!("{}{secret}", self.prefix))
        } else {
            String::new()
        };
        secret.chars().all(is_plain) && sum == digits
    }
}

/// P323, P324: CRC-32 bit by bit, then base62 digit by digit.
fn six_digits(text: &str) -> String {
    let step = |state: u32| (state >> 1) ^ if state & 1 == 1 { 0xEDB8_8320 } else { 0 };
    let state = text
        .bytes()
        .fold(u32::MAX, |state, byte| (0..8).fold(state ^ u32::from(byte), |state, _| step(state)));
    let mut value = !state as usize;
    let mut digits = Vec::new();
    for _ in 0..6 {
        digits.extend(DIGITS.chars().nth(value % 62));
        value /= 62;
    }
    digits.iter().rev().collect()
}

/// Registries of one to eight kinds, and of eight with one that has no prefix.
static REGISTRIES: LazyLock<Vec<(Vec<Declared>, TokenKinds)>> = LazyLock::new(|| {
    let sets = (1..=KINDS.len()).filter_map(|count| KINDS.get(..count));
    let sets = sets.chain(KINDS.get(1..));
    let built = |set: &[Declared]| {
        let builder =
            set.iter().fold(TokenKinds::builder(), |builder, kind| builder.kind(kind.kind()));
        (set.to_vec(), builder.build().expect("no two of these kinds clash"))
    };
    sets.map(built).collect()
});

const KINDS: &[Declared] = &[
    Declared { name: "account", prefix: "tba_", secret: 32, checksum: true },
    Declared { name: "external", prefix: "tbe_", secret: 32, checksum: true },
    Declared { name: "service", prefix: "svc-", secret: 16, checksum: true },
    Declared { name: "plain", prefix: "pln_", secret: 16, checksum: false },
    Declared { name: "long", prefix: "a_rather_long_", secret: 64, checksum: true },
    Declared { name: "third", prefix: "t3_", secret: 33, checksum: true },
    Declared { name: "partner", prefix: "p_", secret: 0, checksum: false },
    Declared { name: "elsewhere", prefix: "", secret: 0, checksum: false },
];

const SHORTEST: usize = 2;
const LONGEST: usize = 80;
const DIGITS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
