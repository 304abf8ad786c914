//! What can be wrong with a configuration, and what can be wrong with one request?
//!
//! 1. [`ConfigError`] comes from constructors and `build`: it names the setting, never its value.
//! 2. [`ForwardError`] refuses one request; it names the field, never its value.

use std::borrow::Cow;

use super::key_rules::KeyFault;

/// A setting of identity forwarding that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The prefix is not a letter and then 2 to 63 letters, digits or `-`, or it ends in `-`.
    #[error("prefix is not a letter and 2 to 63 letters, digits or `-` without `-` at its end")]
    PrefixShape,
    /// The prefix covers a field that has a meaning in HTTP or MCP.
    #[error("prefix covers the reserved field {reserved}")]
    PrefixReserved {
        /// The field, or the pattern of fields, that is reserved.
        reserved: &'static str,
    },
    /// A name that no field can have (RFC 9110 §5.1).
    #[error("{setting} is given something that is no field name")]
    NameShape {
        /// The setting.
        setting: &'static str,
    },
    /// A name that folds to a field that has a meaning in HTTP or MCP.
    #[error("{setting} names the reserved field {reserved}")]
    NameReserved {
        /// The setting.
        setting: &'static str,
        /// The field, or the pattern of fields, that is reserved.
        reserved: &'static str,
    },
    /// Two settings name fields that fold to one name.
    #[error("{setting} folds to a name that another setting uses")]
    NameTaken {
        /// The later of the two settings.
        setting: &'static str,
    },
    /// A static header would look like identity.
    #[error("{setting} folds to a name that carries identity")]
    NameManaged {
        /// The setting.
        setting: &'static str,
    },
    /// `dangerously_keep` names a field that is no client credential, or one that never passes.
    #[error("dangerously_keep names a field that is not removed as a credential or never passes")]
    NotKeepable,
    /// The key of identity in `_meta` has no reverse-DNS prefix of two labels or more, no name, or it belongs to MCP.
    #[error("key of _meta is not a reverse-dns prefix, `/` and a name, or it belongs to mcp")]
    MetaKey,
    /// The upstream's name is not 1 to 64 of `a` to `z`, `0` to `9` and `-`.
    #[error("upstream name is not 1 to 64 of a-z, 0-9 and `-`")]
    UpstreamName,
    /// The upstream's URL cannot be used.
    #[error("upstream url {fault}")]
    Url {
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// The URL of an issuer or identity provider cannot be used.
    #[cfg(feature = "issuer-http")]
    #[cfg_attr(docsrs, doc(cfg(feature = "issuer-http")))]
    #[error("issuer url {fault}")]
    IssuerUrl {
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// A number outside its range.
    #[error("{setting} is out of range")]
    OutOfRange {
        /// The setting.
        setting: &'static str,
    },
    /// A word that is none of the setting's.
    #[error("{setting} is given an unknown word")]
    UnknownWord {
        /// The setting.
        setting: &'static str,
    },
    /// A value that cannot be sent as a field's value.
    #[error("{setting} is given a value that cannot be sent")]
    Value {
        /// The setting.
        setting: &'static str,
    },
    /// A key that must not sign or verify.
    #[error("key {fault}")]
    Key {
        /// What is wrong with it.
        fault: KeyFault,
    },
    /// `signed_headers` or `assertion` without keys, which only
    /// [`ForwardOptions::signed_headers`](super::ForwardOptions::signed_headers) and
    /// [`ForwardOptions::assertion`](super::ForwardOptions::assertion) give.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    #[error("mode has no keys; use ForwardOptions::signed_headers or ForwardOptions::assertion")]
    NoKeys,
    /// A mode that mints without what it mints by, which only the constructor of the mode's name gives.
    #[error("mode {mode} has no source; use the constructor of ForwardOptions of its name")]
    NoSource {
        /// The mode's word.
        mode: &'static str,
    },
    /// A user's own token, and nobody said for which audience it must be made.
    #[error("user_oidc has no audience; say for_audience or dangerously_any_audience")]
    NoAudience,
    /// An override that is no JSON object, has an unknown key, a key twice, or a value of the wrong type.
    #[error("override is not one object of known keys with values of their types")]
    Override,
    /// An override asks for more than the base lets it.
    #[error("override of {setting} needs {permission}")]
    NotPermitted {
        /// The override's key.
        setting: &'static str,
        /// The method of the base's options that would permit it.
        permission: &'static str,
    },
    /// An override asks for something the base was not given the means for.
    #[error("override of {setting} needs what the base was not given")]
    Unavailable {
        /// The override's key.
        setting: &'static str,
    },
}

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// Not an absolute URL with a host and a valid port.
    #[error("is not an absolute url")]
    Malformed,
    /// Neither `https` nor `http`.
    #[error("is neither https nor http")]
    Scheme,
    /// `http` to another machine: identity would travel in the clear.
    #[error("is http to another machine")]
    Plaintext,
    /// A user name or password in the URL.
    #[error("holds user information")]
    UserInfo,
    /// A `#` and what follows.
    #[error("holds a fragment")]
    Fragment,
    /// A `?` and what follows, where nothing may depend on it.
    #[error("holds a query")]
    Query,
    /// A link-local or unspecified address, or a cloud's metadata service.
    #[error("names a host that is no upstream")]
    Host,
}

/// Why a request is not forwarded. Every kind means that the upstream was not called.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// Nobody is known to have sent the request, and identity is required.
    #[error("no identity to forward")]
    IdentityMissing,
    /// A fact about the caller has no encoding.
    #[error("{field} of the caller cannot be encoded")]
    Unencodable {
        /// The field or mapped attribute.
        field: Cow<'static, str>,
    },
    /// A fact about the caller, or all of them together (`identity`), is over a cap.
    #[error("{field} of the caller is too large to be forwarded")]
    TooLarge {
        /// The field or mapped attribute.
        field: Cow<'static, str>,
    },
    /// The upstream has no configuration that could be used.
    #[error("forwarding is not configured for this upstream")]
    Misconfigured,
    /// No signature could be made: the operating system gave no randomness.
    #[cfg(feature = "signed")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
    #[error("the request could not be signed")]
    Unsigned,
}
