//! Tokens that the servers accept in the caller's name, and who gives them: the modes that ask somebody over HTTP.
//!
//! A line of `--links` is one sign-in of one account, for one server:
//!
//! ```json
//! {"upstream":"tools","account":"acc-alice","access_token":"…","refresh_token":"…","expires_at":1700000000}
//! ```

use std::error::Error;

use serde::Deserialize;
use tower_bearer::clock::Timestamp;
use tower_bearer::forward::{ConfigError, Exchange, ForwardOptions, IdpToken, Upstream, UserOidc};
use tower_bearer::id::AccountId;
use tower_bearer::issuer_http::{ClientAuth, HttpIssuer, HttpProvider, TokenExchange};
use tower_bearer::store::{MemoryLinks, UserLink};
use tower_bearer::subject::Subject;
use tower_bearer::{Authenticator, Secret};

use crate::modes::Beside;

/// Whoever is asked.
#[derive(Debug)]
pub enum Minted {
    IdpToken(HttpIssuer),
    Exchange(TokenExchange),
    UserOidc(HttpProvider, MemoryLinks),
}

impl Minted {
    /// What `--forward WORD:URL` names; an `Err` is one line that says what is wrong.
    pub fn read(word: &str, url: &str, beside: Beside<'_>) -> Result<Self, String> {
        let wrong = |error: ConfigError| format!("--forward {word}: {error}");
        let client = client(beside.client)?;
        match word {
            "idp-token" => HttpIssuer::new(url).map(Self::IdpToken).map_err(wrong),
            "exchange" => TokenExchange::new(url, client).map(Self::Exchange).map_err(wrong),
            _ => {
                let provider = HttpProvider::new(url, client).map_err(wrong)?;
                let file = beside.links.ok_or("--forward user-oidc needs --links")?;
                let links = links(file).map_err(|error| format!("--links {file}: {error}"))?;
                Ok(Self::UserOidc(provider, links))
            }
        }
    }

    /// Forwarding to each of the servers.
    pub fn forwards(
        &self,
        auth: &Authenticator,
        upstreams: &[Upstream],
    ) -> Result<Vec<ForwardOptions>, ConfigError> {
        match self {
            Self::IdpToken(issuer) => {
                let tokens = IdpToken::new(auth, issuer.clone());
                let minted = |up: &Upstream| ForwardOptions::idp_token(up.clone(), tokens.clone());
                Ok(upstreams.iter().map(minted).collect())
            }
            Self::Exchange(issuer) => {
                let tokens = Exchange::new(auth, issuer.clone());
                let given = |up: &Upstream| ForwardOptions::exchange(up.clone(), tokens.clone());
                Ok(upstreams.iter().map(given).collect())
            }
            Self::UserOidc(provider, links) => {
                // each server's links are of a provider of their own, whose tokens are for that server alone (RFC 8707)
                let own = |up: &Upstream| {
                    let provider = provider.clone().resource(up.audience())?;
                    let links = UserOidc::new(auth, up.name(), links.clone(), provider);
                    let links = links.for_audience(up.audience());
                    Ok(ForwardOptions::user_oidc(up.clone(), links))
                };
                upstreams.iter().map(own).collect()
            }
        }
    }
}

/// `ID:SECRET`, or a gateway that says nothing of itself.
fn client(text: Option<&str>) -> Result<ClientAuth, String> {
    let Some(text) = text else { return Ok(ClientAuth::none()) };
    let (id, secret) = text.split_once(':').ok_or("--client is not ID:SECRET")?;
    ClientAuth::basic(id, Secret::new(secret)).map_err(|error| format!("--client: {error}"))
}

/// A line of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    upstream: String,
    account: String,
    access_token: String,
    refresh_token: Option<String>,
    expires_at: Option<u64>,
}

fn links(file: &str) -> Result<MemoryLinks, Box<dyn Error>> {
    let links = MemoryLinks::new();
    for (place, line) in (1..).zip(std::fs::read_to_string(file)?.lines()) {
        // its own text could quote a token
        let line: Result<Line, _> = serde_json::from_str(line);
        let line = line.map_err(|_text| format!("line {place} is no link"))?;
        let mut link = UserLink::new(line.access_token);
        link.refresh_token = line.refresh_token.map(Secret::new);
        link.expires_at = line.expires_at.map(Timestamp::from_secs);
        let subject = Subject::Account { id: AccountId::new(line.account)? };
        links.put(&subject.key(), &line.upstream, link);
    }
    Ok(links)
}
