//! How a `WWW-Authenticate` value is written (RFC 9110 §11.6.1, RFC 6750 §3, RFC 9728 §5.1).

use http::HeaderValue;

/// The parameters of one `Bearer` challenge, each written as a quoted-string, in this order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Challenge<'a> {
    pub(crate) realm: &'a str,
    pub(crate) error: Option<&'a str>,
    pub(crate) description: Option<&'a str>,
    pub(crate) scope: Option<&'a str>,
    pub(crate) resource_metadata: Option<&'a str>,
}

impl Challenge<'_> {
    /// One field value. Bytes that a parameter may not hold are escaped (realm) or become `?` (all others).
    pub(crate) fn to_value(self) -> HeaderValue {
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(b"Bearer realm=\"");
        for byte in self.realm.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                0x20..=0x7E => out.push(byte),
                _ => out.push(b'?'),
            }
        }
        out.push(b'"');
        for (name, value) in [
            ("error", self.error),
            ("error_description", self.description),
            ("scope", self.scope),
            ("resource_metadata", self.resource_metadata),
        ] {
            let Some(value) = value else { continue };
            out.extend_from_slice(b", ");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            out.extend(value.chars().map(plain));
            out.push(b'"');
        }
        HeaderValue::from_maybe_shared(bytes::Bytes::from(out))
            .expect("every byte written is 0x20 to 0x7E")
    }
}

/// RFC 6750 §3: 0x20-0x21, 0x23-0x5B, 0x5D-0x7E; any other character becomes `?`.
fn plain(c: char) -> u8 {
    let allowed = |byte: &u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    u8::try_from(u32::from(c)).ok().filter(allowed).unwrap_or(b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let error =
            Challenge { realm: "api", error: Some("invalid_token"), ..Challenge::default() };
        for (name, challenge, want) in [
            (
                "P951 realm alone",
                Challenge { realm: "api", ..Challenge::default() },
                r#"Bearer realm="api""#,
            ),
            (
                "P955 realm escaped",
                Challenge { realm: r#"a"b"#, ..Challenge::default() },
                r#"Bearer realm="a\"b""#,
            ),
            (
                "P925 other characters",
                Challenge { description: Some("a\"é\\\n~"), ..error },
                r#"Bearer realm="api", error="invalid_token", error_description="a????~""#,
            ),
            (
                "P922 order",
                Challenge {
                    scope: Some("a b"),
                    resource_metadata: Some("https://x/y"),
                    description: Some("d"),
                    ..error
                },
                r#"Bearer realm="api", error="invalid_token", error_description="d", scope="a b", resource_metadata="https://x/y""#,
            ),
        ] {
            assert_eq!(challenge.to_value(), want, "{name}");
        }
    }
}
