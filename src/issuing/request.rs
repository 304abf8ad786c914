//! May this token be minted? A plain function of the request, the registry and the time.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{ClientId, TokenId, WorkspaceId};
use crate::issuing::{IssuerError, PolicyFault, PolicyViolation};
use crate::scope::{Scope, ScopeSet};
use crate::store::NewToken;
use crate::subject::Subject;
use crate::token::{Kind, TokenKinds, TokenLabel};

/// What is asked of an [`Issuer`](crate::issuing::Issuer).
///
/// Texts are taken as they come and judged together when the token is minted.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until an issuer gets it"]
pub struct MintRequest {
    kind: String,
    subject: Subject,
    client_id: String,
    label: String,
    scopes: Vec<String>,
    ttl: Option<Duration>,
    workspace: Option<WorkspaceId>,
    issued_at: Option<Timestamp>,
}

impl MintRequest {
    /// Asks for a token of the kind of this name, for a subject and the client that will hold it.
    ///
    /// Subject, client and label are the identity of the token: a later mint of the same three replaces it.
    pub fn new(
        kind: impl Into<String>,
        subject: Subject,
        client_id: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            kind: kind.into(),
            subject,
            client_id: client_id.into(),
            label: label.into(),
            scopes: Vec::new(),
            ttl: None,
            workspace: None,
            issued_at: None,
        }
    }

    /// The scopes of the record. Default none, which a kind with a ceiling refuses and one of fixed scopes ignores.
    pub fn scopes<I>(mut self, scopes: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }

    /// How long it is valid, in whole milliseconds. Default and bounds: the issuer's [`TtlBounds`] for the kind.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Binds it to one workspace: it then counts in no other.
    pub fn workspace(mut self, workspace: WorkspaceId) -> Self {
        self.workspace = Some(workspace);
        self
    }

    /// From when its time runs. Default now; an earlier time gives a token that is used up in part, or expired.
    pub fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// Judges the request; `bounds` gives those of a kind.
    pub(super) fn judge<'k>(
        &'k self,
        kinds: &'k TokenKinds,
        bounds: impl FnOnce(&Kind) -> TtlBounds,
        now: Timestamp,
    ) -> Result<Judged<'k>, PolicyViolation> {
        let unknown = || PolicyViolation::new(vec![PolicyFault::Kind]);
        let kind = kinds.get(&self.kind).ok_or_else(unknown)?;
        let bounds = bounds(kind);
        let ttl = self.ttl.unwrap_or(bounds.default);
        let issued_at = self.issued_at.unwrap_or(now);
        let scopes = self.record_scopes(kind);
        let label = TokenLabel::new(&self.label).ok();
        let client_id = ClientId::new(&self.client_id).ok().filter(|id| id.as_str() != PERSONAL);
        let local =
            matches!(&self.subject, Subject::External { issuer, .. } if issuer.as_str() == LOCAL);
        let faults = [
            (PolicyFault::Subject, self.subject.subject_type() != kind.subject_type()),
            (PolicyFault::Issuer, local),
            (PolicyFault::Scopes, scopes.is_none()),
            (PolicyFault::Ttl, !bounds.allow(ttl) || issued_at > now),
            (PolicyFault::Label, label.is_none()),
            (PolicyFault::Client, client_id.is_none()),
        ];
        let faults: Vec<PolicyFault> =
            faults.into_iter().filter_map(|(fault, there)| there.then_some(fault)).collect();
        match (scopes, label, client_id) {
            (Some(scopes), Some(label), Some(client_id)) if faults.is_empty() => {
                Ok(Judged { request: self, kind, scopes, label, client_id, issued_at, ttl })
            }
            _ => Err(PolicyViolation::new(faults)),
        }
    }

    /// The scopes as the record will have them; `None` if the kind does not give them.
    fn record_scopes(&self, kind: &Kind) -> Option<ScopeSet> {
        let scopes: Option<ScopeSet> =
            self.scopes.iter().map(|name| Scope::new(name).ok()).collect();
        let covered = |scopes: &ScopeSet| {
            !kind.is_narrowed()
                || !scopes.is_empty() && scopes.iter().all(|scope| kind.most().covers(scope))
        };
        scopes.filter(|scopes| covered(scopes) && scopes.to_string().len() <= MAX_SCOPES_LENGTH)
    }
}

/// A request that the policy allows.
#[derive(Debug)]
pub(super) struct Judged<'k> {
    request: &'k MintRequest,
    pub(super) kind: &'k Kind,
    scopes: ScopeSet,
    label: TokenLabel,
    client_id: ClientId,
    pub(super) issued_at: Timestamp,
    ttl: Duration,
}

impl Judged<'_> {
    /// What the ledger is asked to store.
    pub(super) fn new_token(&self, id: TokenId) -> NewToken {
        NewToken {
            id,
            kind: self.kind.name().to_owned(),
            subject: self.request.subject.clone(),
            client_id: self.client_id.clone(),
            label: self.label.clone(),
            scopes: self.scopes.clone(),
            workspace: self.request.workspace.clone(),
            expires_at: self.issued_at.saturating_add(self.ttl),
        }
    }
}

/// How long tokens of a kind may be valid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TtlBounds {
    min: Duration,
    default: Duration,
    max: Duration,
}

impl TtlBounds {
    /// From `min` to `max`, both allowed, and `default` where a request names none.
    ///
    /// # Errors
    ///
    /// [`IssuerError::BadTtlBounds`] unless 1 s ≤ `min` ≤ `default` ≤ `max` ≤ 3,650 days.
    pub fn new(min: Duration, default: Duration, max: Duration) -> Result<Self, IssuerError> {
        let sound =
            min >= Duration::from_secs(1) && min <= default && default <= max && max <= 3_650 * DAY;
        sound.then_some(Self { min, default, max }).ok_or(IssuerError::BadTtlBounds)
    }

    fn allow(&self, ttl: Duration) -> bool {
        (self.min..=self.max).contains(&ttl)
    }
}

impl Default for TtlBounds {
    /// From 60 s to 365 days, 14 days where a request names none.
    fn default() -> Self {
        Self { min: Duration::from_secs(60), default: 14 * DAY, max: 365 * DAY }
    }
}

/// The issuer of accounts: no identity provider is called so.
const LOCAL: &str = "local";

/// The client of personal tokens, which are not minted by this road.
const PERSONAL: &str = "personal";

const MAX_SCOPES_LENGTH: usize = 4_096;

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AccountId, ExternalId, Issuer};
    use crate::subject::SubjectType;
    use crate::token::TokenKind;

    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_000);

    fn kinds() -> TokenKinds {
        let account = TokenKind::new("account").prefix("tba_").subject(SubjectType::Account);
        let external = TokenKind::new("external").prefix("tbe_").subject(SubjectType::External);
        TokenKinds::builder()
            .kind(account.narrowed(["apps:manage"]))
            .kind(external.fixed(["apps:run"]))
            .implies("apps:manage", ["apps:read", "apps:run"])
            .build()
            .unwrap()
    }

    fn account() -> Subject {
        Subject::Account { id: AccountId::new("acc-1").unwrap() }
    }

    fn external(issuer: &str) -> Subject {
        let (issuer, subject) = (Issuer::new(issuer).unwrap(), ExternalId::new("guest-1").unwrap());
        Subject::External { issuer, subject, email: None }
    }

    fn asked(kind: &str, subject: Subject) -> MintRequest {
        MintRequest::new(kind, subject, "cli", "laptop").scopes(["apps:read"])
    }

    fn verdict(request: &MintRequest) -> Result<NewToken, String> {
        let kinds = kinds();
        let judged = request.judge(&kinds, |_| TtlBounds::default(), NOW);
        let id = TokenId::new("tok_1").unwrap();
        judged.map(|judged| judged.new_token(id)).map_err(|violation| violation.to_string())
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let secs = Duration::from_secs;
        let good = || asked("account", account());
        let labelled = |label: &str| MintRequest { label: label.to_owned(), ..good() };
        let for_client = |id: &str| MintRequest { client_id: id.to_owned(), ..good() };
        let guest = || asked("external", external("https://idp.example"));
        let everything = MintRequest::new("account", external("local"), "a b", "").ttl(secs(0));
        for (name, request, want) in [
            ("DM4 all is well", good(), Ok(())),
            ("D7 unknown kind", asked("zzz", account()).ttl(secs(59)), Err("kind")),
            (
                "D7",
                asked("account", external("https://idp.example"))
                    .scopes(["admin:all"])
                    .ttl(secs(59)),
                Err("subject, scopes, ttl"),
            ),
            ("DM4 every one", everything, Err("subject, issuer, scopes, ttl, label, client")),
            ("DM5 an external local", asked("external", external("local")), Err("issuer")),
            ("DM6 nothing asked", good().scopes([""; 0]), Err("scopes")),
            ("DM6 implied by the ceiling", good().scopes(["apps:read", "apps:run"]), Ok(())),
            ("DM6 one beyond", good().scopes(["apps:read", "apps:write"]), Err("scopes")),
            ("P308 a bad scope is not dropped", good().scopes(["apps:read", "a b"]), Err("scopes")),
            ("DM6 fixed, nothing asked", guest().scopes([""; 0]), Ok(())),
            ("P1413 fixed, anything asked", guest().scopes(["admin:all"]), Ok(())),
            ("1.2 scopes of 4,096 bytes", guest().scopes(names(4_096)), Ok(())),
            ("1.2 scopes of 4,097 bytes", guest().scopes(names(4_097)), Err("scopes")),
            ("D9 60 s", good().ttl(secs(60)), Ok(())),
            ("DM7 59.999 s", good().ttl(Duration::from_millis(59_999)), Err("ttl")),
            ("D9 365 d", good().ttl(365 * DAY), Ok(())),
            ("D9 365 d + 1 s", good().ttl(365 * DAY + secs(1)), Err("ttl")),
            ("DM14 earlier", good().issued_at(NOW.saturating_sub(DAY)), Ok(())),
            (
                "DM7 no way around by a later one",
                good().issued_at(NOW.saturating_add(secs(1))),
                Err("ttl"),
            ),
            ("D11 white space", labelled("  my   laptop "), Ok(())),
            ("D11 65 characters", labelled(&"a".repeat(65)), Err("label")),
            ("D11 U+202E", labelled("a\u{202E}b"), Err("label")),
            ("DM5 64 bytes of client", for_client(&"a".repeat(64)), Ok(())),
            ("DM5 65 bytes of client", for_client(&"a".repeat(65)), Err("client")),
            ("DM5 personal", for_client("personal"), Err("client")),
        ] {
            let want = want.map_err(|names| format!("mint_policy_violation: {names}"));
            assert_eq!(verdict(&request).map(|_| ()), want, "{name}");
        }
    }

    /// Scopes that make up `length` bytes with the spaces between them.
    fn names(length: usize) -> Vec<String> {
        let mut names: Vec<String> = (0..length / 100).map(|at| format!("{at:099}")).collect();
        names.push("x".repeat(length % 100));
        names
    }

    #[test]
    fn what_is_stored() {
        let request = MintRequest::new("account", account(), "cli", "  my   laptop ");
        let new = verdict(&request.scopes(["apps:run", "apps:read", "apps:run"])).unwrap();
        assert_eq!(new.label().as_str(), "my laptop", "D11");
        assert_eq!(new.scopes().to_string(), "apps:read apps:run", "1.2 sorted, once each");
        assert_eq!(new.expires_at().as_millis(), NOW.as_millis() + 1_209_600_000, "D2");
        let early = asked("account", account()).issued_at(NOW.saturating_sub(DAY));
        let expired = verdict(&early.ttl(Duration::from_secs(60))).unwrap();
        assert_eq!(expired.expires_at().as_millis(), NOW.as_millis() - 86_340_000, "DM14");
    }

    #[test]
    fn bounds() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let bad = Err(IssuerError::BadTtlBounds);
        for (name, min, default, max, want) in [
            ("D10 min > default", 60 * minute, 30 * minute, DAY, bad.clone()),
            ("D10 max > 3,650 d", minute, 14 * DAY, 3_651 * DAY, bad.clone()),
            ("DM7 default > max", minute, 2 * DAY, DAY, bad.clone()),
            ("DM7 min < 1 s", Duration::from_millis(999), minute, DAY, bad),
            ("DM7 widest", second, second, 3_650 * DAY, Ok(())),
        ] {
            assert_eq!(TtlBounds::new(min, default, max).map(|_| ()), want, "{name}");
        }
    }
}
