//! What may one upstream have differently from the base?
//!
//! 1. Absent and `null` both mean: as the base has it. An unknown key, a key twice or a wrong type refuses the whole.
//! 2. What gives an upstream less protection or more facts needs a permission of the base.

use serde::Deserialize;
#[cfg(feature = "signed")]
use std::time::Duration;

use super::config::ForwardOptions;
use super::error::ConfigError;
use super::identity::{FIELDS, Field, Fields};
use super::mode::Mode;

/// Differences of one upstream from the base, as code or as JSON.
///
/// JSON keys: `enabled`, `mode`, `sign`, `required`, `headers_prefix`, `fields`, `sensitive_attributes`, `lifetime_secs`,
/// `max_value_bytes`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Override {
    enabled: Option<bool>,
    mode: Option<Mode>,
    sign: Option<bool>,
    required: Option<bool>,
    headers_prefix: Option<String>,
    fields: Option<Vec<Field>>,
    sensitive_attributes: Option<Vec<String>>,
    lifetime_secs: Option<u64>,
    max_value_bytes: Option<u64>,
}

impl Override {
    /// No differences.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JSON object.
    ///
    /// # Errors
    /// [`ConfigError::Override`] for anything but one object of known keys, each once, with values of their types;
    /// [`ConfigError::UnknownWord`] for a mode or field that does not exist.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        if !text.trim_start().starts_with('{') {
            return Err(ConfigError::Override); // serde would read an array as well
        }
        let raw: Raw = serde_json::from_str(text).map_err(|_shape| ConfigError::Override)?;
        let fields = raw.fields.map(|words| words.iter().map(|word| field(word)).collect());
        Ok(Self {
            enabled: raw.enabled,
            mode: raw.mode.map(|word| word.parse()).transpose()?,
            sign: raw.sign,
            required: raw.required,
            headers_prefix: raw.headers_prefix,
            fields: fields.transpose()?,
            sensitive_attributes: raw.sensitive_attributes,
            lifetime_secs: raw.lifetime_secs,
            max_value_bytes: raw.max_value_bytes,
        })
    }

    /// Turns forwarding on or off: off leaves the removal of what the client sent.
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = Some(enabled);
        self
    }

    /// Takes another mode.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Requires an identity, or lets anonymous requests through.
    pub fn required(mut self, required: bool) -> Self {
        self.required = Some(required);
        self
    }

    /// Takes another prefix; the base's is still removed from requests.
    pub fn headers_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.headers_prefix = Some(prefix.into());
        self
    }

    /// Sends other fields.
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields = Some(fields.into_iter().collect());
        self
    }

    /// Holds back more attributes than the base does.
    pub fn sensitive_attributes<T: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = T>,
    ) -> Self {
        self.sensitive_attributes = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Takes a smaller cap for one value; a larger one only by permission, else the base's stays.
    pub fn max_value_bytes(mut self, bytes: u32) -> Self {
        self.max_value_bytes = Some(bytes.into());
        self
    }

    /// The base's options with these differences, if it permits them.
    pub(super) fn apply(&self, base: &ForwardOptions) -> Result<ForwardOptions, ConfigError> {
        let mut local = base.clone();
        let may_weaken = |setting, permitted| {
            let permission = "local_may_weaken";
            if permitted { Ok(()) } else { Err(ConfigError::NotPermitted { setting, permission }) }
        };
        if self.lifetime_secs.is_some_and(|secs| !(1..=3600).contains(&secs)) {
            return Err(ConfigError::OutOfRange { setting: "lifetime_secs" });
        }
        self.switch(&mut local)?;
        self.sign(base, &mut local)?;
        #[cfg(feature = "signed")]
        self.assert(base, &mut local)?;
        self.mint(base, &local)?;
        if let Some(required) = self.required {
            may_weaken("required", required || !base.required || base.may_weaken)?;
            local.required = required;
        }
        if let Some(prefix) = &self.headers_prefix {
            local.prefix.clone_from(prefix);
        }
        if let Some(fields) = &self.fields {
            let fields = Fields::new(fields.iter().copied());
            may_weaken("fields", fields.is_within(base.fields) || base.may_weaken)?;
            local.fields = fields;
        }
        if let Some(names) = &self.sensitive_attributes {
            local.hidden.extend(names.iter().map(String::as_str));
        }
        if let Some(bytes) = self.max_value_bytes {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            local.max_value = if base.may_weaken { bytes } else { bytes.min(base.max_value) };
        }
        Ok(local)
    }

    /// Whether and for how long it is signed afterwards: less only by permission.
    #[cfg(feature = "signed")]
    fn sign(&self, base: &ForwardOptions, local: &mut ForwardOptions) -> Result<(), ConfigError> {
        let was_signed = base.mode == Mode::SignedHeaders;
        local.mode = match (self.sign, local.mode) {
            (Some(true), Mode::Headers) => Mode::SignedHeaders,
            (Some(false), Mode::SignedHeaders) => Mode::Headers,
            (_, mode) => mode,
        };
        let Some(signing) = local.signing.take() else {
            let setting = if self.sign == Some(true) { "sign" } else { "mode" };
            let asked = self.sign == Some(true) || local.mode == Mode::SignedHeaders;
            return if asked { Err(ConfigError::Unavailable { setting }) } else { Ok(()) };
        };
        if was_signed && local.mode == Mode::Headers && !base.may_weaken {
            let setting = if self.sign == Some(false) { "sign" } else { "mode" };
            return Err(ConfigError::NotPermitted { setting, permission: "local_may_weaken" });
        }
        local.signing = Some(match self.lifetime_secs {
            Some(secs) if base.may_weaken || secs < signing.life_secs() => {
                signing.lifetime(Duration::from_secs(secs))
            }
            _ => signing,
        });
        Ok(())
    }

    /// Whether and for how long it is stated afterwards: plain headers instead only by permission.
    #[cfg(feature = "signed")]
    fn assert(&self, base: &ForwardOptions, local: &mut ForwardOptions) -> Result<(), ConfigError> {
        if local.mode == Mode::Assertion && local.assertions.is_none() {
            return Err(ConfigError::Unavailable { setting: "mode" });
        }
        let weaker = base.mode == Mode::Assertion && local.mode == Mode::Headers;
        if weaker && !base.may_weaken {
            let (setting, permission) = ("mode", "local_may_weaken");
            return Err(ConfigError::NotPermitted { setting, permission });
        }
        let Some((secs, assertions)) = self.lifetime_secs.zip(local.assertions.as_ref()) else {
            return Ok(());
        };
        let life = Duration::from_secs(secs);
        if base.may_weaken || life < assertions.life() {
            local.assertions = Some(assertions.clone().lifetime(life)?);
        }
        Ok(())
    }

    /// Whether it is minted afterwards, and by the same source: what proves less only by permission.
    fn mint(&self, base: &ForwardOptions, local: &ForwardOptions) -> Result<(), ConfigError> {
        let setting = "mode";
        let has_source = local.mint.as_ref().is_some_and(|mint| mint.mode() == local.mode);
        if local.mode.mints() && !has_source {
            return Err(ConfigError::Unavailable { setting });
        }
        let weaker = base.mode.mints() && matches!(local.mode, Mode::Headers | Mode::Passthrough);
        if weaker && base.mode != local.mode && !base.may_weaken {
            return Err(ConfigError::NotPermitted { setting, permission: "local_may_weaken" });
        }
        Ok(())
    }

    #[cfg(not(feature = "signed"))]
    fn sign(&self, _base: &ForwardOptions, _local: &mut ForwardOptions) -> Result<(), ConfigError> {
        if self.sign == Some(true) {
            return Err(ConfigError::Unavailable { setting: "sign" });
        }
        Ok(())
    }

    /// What is on afterwards. Switching on is `enabled` or another mode than off; either way the base must permit it.
    fn switch(&self, local: &mut ForwardOptions) -> Result<(), ConfigError> {
        let was_on = local.is_on();
        if let Some(enabled) = self.enabled {
            local.enabled = enabled;
        }
        local.mode = match (self.mode, local.mode) {
            (Some(mode), _) => mode,
            (None, Mode::Off) if self.enabled == Some(true) => Mode::Headers, // the one mode that needs no means
            (None, mode) => mode,
        };
        if local.is_on() && !was_on && !local.may_enable {
            return Err(ConfigError::NotPermitted {
                setting: "enabled",
                permission: "local_may_enable",
            });
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    enabled: Option<bool>,
    mode: Option<String>,
    sign: Option<bool>,
    required: Option<bool>,
    headers_prefix: Option<String>,
    fields: Option<Vec<String>>,
    sensitive_attributes: Option<Vec<String>>,
    lifetime_secs: Option<u64>,
    max_value_bytes: Option<u64>,
}

fn field(word: &str) -> Result<Field, ConfigError> {
    let known = FIELDS.iter().find(|(_, known, ..)| *known == word);
    known.map(|(field, ..)| *field).ok_or(ConfigError::UnknownWord { setting: "fields" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json() {
        let new = Override::new;
        for (name, text, want) in [
            ("FA8 nothing", "{}", Ok(new())),
            ("F163 null inherits", r#"{"enabled":null,"fields":null}"#, Ok(new())),
            ("FA7", r#"{"enabled":true,"headers_prefix":"X-GW-User"}"#, {
                Ok(new().enabled(true).headers_prefix("X-GW-User"))
            }),
            (
                "F167",
                r#"{"fields":["id","full_name"]}"#,
                Ok(new().fields([Field::Id, Field::FullName])),
            ),
            (
                "F165",
                r#"{"mode":"headers","required":false}"#,
                Ok(new().mode(Mode::Headers).required(false)),
            ),
            ("F168", r#"{"sensitive_attributes":["x"]}"#, Ok(new().sensitive_attributes(["x"]))),
            ("F169", r#"{"max_value_bytes":100}"#, Ok(new().max_value_bytes(100))),
            ("FA8 unknown key", r#"{"enable":true}"#, Err(ConfigError::Override)),
            ("FA8 wrong type", r#"{"required":"no"}"#, Err(ConfigError::Override)),
            ("F163 key twice", r#"{"enabled":true,"enabled":false}"#, Err(ConfigError::Override)),
            ("F163 no object", "[true]", Err(ConfigError::Override)),
            ("F163 text after", "{} {}", Err(ConfigError::Override)),
            ("F163 negative", r#"{"max_value_bytes":-1}"#, Err(ConfigError::Override)),
            ("F78", r#"{"mode":"on"}"#, Err(ConfigError::UnknownWord { setting: "mode" })),
            (
                "F167 unknown",
                r#"{"fields":["nick"]}"#,
                Err(ConfigError::UnknownWord { setting: "fields" }),
            ),
        ] {
            assert_eq!(Override::from_json(text), want, "{name}");
        }
    }
}
