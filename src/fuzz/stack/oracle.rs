//! Who may pass, by the pages: no cache, no waiting, no tower, and nothing of the crate.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

pub(super) const ACCOUNTS: [&str; 2] = ["acc-0", "acc-1"];
pub(super) const WORKSPACES: [&str; 2] = ["ws-0", "ws-1"];

/// Id, workspace and access mode.
pub(super) const APPS: [(&str, &str, &str); 4] = [
    ("open", "ws-0", "public"),
    ("all", "ws-0", "private_all"),
    ("picked", "ws-1", "private"),
    ("odd", "ws-1", "later"),
];

/// Requests of one token in a minute.
pub(super) const LIMIT: NonZeroU32 = NonZeroU32::new(4).expect("not zero");

/// The state of the world, each change at once.
#[derive(Default)]
pub(super) struct Oracle {
    /// Milliseconds since the start.
    pub(super) now: u64,
    pub(super) tokens: Vec<Token>,
    pub(super) suspended: Set<&'static str>,
    pub(super) archived: Set<&'static str>,
    pub(super) disabled: Set<&'static str>,
    pub(super) members: Set<(&'static str, &'static str)>,
    pub(super) permits: Set<(&'static str, &'static str)>,
    /// How many tokens there were when a workspace was cut.
    cuts: Vec<(&'static str, usize)>,
}

/// A token by its number; the number is its place in the order of mints too.
pub(super) struct Token {
    pub(super) who: &'static str,
    slot: &'static str,
    runs: bool,
    ends: u64,
    pub(super) dead: bool,
    charged: Vec<u64>,
}

/// Whether something is so, for each of a few things.
pub(super) struct Set<T>(BTreeSet<T>);

impl<T: Ord> Set<T> {
    pub(super) fn set(&mut self, what: T, is: bool) {
        if is {
            self.0.insert(what);
        } else {
            self.0.remove(&what);
        }
    }

    pub(super) fn has(&self, what: &T) -> bool {
        self.0.contains(what)
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl Oracle {
    /// A new token of a subject and label puts the one before it out of use.
    pub(super) fn mint(&mut self, who: &'static str, slot: &'static str, runs: bool, life: u64) {
        for token in &mut self.tokens {
            token.dead |= token.who == who && token.slot == slot;
        }
        let ends = self.now + life;
        self.tokens.push(Token { who, slot, runs, ends, dead: false, charged: Vec::new() });
    }

    /// Tokens minted so far count in this workspace no more.
    pub(super) fn cut(&mut self, workspace: &'static str) {
        self.cuts.push((workspace, self.tokens.len()));
    }

    pub(super) fn is_live(&self, token: usize) -> bool {
        self.tokens.get(token).is_some_and(|token| !token.dead && self.now < token.ends)
    }

    /// Steps 1 and 2: a live token, fewer than the limit in the last minute.
    pub(super) fn charge(&mut self, token: usize) -> bool {
        if !self.is_live(token) {
            return false;
        }
        let now = self.now;
        let Some(token) = self.tokens.get_mut(token) else { return false };
        token.charged.retain(|at| now - at < 60_000);
        let fits = token.charged.len() < LIMIT.get() as usize;
        if fits {
            token.charged.push(now);
        }
        fits
    }

    /// Steps 3 to 7, for a token that is live.
    pub(super) fn allows(&self, at: usize, app: &(&'static str, &'static str, &str)) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        let (app, workspace, mode) = *app;
        let cut = self.cuts.iter().any(|(cut, minted)| *cut == workspace && at < *minted);
        let app_counts = !self.archived.has(&workspace) && !self.disabled.has(&app);
        if !token.runs || cut || !app_counts {
            return false;
        }
        if token.who == "guest" {
            return mode == "public";
        }
        let member = self.members.has(&(workspace, token.who)) && !self.suspended.has(&token.who);
        let picked = self.permits.has(&(app, token.who));
        member && (mode == "public" || mode == "private_all" || (mode == "private" && picked))
    }
}
