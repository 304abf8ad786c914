//! Which alphabets a byte belongs to, looked up once a byte.

/// Not a byte of base64url without padding (RFC 4648 §5).
pub(super) const NOT_BASE64URL: u8 = 1;
/// Not a base62 digit.
pub(super) const NOT_BASE62: u8 = 1 << 1;
/// Not a byte of b64token ahead of its `=` (RFC 6750 §2.1).
pub(super) const NOT_B64TOKEN: u8 = 1 << 2;
/// SP, HTAB, `,`, `;` or `"`: the syntax of lists and parameters.
pub(super) const LIST_SYNTAX: u8 = 1 << 3;

/// All flags that at least one of `bytes` has.
pub(super) fn flags_of(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |flags, byte| flags | FLAGS[usize::from(*byte)])
}

/// Whether `bytes` is one b64token: one byte or more of its alphabet, then any number of `=`.
pub(super) fn is_b64token(bytes: &[u8]) -> bool {
    let body = b64token_body(bytes);
    !body.is_empty() && flags_of(body) & NOT_B64TOKEN == 0
}

/// `bytes` without the `=` at its end.
pub(super) fn b64token_body(mut bytes: &[u8]) -> &[u8] {
    while let [body @ .., b'='] = bytes {
        bytes = body;
    }
    bytes
}

const FLAGS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    loop {
        table[byte as usize] = flags(byte);
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

const fn flags(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => 0,
        b'-' | b'_' => NOT_BASE62,
        b'.' | b'~' | b'+' | b'/' => NOT_BASE62 | NOT_BASE64URL,
        b' ' | b'\t' | b',' | b';' | b'"' => {
            NOT_BASE62 | NOT_BASE64URL | NOT_B64TOKEN | LIST_SYNTAX
        }
        _ => NOT_BASE62 | NOT_BASE64URL | NOT_B64TOKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte() {
        let digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for byte in 0..=u8::MAX {
            let of = |extra: &str| digits.bytes().chain(extra.bytes()).any(|member| member == byte);
            let got = flags_of(&[byte]);
            assert_eq!(got & NOT_BASE62 == 0, of(""), "P326 base62, byte {byte}");
            assert_eq!(got & NOT_BASE64URL == 0, of("-_"), "P326 base64url, byte {byte}");
            assert_eq!(got & NOT_B64TOKEN == 0, of("-._~+/"), "P216 b64token, byte {byte}");
            assert_eq!(
                got & LIST_SYNTAX != 0,
                " \t,;\"".bytes().any(|member| member == byte),
                "P215, byte {byte}"
            );
        }
    }

    #[test]
    fn b64tokens() {
        for (name, text, want) in [
            ("P216 empty", "", false),
            ("P216 one byte", "a", true),
            ("P216 padding alone", "==", false),
            ("P216 padding at the end", "a===", true),
            ("P216 padding inside", "a=b", false),
            ("P216 every class", "aZ9-._~+/", true),
        ] {
            assert_eq!(is_b64token(text.as_bytes()), want, "{name}");
        }
    }
}
