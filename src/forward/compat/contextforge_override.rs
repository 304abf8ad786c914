//! What may one upstream of contextforge have differently?
//!
//! 1. Absent and `null` both mean: as the preset has it.
//! 2. What proves less or sends more needs a permission of the preset.

use serde::Deserialize;

use super::contextforge_preset::{Carriers, ContextForge};
use crate::forward::attribute::Sensitive;
use crate::forward::error::ConfigError;

pub(super) fn apply(base: &ContextForge, json: &str) -> Result<ContextForge, ConfigError> {
    if !json.trim_start().starts_with('{') {
        return Err(ConfigError::Override); // serde would read an array as well
    }
    let raw: Raw = serde_json::from_str(json).map_err(|_shape| ConfigError::Override)?;
    let mut local = base.clone();
    local.enabled = raw.enabled.unwrap_or(base.enabled);
    if local.enabled && !base.enabled && !base.may_enable {
        return Err(refused("enabled", "local_may_enable"));
    }
    if let Some(mode) = raw.mode {
        local.carriers = carriers(&mode)?;
    }
    if let Some(prefix) = raw.headers_prefix {
        local.prefix = prefix;
    }
    match raw.sign_claims {
        Some(true) if base.key.is_none() => {
            return Err(ConfigError::Unavailable { setting: "sign_claims" });
        }
        Some(false) => local.key = None,
        Some(true) | None => {}
    }
    let signs = |preset: &ContextForge| preset.key.is_some() && preset.carriers != Carriers::Meta;
    if signs(base) && !signs(&local) && !base.may_weaken {
        let setting = if local.key.is_none() { "sign_claims" } else { "mode" };
        return Err(refused(setting, "local_may_weaken"));
    }
    if let Some(names) = raw.sensitive_attributes {
        let names = names.iter().map(String::as_str);
        if base.may_weaken {
            local.hidden = Sensitive::new(names);
        } else {
            local.hidden.extend(names);
        }
    }
    if let Some(names) = raw.allowed_attributes {
        let mut names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        if let Some(allowed) = base.allowed.as_ref().filter(|_| !base.may_weaken) {
            names.retain(|name| allowed.contains(name));
        }
        local.allowed = Some(names);
    }
    Ok(local)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    enabled: Option<bool>,
    mode: Option<String>,
    headers_prefix: Option<String>,
    sign_claims: Option<bool>,
    sensitive_attributes: Option<Vec<String>>,
    allowed_attributes: Option<Vec<String>>,
}

fn carriers(word: &str) -> Result<Carriers, ConfigError> {
    match word {
        "headers" => Ok(Carriers::Headers),
        "meta" => Ok(Carriers::Meta),
        "both" => Ok(Carriers::Both),
        _ => Err(ConfigError::UnknownWord { setting: "mode" }),
    }
}

fn refused(setting: &'static str, permission: &'static str) -> ConfigError {
    ConfigError::NotPermitted { setting, permission }
}
