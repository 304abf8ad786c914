//! From a request to a token that is stored and shown once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::audit::{Event, EventName};
use crate::authenticator::{Authenticator, Ledger, detached, within_deadline};
use crate::clock::{Moment, Timestamp};
use crate::id::TokenId;
use crate::issuing::request::Judged;
use crate::issuing::{IssueError, IssuerError, MintRequest, PolicyViolation, TtlBounds};
use crate::key::to_hex;
use crate::scope::ScopeSet;
use crate::store::{MintOutcome, MintStop, Minted, NewToken};
use crate::token::mint::mint;
use crate::token::{Digest, Kind, MintError, PlainToken};

/// Issues tokens that its authenticator accepts.
///
/// A clone shares everything and costs two reference counts.
///
/// ```
/// use tower_bearer::Authenticator;
/// use tower_bearer::id::AccountId;
/// use tower_bearer::issuing::{Issuer, MintRequest};
/// use tower_bearer::store::{AccountStatus, MemoryStore};
/// use tower_bearer::subject::{Subject, SubjectType};
/// use tower_bearer::token::{TokenKind, TokenKinds};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let account = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account).narrowed(["apps:read"]);
/// let store = MemoryStore::new();
/// let kinds = TokenKinds::builder().kind(account).build()?;
/// let auth = Authenticator::builder(kinds, store.clone()).ledger(store.clone()).build()?;
///
/// let id = AccountId::new("acc-1")?;
/// store.put_account(id.clone(), AccountStatus::Active);
/// let request = MintRequest::new("account", Subject::Account { id }, "cli", "laptop").scopes(["apps:read"]);
/// let issued = Issuer::new(&auth)?.mint(&request).await?;
/// assert!(auth.authenticate(issued.token().expose()).await.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Issuer {
    auth: Authenticator,
    ledger: Arc<dyn Ledger>,
    /// By kind; the default for all others.
    bounds: HashMap<String, TtlBounds>,
}

/// A token that was just issued, with its text. `Debug` shows its id and kind alone.
pub struct IssuedToken {
    token: PlainToken,
    id: TokenId,
    serial: u64,
    kind: String,
    scopes: ScopeSet,
    expires_at: Timestamp,
    is_rotation: bool,
}

/// Live tokens of one subject, at most. Mints at once may pass it by their number.
const CAP: u32 = 100;

impl Issuer {
    /// Issues into the ledger of `auth`, and tells its caches and its audit.
    ///
    /// # Errors
    ///
    /// [`IssuerError::NoLedger`] if `auth` was built without one.
    pub fn new(auth: &Authenticator) -> Result<Self, IssuerError> {
        let ledger = Arc::clone(auth.ledger().ok_or(IssuerError::NoLedger)?);
        Ok(Self { auth: auth.clone(), ledger, bounds: HashMap::new() })
    }

    /// Sets how long tokens of one kind may be valid. Default [`TtlBounds::default`].
    ///
    /// # Errors
    ///
    /// [`IssuerError::UnknownKind`] if the authenticator has no such kind.
    pub fn with_ttl_bounds(mut self, kind: &str, bounds: TtlBounds) -> Result<Self, IssuerError> {
        let unknown = || IssuerError::UnknownKind { kind: kind.to_owned() };
        self.auth.kinds().get(kind).ok_or_else(unknown)?;
        self.bounds.insert(kind.to_owned(), bounds);
        Ok(self)
    }

    /// Makes a new token and stores it; the live one of the same subject, client and label dies in the same commit.
    ///
    /// The secret is 32 bytes (or what its kind says) from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`IssueError::Policy`] names every fault of the request. [`IssueError::NotMade`] without random bytes, or for a
    /// kind whose tokens are made elsewhere. [`IssueError::AccountNotActive`] and [`IssueError::TooMany`] as the ledger
    /// says. [`IssueError::Undecidable`] if the ledger did not say: ask again.
    ///
    /// # Cancel safety
    ///
    /// Once the ledger was asked the mint runs to its end; whoever hung up does not get the token, and the next mint of
    /// the same subject, client and label replaces it.
    pub async fn mint(&self, request: &MintRequest) -> Result<IssuedToken, IssueError> {
        let now = self.auth.read_clock();
        let judged = self.judge(request, now)?;
        let token = mint(judged.kind)?;
        self.issue(&judged, token, now).await
    }

    /// Stores a token whose text is given, as [`mint`](Self::mint) does with a new one. For seeds.
    ///
    /// A text that was given before for the same subject, client and label stays valid.
    ///
    /// # Errors
    ///
    /// As [`mint`](Self::mint), and [`IssueError::BadText`] for a text that is no token of the kind asked for.
    ///
    /// # Cancel safety
    ///
    /// As [`mint`](Self::mint).
    pub async fn adopt(
        &self,
        text: &str,
        request: &MintRequest,
    ) -> Result<IssuedToken, IssueError> {
        let now = self.auth.read_clock();
        let judged = self.judge(request, now)?;
        match self.auth.kinds().classify(text) {
            Ok(kind) if kind == judged.kind => {}
            Ok(_) | Err(_) => {
                return Err(IssueError::BadText { kind: judged.kind.name().to_owned() });
            }
        }
        self.issue(&judged, PlainToken::adopted(text), now).await
    }

    fn judge<'k>(
        &'k self,
        request: &'k MintRequest,
        now: Moment,
    ) -> Result<Judged<'k>, PolicyViolation> {
        let bounds = |kind: &Kind| self.bounds.get(kind.name()).copied().unwrap_or_default();
        request.judge(self.auth.kinds(), bounds, now.wall())
    }

    async fn issue(
        &self,
        judged: &Judged<'_>,
        token: PlainToken,
        now: Moment,
    ) -> Result<IssuedToken, IssueError> {
        let digest = Digest::of(token.expose());
        let new = judged.new_token(new_token_id()?);
        let (this, issued_at) = (self.clone(), judged.issued_at);
        let scopes = judged.kind.rights(new.scopes()).granted().clone();
        let (kind, expires_at) = (new.kind().to_owned(), new.expires_at());
        let outcome = detached(async move {
            let commit = this.ledger.mint(&new, &digest, CAP, issued_at);
            let outcome = within_deadline(commit).await?;
            if let MintOutcome::Minted(minted) = &outcome {
                if let Some(replaced) = minted.replaced {
                    // late or not: the mint stands, and the audit hears of the bus
                    let _bus = this.auth.bury(&[replaced], None).await;
                }
                this.tell(&new, &digest, minted, now);
            }
            Ok(outcome)
        });
        match outcome.await? {
            MintOutcome::Minted(Minted { id, serial, replaced }) => {
                let is_rotation = replaced.is_some();
                Ok(IssuedToken { token, id, serial, kind, scopes, expires_at, is_rotation })
            }
            MintOutcome::Stopped(MintStop::AccountNotActive) => Err(IssueError::AccountNotActive),
            MintOutcome::Stopped(MintStop::TooMany) => Err(IssueError::TooMany),
        }
    }

    /// After the commit, before the answer: the old token is refused, the new one is not.
    fn tell(&self, new: &NewToken, digest: &Digest, minted: &Minted, now: Moment) {
        self.auth.welcome(digest);
        let name = match minted.replaced {
            Some(_) => EventName::TokenRotated,
            None => EventName::TokenMinted,
        };
        let subject = new.subject.key();
        self.auth.audit().record(&Event {
            kind: Some(&new.kind),
            token_id: Some(minted.id.as_str()),
            subject: Some(subject.as_str()),
            client_id: Some(new.client_id.as_str()),
            workspace: new.workspace.as_ref().map(|workspace| workspace.as_str()),
            ..Event::new(name, now.wall())
        });
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("auth", &self.auth)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl IssuedToken {
    /// The token itself: the only copy there is.
    pub fn token(&self) -> &PlainToken {
        &self.token
    }

    /// Its public name; a rotation keeps the earlier one.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The place of this mint in the order of all mints.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The name of its kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it is granted: its own scopes, or those of its kind where these are fixed.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Did another token die for it?
    pub fn is_rotation(&self) -> bool {
        self.is_rotation
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// `tok_` and 32 hex digits.
fn new_token_id() -> Result<TokenId, MintError> {
    let no_bytes = |reason: String| MintError::NoRandomBytes { reason };
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| no_bytes(error.to_string()))?;
    TokenId::new(format!("tok_{}", to_hex(&bytes))).map_err(|error| no_bytes(error.to_string()))
}
