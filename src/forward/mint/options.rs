//! How is forwarding set up in the modes that mint?

use std::fmt;
use std::sync::Arc;

use super::{Exchange, IdpToken, Mints, Passthrough, UserOidc};
use crate::forward::config::ForwardOptions;
use crate::forward::error::ConfigError;
use crate::forward::mode::Mode;
use crate::forward::upstream::Upstream;

/// What mints, and in which mode.
#[derive(Clone)]
pub(in crate::forward) struct Minting {
    mode: Mode,
    source: Arc<dyn Mints>,
}

impl Minting {
    pub(in crate::forward) fn mode(&self) -> Mode {
        self.mode
    }

    pub(in crate::forward) fn source(&self) -> &dyn Mints {
        &*self.source
    }
}

/// Modes that mint send one credential, `Authorization: Bearer` unless [`target`](Self::target) says otherwise, and no identity
/// headers unless [`with_headers`](Self::with_headers) does. A static header of the credential's name is never sent. Without a
/// credential nothing is sent at all.
impl ForwardOptions {
    /// Forwarding to `upstream` in mode [`IdpToken`](Mode::IdpToken), with the default of every other setting.
    pub fn idp_token(upstream: Upstream, tokens: IdpToken) -> Self {
        Self::minting(upstream, Mode::IdpToken, tokens)
    }

    /// Forwarding to `upstream` in mode [`UserOidc`](Mode::UserOidc), with the default of every other setting.
    pub fn user_oidc(upstream: Upstream, links: UserOidc) -> Self {
        Self::minting(upstream, Mode::UserOidc, links)
    }

    /// Forwarding to `upstream` in mode [`Exchange`](Mode::Exchange), with the default of every other setting.
    ///
    /// The token that is given away never goes to the upstream beside the one that is got for it.
    pub fn exchange(upstream: Upstream, exchange: Exchange) -> Self {
        Self::minting(upstream, Mode::Exchange, exchange)
    }

    /// Forwarding to `upstream` in mode [`Passthrough`](Mode::Passthrough), with the default of every other setting.
    pub fn passthrough(upstream: Upstream, passthrough: Passthrough) -> Self {
        Self::minting(upstream, Mode::Passthrough, passthrough)
    }

    fn minting(upstream: Upstream, mode: Mode, source: impl Mints + 'static) -> Self {
        let mut options = Self::new(upstream, mode);
        options.mint = Some(Minting { mode, source: Arc::new(source) });
        options
    }

    /// A source, and of this mode.
    pub(in crate::forward) fn check_mint(&self) -> Result<(), ConfigError> {
        match &self.mint {
            Some(mint) if mint.mode == self.mode => mint.source.check(),
            Some(_) | None => Err(ConfigError::NoSource { mode: self.mode.word() }),
        }
    }
}

impl fmt::Debug for Minting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minting").field("mode", &self.mode).finish_non_exhaustive()
    }
}
