//! Who and what is there at the start: what a seed file says.

use serde::Deserialize;

/// The built-in seed: two workspaces, an app for each access mode, and tokens that may do more or less.
pub const EMBEDDED: &str = include_str!("seed.json");

/// A seed file. What it does not know is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    pub accounts: Vec<Account>,
    pub workspaces: Vec<Workspace>,
    pub members: Vec<Member>,
    pub apps: Vec<App>,
    pub tokens: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub id: String,
    #[serde(default = "active")]
    pub status: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    pub id: String,
    #[serde(default = "active")]
    pub status: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub workspace: String,
    pub account: String,
    pub role: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub id: String,
    pub workspace: String,
    #[serde(default = "private")]
    pub access_mode: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub permitted: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    pub name: String,
    pub kind: String,
    pub account: Option<String>,
    pub external: Option<External>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default = "one_day")]
    pub ttl_s: i64,
    pub workspace: Option<String>,
    #[serde(default)]
    pub revoked: bool,
    pub token: Option<String>,
    #[serde(default = "demo")]
    pub client_id: String,
}

/// An external subject, here and in what the admin address takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    pub issuer: String,
    pub subject: String,
    pub email: Option<String>,
}

impl Seed {
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// 1 to 32 characters.
pub fn is_access_mode(word: &str) -> bool {
    (1..=32).contains(&word.chars().count())
}

fn active() -> String {
    "active".to_owned()
}

fn private() -> String {
    "private".to_owned()
}

fn yes() -> bool {
    true
}

fn one_day() -> i64 {
    86_400
}

fn demo() -> String {
    "demo".to_owned()
}
