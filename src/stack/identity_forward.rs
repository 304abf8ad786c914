//! What does the upstream learn about the caller? The last of the eight layers.
//!
//! 1. Needs the context, except where forwarding is off; leaves [`Evidence::FORWARDED`].
//! 2. What the client sent goes first, identity goes in last, by replacing: a client neither adds to it nor removes it.
//! 3. Anonymous: 401 where identity is required, else on without it. Never less identity than configured.
//! 4. Looks only for facts that are sent. Computed on each request; no I/O but for a credential that must be minted, and no
//!    allocation where nothing is sent.
//! 5. Answers lose what looks like our identity and, in front of clients, the upstream's own challenge.
//! 6. Running twice is allowed: the second run removes what the first put in.

use http::HeaderName;
use http::request::Parts;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tower_layer::Layer;

use crate::context::AuthContext;
use crate::evidence::Evidence;
use crate::forward::{
    AnswerCleaner, Asked, Challenge, ConfigError, Credential, Edge, EdgeRules, EditIdentity,
    ForwardError, Forwarding, Identity, KeyFault, Mints, Obtaining, Prepared, Sent, Told, known_of,
};
use crate::gate::{Attempt, Gate, Passage, Step, WithoutBody};
use crate::metrics::ForwardMeter;
use crate::rejection::{Reason, Rejection, RejectionKind, StepName};
use crate::stack::origin_guard::OriginGuard;

/// Tells the upstream who is calling, and lets nobody else tell it.
///
/// | status | kind | when |
/// | --- | --- | --- |
/// | 401 | `missing_token` | anonymous, and identity is required |
/// | 500 | `identity_unencodable`, `identity_too_large` | a fact about the caller cannot be sent |
/// | 401 | `identity_reauth_required`, `identity_login_required` | no credential for the upstream without a sign-in |
/// | 403 | `identity_denied`, `insufficient_scope`, `token_audience_mismatch` | no credential for this caller and upstream |
/// | 503, 504 | `identity_issuer_unavailable`, `identity_store_unavailable`, `identity_issuer_timeout` | nobody could say |
/// | 500 | `forward_misconfigured` | no upstream was chosen, its override was refused, or a mode lacks the presented token |
/// | 500 | `internal_error` | no context, and forwarding is not off |
///
/// Stands in front of a proxying service. A clone costs a few reference counts.
///
/// ```
/// use tower_bearer::forward::{ForwardOptions, Mode, Upstream};
/// use tower_bearer::stack::IdentityForward;
/// # fn main() -> Result<(), tower_bearer::forward::ConfigError> {
/// let upstream = Upstream::new("mcp-main", "https://mcp.example.com/mcp")?;
/// let layer = IdentityForward::new(ForwardOptions::new(upstream, Mode::Headers).build()?);
/// # let _ = layer; Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct IdentityForward {
    targets: Arc<[Target]>,
    choose: Option<Arc<Choose>>,
    edit: Option<Arc<EditIdentity>>,
    told: Arc<AtomicBool>,
}

/// An [`IdentityForward`] around an outbound HTTP client.
///
/// Finds the context in the outgoing request's extensions, where [`AuthContext::attach`] puts it. The request's URI must be
/// absolute and of the upstream's origin (RFC 6454 §4), else 500 `forward_origin_mismatch`: a redirect follower outside
/// this layer gets nowhere else. The upstream's 401 and 403 are relayed with their challenges.
///
/// The client takes requests with a [`ForwardBody`](crate::forward::ForwardBody), and answers come back with one, whatever its
/// own body is.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct ClientForward(IdentityForward);

type Choose = dyn for<'r> Fn(&'r Parts, &'r AuthContext) -> Option<&'r str> + Send + Sync;

/// One upstream.
#[derive(Clone, Debug)]
struct Target {
    forwarding: Forwarding,
    answers: AnswerCleaner,
    meter: ForwardMeter,
    mark: u64,
}

impl Target {
    fn new(forwarding: Forwarding) -> Self {
        // with forwarding off nobody was told who calls: the challenge is the upstream's own affair
        let challenge = if forwarding.is_off() {
            Challenge::Relayed
        } else if forwarding.scopes().is_empty() {
            Challenge::Dropped
        } else {
            Challenge::Replaced(Arc::new(forwarding.scopes().clone()))
        };
        let answers = AnswerCleaner::new(forwarding.set(), &challenge);
        let mark = next_mark();
        Self { forwarding, answers, meter: ForwardMeter::default(), mark }
    }

    fn on_client_side(&self) -> Self {
        let answers = AnswerCleaner::new(self.forwarding.set(), &Challenge::Relayed);
        Self { answers, ..self.clone() }
    }

    /// Puts a question to what mints, where the mode does and the caller is known; the head is only read.
    fn with_asked<T>(
        &self,
        passage: &mut Passage<'_>,
        side: Side,
        put: impl FnOnce(&dyn Mints, &Asked<'_>) -> T,
    ) -> Result<Option<T>, Rejection> {
        let Some(mints) = self.forwarding.mint() else { return Ok(None) };
        passage.context()?; // misordered if there is none
        let context = passage.context.as_ref().filter(|context| !context.is_anonymous());
        let (head, Some(context)) = (&*passage.head, context) else { return Ok(None) };
        let needs = mints.needs_presented();
        let (presented, now) = match side {
            Side::Server if needs => (context.token_of(&head.headers), context.now),
            Side::Server => (None, context.now),
            // a retry carries the context of its first attempt
            Side::Client => (context.presented.clone(), context.realm.clock.now()),
        };
        let upstream = self.forwarding.upstream();
        Ok(Some(put(&**mints, &Asked { context, upstream, presented: presented.as_ref(), now })))
    }
}

/// Tells one upstream's requests from all others of this process.
fn next_mark() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Server,
    Client,
}

impl IdentityForward {
    /// Forwards every request to one upstream.
    pub fn new(forwarding: Forwarding) -> Self {
        Self::to(Arc::from([Target::new(forwarding)]), None)
    }

    /// Forwards each request to the upstream that `choose` names.
    ///
    /// No name, or one that no upstream has, is 500 `forward_misconfigured`. The choice looks at the context, so a request
    /// without one is 500 even where some upstream's forwarding is off.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for no upstream, [`ConfigError::NameTaken`] for two of one name,
    /// [`ConfigError::Key`] for two presets of [`compat`](crate::forward::compat) with one key.
    pub fn select(
        upstreams: impl IntoIterator<Item = Forwarding>,
        choose: impl for<'r> Fn(&'r Parts, &'r AuthContext) -> Option<&'r str> + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        const SETTING: &str = "upstreams";
        let mut targets: Vec<Target> = Vec::new();
        for forwarding in upstreams {
            let name = forwarding.upstream().name();
            if targets.iter().any(|target| target.forwarding.upstream().name() == name) {
                return Err(ConfigError::NameTaken { setting: SETTING });
            }
            let tag = forwarding.key_tag();
            let shares = |target: &Target| tag.is_some() && target.forwarding.key_tag() == tag;
            if targets.iter().any(shares) {
                return Err(ConfigError::Key { fault: KeyFault::Shared });
            }
            targets.push(Target::new(forwarding));
        }
        if targets.is_empty() {
            return Err(ConfigError::OutOfRange { setting: SETTING });
        }
        Ok(Self::to(targets.into(), Some(Arc::new(choose))))
    }

    fn to(targets: Arc<[Target]>, choose: Option<Arc<Choose>>) -> Self {
        Self { targets, choose, edit: None, told: Arc::new(AtomicBool::new(false)) }
    }

    /// Lets `edit` add or drop facts, e.g. from the value that [`CallerMount`](crate::stack::CallerMount) left in the
    /// request's extensions.
    ///
    /// It is given what is known of the fields that are sent; what it adds is sent only if its field is.
    pub fn identity(
        mut self,
        edit: impl for<'c> Fn(&Parts, &'c AuthContext, Identity<'c>) -> Identity<'c>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.edit = Some(Arc::new(edit));
        self
    }

    /// Removes one more field as the client's credential: the header that the authenticator reads tokens from.
    ///
    /// A stack does this by itself.
    pub fn credential_header(mut self, name: &HeaderName) -> Self {
        let strip = |target: &Target| Target {
            forwarding: target.forwarding.clone().credential_header(name),
            ..target.clone()
        };
        self.targets = self.targets.iter().map(strip).collect();
        self
    }

    /// The same around an outbound client, for requests whose target is final.
    pub fn client_side(&self) -> ClientForward {
        let targets = self.targets.iter().map(Target::on_client_side).collect();
        ClientForward(Self { targets, ..self.clone() })
    }

    /// A guard for the place right above the client: what is told to one upstream goes to its origin alone.
    pub fn origin_guard(&self) -> OriginGuard {
        let targets = self.targets.iter();
        OriginGuard::new(targets.map(|target| (target.mark, target.forwarding.clone())))
    }

    /// What is done with bodies, whichever upstream is chosen.
    pub(super) fn edge(&self) -> EdgeRules {
        EdgeRules::forwarding(self.targets.iter().map(|target| target.forwarding.set().clone()))
    }

    /// All that can be done without waiting. The head is as it was where somebody must be asked.
    fn attempt_at(&self, passage: &mut Passage<'_>, side: Side) -> Attempt {
        let known = self.target(passage, side).and_then(|target| {
            let resends = target.forwarding.resends();
            let known = target.with_asked(passage, side, |mints, asked| {
                Some((mints.known(asked)?, asked.presented.filter(|_| resends).cloned()))
            })?;
            Ok((target, known))
        });
        match known {
            Ok((target, None)) => self.forward(target, passage, None).into(),
            Ok((_, Some(None))) => Attempt::Ask,
            Ok((target, Some(Some((credential, presented))))) => {
                let kept = credential.as_ref().ok().filter(|_| target.forwarding.resends());
                let kept = kept.cloned();
                let verdict = self.forward_minted(target, passage, credential);
                if let (Ok(_), Some(kept), Some(context)) = (&verdict, kept, &*passage.context)
                    && let Some(again) = target.forwarding.again(context.clone(), presented, kept)
                {
                    passage.head.extensions.insert(again);
                }
                verdict.into()
            }
            Err(rejection) => Attempt::Reject(rejection),
        }
    }

    /// Waits for the credential, then does the rest.
    async fn ask_at(&self, passage: &mut Passage<'_>, side: Side) -> Result<Evidence, Rejection> {
        let target = self.target(passage, side)?;
        let obtain = |mints: &dyn Mints, asked: &Asked<'_>| mints.obtain(asked);
        let obtaining: Option<Obtaining> = target.with_asked(passage, side, obtain)?;
        match obtaining {
            Some(obtaining) => {
                let credential = obtaining.await;
                self.forward_minted(target, passage, credential)
            }
            None => self.forward(target, passage, None),
        }
    }

    fn forward_minted(
        &self,
        target: &Target,
        passage: &mut Passage<'_>,
        credential: Result<Credential, Rejection>,
    ) -> Result<Evidence, Rejection> {
        match credential {
            Ok(credential) => self.forward(target, passage, Some(&credential)),
            Err(rejection) => {
                let forwarding = &target.forwarding;
                let mode = forwarding.mode().word();
                target.meter.forwarded(forwarding.upstream().name(), mode, "refused");
                if rejection.kind() == RejectionKind::ForwardMisconfigured {
                    self.tell(NO_TOKEN);
                }
                Err(rejection)
            }
        }
    }

    fn forward(
        &self,
        target: &Target,
        passage: &mut Passage<'_>,
        credential: Option<&Credential>,
    ) -> Result<Evidence, Rejection> {
        let forwarding = &target.forwarding;
        let identity = if forwarding.is_off() {
            None
        } else {
            passage.context()?; // misordered if there is none
            passage.context.as_ref().and_then(|context| {
                let known = known_of(context, |field| forwarding.sends(field))?;
                Some(match &self.edit {
                    Some(edit) => edit(passage.head, context, known),
                    None => known,
                })
            })
        };
        let (head, context) = (&mut *passage.head, passage.context.as_ref());
        let prepared = if forwarding.mint().is_some() {
            let known = context.filter(|_| identity.is_some());
            let unsent = known.map_or(Ok(None), |context| forwarding.unsent(head, context));
            let prepared = forwarding.prepare_minted(head, identity.as_ref(), credential);
            unsent.and_then(|unsent| {
                let prepared = prepared?;
                unsent.into_iter().for_each(|unsent| unsent.leave(head));
                Ok(prepared)
            })
        } else {
            prepare(forwarding, head, context, identity.as_ref())
        };
        let outcome = prepared.as_ref().map_or("refused", |prepared| prepared.outcome().word());
        target.meter.forwarded(forwarding.upstream().name(), forwarding.mode().word(), outcome);
        let prepared = prepared.map_err(|error| self.refusal(error))?;
        target.meter.removed(prepared.cleaned().removed());
        if prepared.left_out().is_some() {
            target.meter.left_out(forwarding.upstream().name());
        }
        if let Some(context) = passage.context.as_ref() {
            let (outcome, identity) = (prepared.outcome(), identity.as_ref());
            Told { forwarding, outcome, identity, credential }.tell(context, passage.head);
        }
        let context = passage.context.as_ref();
        target.answers.note(passage.notes, prepared.cleaned(), passage.head, context);
        if let Some(context) = passage.context.as_mut() {
            context.made_for = Some(target.mark);
        }
        if !forwarding.is_off() {
            // a 401 to what was said of the caller is answered in the authenticator's manner
            let realm = passage.context.as_ref().map(|context| Arc::clone(&context.realm));
            passage.notes.realm = realm;
        }
        if let Some((mints, credential)) = forwarding.mint().zip(credential) {
            passage.notes.afterwards(Arc::new(Sent::new(mints, credential)));
        }
        Ok(Evidence::FORWARDED)
    }

    fn target(&self, passage: &mut Passage<'_>, side: Side) -> Result<&Target, Rejection> {
        let target = self.chosen(passage)?;
        if side == Side::Client && !target.forwarding.same_origin(&passage.head.uri) {
            return Err(Rejection::new(RejectionKind::OriginMismatch, Reason::WrongOrigin));
        }
        Ok(target)
    }

    fn chosen(&self, passage: &mut Passage<'_>) -> Result<&Target, Rejection> {
        let Some(choose) = &self.choose else {
            return self.targets.first().ok_or_else(|| self.refusal(ForwardError::Misconfigured));
        };
        passage.context()?;
        let name = passage.context.as_ref().and_then(|context| choose(passage.head, context));
        let named = |target: &&Target| Some(target.forwarding.upstream().name()) == name;
        self.targets.iter().find(named).ok_or_else(|| self.refusal(ForwardError::Misconfigured))
    }

    fn refusal(&self, error: ForwardError) -> Rejection {
        let (kind, reason) = match &error {
            ForwardError::IdentityMissing => return Rejection::anonymous(),
            ForwardError::Unencodable { .. } => {
                (RejectionKind::IdentityUnencodable, Reason::Unencodable)
            }
            ForwardError::TooLarge { .. } => (RejectionKind::IdentityTooLarge, Reason::TooLarge),
            ForwardError::Misconfigured => {
                self.tell(NO_UPSTREAM);
                (RejectionKind::ForwardMisconfigured, Reason::ForwardConfig)
            }
            #[cfg(feature = "signed")]
            ForwardError::Unsigned => (RejectionKind::Undecidable, Reason::NoEntropy),
        };
        Rejection::new(kind, reason).caused_by(error)
    }

    /// Once for all requests: a programmer must act.
    fn tell(&self, slip: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            let step = StepName::Forward.as_str();
            let reason = Reason::ForwardConfig.as_str();
            tracing::error!(
                step,
                reason,
                error = slip,
                "forwarding is not configured as it is used"
            );
        }
    }
}

const NO_UPSTREAM: &str =
    "no upstream could be used; name one that was given to IdentityForward, and mend its override";
const NO_TOKEN: &str = "the token that the request came with is not at hand; on the client side attach the context by \
    dangerously_attach_with_token, on the server side keep its header up to this layer";

/// Signs, if it does, at the time at which the request leaves: a retry carries the context of its first attempt.
#[cfg(feature = "signed")]
fn prepare(
    forwarding: &Forwarding,
    head: &mut Parts,
    context: Option<&AuthContext>,
    identity: Option<&Identity<'_>>,
) -> Result<Prepared, ForwardError> {
    let clock = context.filter(|_| forwarding.needs_time()).map(|context| &context.realm.clock);
    match clock.map(Arc::clone) {
        Some(clock) => forwarding.prepare_request_at(head, identity, move || clock.now().wall()),
        None => forwarding.prepare_request(head, identity),
    }
}

#[cfg(not(feature = "signed"))]
fn prepare(
    forwarding: &Forwarding,
    head: &mut Parts,
    _context: Option<&AuthContext>,
    identity: Option<&Identity<'_>>,
) -> Result<Prepared, ForwardError> {
    forwarding.prepare_request(head, identity)
}

impl From<Forwarding> for IdentityForward {
    fn from(forwarding: Forwarding) -> Self {
        Self::new(forwarding)
    }
}

/// The checks of the head, and under them the service that handles bodies.
pub(super) type Forwarded<S, F> = Gate<Edge<S>, F, WithoutBody>;

impl<S> Layer<S> for IdentityForward {
    type Service = Forwarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(Edge::new(inner, self.edge()), self.clone(), WithoutBody::new())
    }
}

impl<S> Layer<S> for ClientForward {
    type Service = Forwarded<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate::new(Edge::new(inner, self.0.edge()), self.clone(), WithoutBody::new())
    }
}

impl Step for IdentityForward {
    const NAME: StepName = StepName::Forward;
    /// Looked for in `forward`: where forwarding is off, none is needed.
    const NEEDS: &'static [Evidence] = &[];

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.attempt_at(passage, Side::Server)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.ask_at(passage, Side::Server).await
    }
}

impl Step for ClientForward {
    const NAME: StepName = StepName::Forward;
    const NEEDS: &'static [Evidence] = IdentityForward::NEEDS;

    fn attempt(&self, passage: &mut Passage<'_>) -> Attempt {
        self.0.attempt_at(passage, Side::Client)
    }

    async fn ask(&self, passage: &mut Passage<'_>) -> Result<Evidence, Rejection> {
        self.0.ask_at(passage, Side::Client).await
    }
}

impl fmt::Debug for IdentityForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upstreams: Vec<_> =
            self.targets.iter().map(|target| target.forwarding.upstream().name()).collect();
        f.debug_struct("IdentityForward").field("upstreams", &upstreams).finish_non_exhaustive()
    }
}
