//! Which keys of `_meta` may hold identity?
//!
//! MCP (2025-11-25, "General fields") names a key by a prefix of labels, `/` and a name, and keeps for itself every prefix
//! whose first or second label is `mcp` or `modelcontextprotocol`.

use std::sync::Arc;

use crate::forward::error::ConfigError;

/// A key that is ours to write.
pub(super) fn checked(key: &str) -> Result<Arc<str>, ConfigError> {
    let (prefix, name) = key.split_once('/').ok_or(ConfigError::MetaKey)?;
    let labels: Vec<&str> = prefix.split('.').collect();
    let reserved =
        |label: &&str| RESERVED.iter().any(|reserved| label.eq_ignore_ascii_case(reserved));
    let whole = labels.len() >= 2 && labels.iter().all(|label| is_label(label));
    if whole && !labels.iter().take(2).any(reserved) && is_name(name) {
        Ok(key.into())
    } else {
        Err(ConfigError::MetaKey)
    }
}

fn is_label(label: &str) -> bool {
    let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && label.starts_with(|first: char| first.is_ascii_alphabetic()) && !label.ends_with('-')
}

fn is_name(name: &str) -> bool {
    let ends = |letter: char| letter.is_ascii_alphanumeric();
    let inner = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    inner && name.starts_with(ends) && name.ends_with(ends)
}

const RESERVED: [&str; 2] = ["mcp", "modelcontextprotocol"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for (name, key, want) in [
            ("F145", "com.example/caller", true),
            ("F145 labels with digits and dashes", "io.a-1.b2/x_y.z-0", true),
            ("F145 a longer word", "com.mcptools/x", true),
            ("F145 reserved as the third label is theirs", "com.example.mcp/x", true),
            ("F145 one letter", "a.b/c", true),
            ("FH10 bare", "user", false),
            ("FH10 modelcontextprotocol", "io.modelcontextprotocol/x", false),
            ("FH10 mcp", "mcp.dev/x", false),
            ("FH10 no name", "com.example/", false),
            ("F145 any case", "com.MCP/x", false),
            ("F145 any case", "ModelContextProtocol.io/x", false),
            ("F145 no reverse DNS", "example/x", false),
            ("F145 no prefix", "/x", false),
            ("F145 empty", "", false),
            ("F145 an empty label", "com..example/x", false),
            ("F145 a label of digits", "com.1a/x", false),
            ("F145 a label that ends in a dash", "com.a-/x", false),
            ("F145 name begins with a dash", "com.example/-x", false),
            ("F145 name ends with a dot", "com.example/x.", false),
            ("F145 a second slash", "com.example/x/y", false),
            ("F145 a quote", "com.example/x\"y", false),
            ("F145 non-ASCII", "com.exämple/x", false),
        ] {
            assert_eq!(checked(key).is_ok(), want, "{name}: {key}");
        }
    }
}
