//! Where secrets could come out: what is logged, told, answered, printed and panicked, searched for each of them.

use std::fmt;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tower_bearer::audit::{AuditSink, Event, TracingSink};
use tower_bearer::clock::Timestamp;
use tower_bearer::id::{AccountId, AppId, TokenId, WorkspaceId};
use tower_bearer::store::{
    Answer, AppRecord, AppStore, Ask, CallerSource, LedgerRevocation, Membership, MembershipStore,
    MemoryCaller, MemoryStore, MemoryWindows, MintOutcome, MountRequest, Mounted, NewToken,
    RevokeReason, RevokeTarget, TokenLedger, TokenRecord, TokenStore, WindowStore,
};
use tower_bearer::subject::Subject;
use tower_bearer::token::Digest;
use tracing::field::{Field, Visit};
use tracing::{Metadata, Subscriber, span};

/// Stands in every secret text of the test.
pub(crate) const CANARY: &str = "CaNaRy0";

/// Everything that was seen so far, and how many of it held a secret.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    secrets: Mutex<Vec<String>>,
    places: AtomicUsize,
    hits: Mutex<Vec<String>>,
}

impl Watch {
    /// Nothing that is looked at may hold this text either.
    pub(crate) fn keep_secret(&self, text: impl Into<String>) {
        self.inner.secrets.lock().unwrap().push(text.into());
    }

    /// Of a token: its text, and any eight hex digits of its digest but the first.
    pub(crate) fn keep_token_secret(&self, token: &str) {
        self.keep_secret(token);
        self.keep_secret(&Digest::of(token).to_hex()[8..24]);
    }

    pub(crate) fn look(&self, place: impl fmt::Display, text: &str) {
        self.inner.places.fetch_add(1, Ordering::Relaxed);
        let secrets = self.inner.secrets.lock().unwrap();
        if text.contains(CANARY) || secrets.iter().any(|secret| text.contains(secret.as_str())) {
            self.inner.hits.lock().unwrap().push(format!("{place}: {text}"));
        }
    }

    pub(crate) fn look_at(&self, place: impl fmt::Display, value: &impl fmt::Debug) {
        self.look(&place, &format!("{value:?}"));
        self.look(place, &format!("{value:#?}"));
    }

    /// An error as it is shown; what lies under it belongs to whoever asks for `source`.
    pub(crate) fn look_at_error(&self, place: impl fmt::Display, error: &impl std::error::Error) {
        self.look(&place, &error.to_string());
        self.look_at(place, error);
    }

    pub(crate) fn places(&self) -> usize {
        self.inner.places.load(Ordering::Relaxed)
    }

    pub(crate) fn hits(&self) -> Vec<String> {
        self.inner.hits.lock().unwrap().clone()
    }

    /// Looks at each panic of the crate's own, and keeps all of them off the terminal.
    pub(crate) fn panics(&self) {
        let (watch, theirs) = (self.clone(), panic::take_hook());
        panic::set_hook(Box::new(move |info| {
            let file = info.location().map_or("", |location| location.file());
            let whole = info.to_string();
            if file.starts_with("src/") {
                watch.look("a panic", &whole);
            } else if !whole.contains("a store's own bug") {
                theirs(info);
            }
        }));
    }
}

/// Looks at every field of every span and event, of every level and target.
impl Subscriber for Watch {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Fields { watch: self, of: span.metadata() });
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        struct All<'w>(&'w Watch);
        impl Visit for All<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                self.0.look(format_args!("a span's {field}"), &format!("{value:?}"));
            }
        }
        values.record(&mut All(self));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields { watch: self, of: event.metadata() });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Fields<'w> {
    watch: &'w Watch,
    of: &'static Metadata<'static>,
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let place = format_args!("{} {} {field}", self.of.target(), self.of.level());
        self.watch.look(place, &format!("{value:?}"));
    }
}

/// Looks at each event, then logs it as the default sink does.
impl AuditSink for Watch {
    fn record(&self, event: &Event<'_>) {
        self.look_at(event.name.as_str(), event);
        TracingSink::new().record(event);
    }
}

/// What the stores do when they are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mood {
    Answer,
    Fail,
    Panic,
    Hang,
}

/// One of the ports that can have a mood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Tokens,
    Ledger,
    Apps,
    Members,
    Callers,
    Windows,
    Policy,
}

/// A memory store whose errors and panics say too much.
#[derive(Clone)]
pub(crate) struct Leaky {
    pub(crate) rows: MemoryStore,
    windows: Arc<MemoryWindows>,
    mood: Arc<Mutex<(Option<Part>, Mood)>>,
}

/// Says everything, to `Display` and `Debug` alike.
#[derive(Clone, thiserror::Error)]
#[error("no answer from postgres://app:CaNaRy0-password@db.internal: SELECT 'CaNaRy0'")]
pub(crate) struct TooMuch;

impl fmt::Debug for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TooMuch({self})")
    }
}

impl Leaky {
    pub(crate) fn new(rows: MemoryStore) -> Self {
        let mood = Arc::new(Mutex::new((None, Mood::Answer)));
        Self { rows, windows: Arc::default(), mood }
    }

    pub(crate) fn set(&self, part: Part, mood: Mood) {
        *self.mood.lock().unwrap() = (Some(part), mood);
    }

    pub(crate) async fn mood_of(&self, part: Part) -> Result<(), TooMuch> {
        let (of, mood) = *self.mood.lock().unwrap();
        match mood {
            _ if of != Some(part) => Ok(()),
            Mood::Answer => Ok(()),
            Mood::Fail => Err(TooMuch),
            Mood::Panic => panic!("a store's own bug, {CANARY} and all"),
            Mood::Hang => std::future::pending().await,
        }
    }
}

/// Asks the rows, once the part's mood allows it.
macro_rules! ask {
    ($self:ident, $part:ident, $call:expr) => {{
        $self.mood_of(Part::$part).await?;
        $call.await.map_err(|_lost| TooMuch)
    }};
}

impl TokenStore for Leaky {
    type Error = TooMuch;

    async fn find(&self, digest: &Digest) -> Result<Option<TokenRecord>, TooMuch> {
        ask!(self, Tokens, self.rows.find(digest))
    }
}

impl AppStore for Leaky {
    type Error = TooMuch;

    async fn app(&self, app: &AppId) -> Result<Option<AppRecord>, TooMuch> {
        ask!(self, Apps, self.rows.app(app))
    }

    async fn permitted(&self, app: &AppId, account: &AccountId) -> Result<bool, TooMuch> {
        ask!(self, Apps, self.rows.permitted(app, account))
    }
}

impl MembershipStore for Leaky {
    type Error = TooMuch;

    async fn membership(
        &self,
        account: &AccountId,
        workspace: &WorkspaceId,
    ) -> Result<Option<Membership>, TooMuch> {
        ask!(self, Members, self.rows.membership(account, workspace))
    }
}

impl CallerSource for Leaky {
    type Caller = MemoryCaller;
    type Error = TooMuch;

    async fn mount(&self, request: &MountRequest) -> Result<Mounted<MemoryCaller>, TooMuch> {
        ask!(self, Callers, self.rows.callers().mount(request))
    }
}

impl WindowStore for Leaky {
    type Error = TooMuch;

    async fn admit(&self, ask: &Ask<'_>) -> Result<Answer, TooMuch> {
        ask!(self, Windows, self.windows.admit(ask))
    }
}

impl TokenLedger for Leaky {
    type Error = TooMuch;

    async fn mint(
        &self,
        new: &NewToken,
        digest: &Digest,
        cap: u32,
        now: Timestamp,
    ) -> Result<MintOutcome, TooMuch> {
        ask!(self, Ledger, self.rows.mint(new, digest, cap, now))
    }

    async fn revoke(
        &self,
        target: &RevokeTarget,
        reason: RevokeReason,
        now: Timestamp,
    ) -> Result<LedgerRevocation, TooMuch> {
        ask!(self, Ledger, self.rows.revoke(target, reason, now))
    }

    async fn revoke_subject(
        &self,
        subject: &Subject,
        except: Option<&TokenId>,
        now: Timestamp,
    ) -> Result<Vec<Digest>, TooMuch> {
        ask!(self, Ledger, self.rows.revoke_subject(subject, except, now))
    }

    async fn cut_workspace(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
    ) -> Result<Option<u64>, TooMuch> {
        ask!(self, Ledger, self.rows.cut_workspace(workspace, now))
    }

    async fn expire(&self, id: &TokenId, digest: &Digest, now: Timestamp) -> Result<bool, TooMuch> {
        ask!(self, Ledger, self.rows.expire(id, digest, now))
    }
}
