//! What does a service do while its processes cannot tell each other what they revoked?

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::store::{Heard, Notice, RevocationBus, Sequence};

/// A revocation bus between authenticators of one process, whose lines can be cut and mended.
///
/// It numbers its messages and finds gaps as one between processes does. A clone shares the line;
/// [`another_line`](Self::another_line) makes the end for another authenticator.
///
/// ```
/// use tower_bearer::test_util::MemoryBus;
/// # use tower_bearer::Authenticator;
/// # use tower_bearer::id::AccountId;
/// # use tower_bearer::issuing::{Issuer, MintRequest};
/// # use tower_bearer::store::{AccountStatus, MemoryStore, RevokeReason, RevokeTarget};
/// # use tower_bearer::subject::{Subject, SubjectType};
/// # use tower_bearer::token::{TokenKind, TokenKinds};
/// # fn kinds() -> TokenKinds {
/// #     let kind = TokenKind::new("account").prefix("acme_").subject(SubjectType::Account).fixed(["a"]);
/// #     TokenKinds::builder().kind(kind).build().unwrap()
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// # let id = AccountId::new("acc-1")?;
/// # store.put_account(id.clone(), AccountStatus::Active);
/// # let request = MintRequest::new("account", Subject::Account { id }, "cli", "laptop");
/// let bus = MemoryBus::new();
/// let one = Authenticator::builder(kinds(), store.clone()).ledger(store.clone()).bus(bus.clone()).build()?;
/// let other = Authenticator::builder(kinds(), store.clone()).bus(bus.another_line()).build()?;
/// bus.joined(2).await;
///
/// let issued = Issuer::new(&one)?.mint(&request).await?;
/// let token = issued.token().expose();
/// assert!(other.authenticate(token).await.is_ok());
///
/// let target = RevokeTarget::Id { id: issued.id().clone(), owner: None };
/// one.revoke_token(target, RevokeReason::Owner).await?;
/// bus.told(1).await;
/// assert!(other.authenticate(token).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct MemoryBus {
    hub: Arc<Mutex<Hub>>,
    line: u64,
}

/// Why a [`MemoryBus`] could not be used: its line is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the line is cut")]
#[non_exhaustive]
pub struct LineCut;

impl LineCut {
    /// For adapters of a test's own.
    pub fn new() -> Self {
        Self
    }
}

impl Default for LineCut {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Default)]
struct Hub {
    /// Messages so far.
    number: u64,
    /// Where the messages go, by line.
    ears: HashMap<u64, Vec<UnboundedSender<String>>>,
    cut: Vec<u64>,
    deaf: Vec<u64>,
    hangs: bool,
    published: Vec<Notice>,
}

static LINES: AtomicU64 = AtomicU64::new(0);

impl MemoryBus {
    /// A bus with one line that is whole.
    pub fn new() -> Self {
        Self { hub: Arc::default(), line: LINES.fetch_add(1, Ordering::Relaxed) }
    }

    /// Another line to the same bus.
    #[must_use]
    pub fn another_line(&self) -> Self {
        Self { hub: Arc::clone(&self.hub), line: LINES.fetch_add(1, Ordering::Relaxed) }
    }

    /// Cuts this line: its stays end, and it can neither join nor publish. What others publish meanwhile is lost to it.
    pub fn cut(&self) {
        let mut hub = self.hub();
        hub.cut.push(self.line);
        hub.ears.remove(&self.line);
    }

    /// Mends this line. Its authenticator joins again within a second.
    pub fn mend(&self) {
        self.hub().cut.retain(|line| *line != self.line);
    }

    /// Loses the next message on its way to this line, without a word.
    pub fn lose_one(&self) {
        self.hub().deaf.push(self.line);
    }

    /// Lets whoever publishes wait until [`answer`](Self::answer); nothing is told meanwhile.
    pub fn hang(&self) {
        self.hub().hangs = true;
    }

    /// Publishes again.
    pub fn answer(&self) {
        self.hub().hangs = false;
    }

    /// Sends a text to every line as it is, such as `8 nonsense`.
    pub fn send_text(&self, text: &str) {
        self.hub().send(text);
    }

    /// The number of the last message.
    pub fn number(&self) -> u64 {
        self.hub().number
    }

    /// What was published so far.
    pub fn published(&self) -> Vec<Notice> {
        self.hub().published.clone()
    }

    /// How many authenticators attend now.
    pub fn attending(&self) -> usize {
        let mut hub = self.hub();
        hub.ears.values_mut().for_each(|ears| ears.retain(|ear| !ear.is_closed()));
        hub.ears.values().map(Vec::len).sum()
    }

    /// Waits until so many authenticators attend.
    pub async fn joined(&self, authenticators: usize) {
        while self.attending() < authenticators {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        settle().await;
    }

    /// Waits until so many notices were published, and heard by whoever attends on a current-thread runtime.
    pub async fn told(&self, notices: usize) {
        while self.published().len() < notices {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        settle().await;
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hub {
    fn send(&mut self, text: &str) {
        for (line, ears) in &mut self.ears {
            if let Some(at) = self.deaf.iter().position(|deaf| deaf == line) {
                self.deaf.remove(at);
            } else {
                ears.retain(|ear| ear.send(text.to_owned()).is_ok());
            }
        }
    }
}

impl RevocationBus for MemoryBus {
    type Error = LineCut;

    async fn publish(&self, notice: &Notice) -> Result<(), LineCut> {
        if self.hub().hangs {
            std::future::pending::<()>().await;
        }
        let mut hub = self.hub();
        if hub.cut.contains(&self.line) {
            return Err(LineCut);
        }
        hub.number = hub.number.saturating_add(1);
        hub.published.push(notice.clone());
        let text = Sequence::line(hub.number, notice);
        hub.send(&text);
        Ok(())
    }

    async fn attend(&self, hear: &mut (dyn FnMut(Heard) + Send)) -> LineCut {
        let (ear, mut messages) = unbounded_channel();
        let mut sequence = {
            let mut hub = self.hub();
            if hub.cut.contains(&self.line) {
                return LineCut;
            }
            hub.ears.entry(self.line).or_default().push(ear);
            Sequence::after(hub.number)
        };
        hear(Heard::Joined);
        while let Some(text) = messages.recv().await {
            hear(sequence.hear(&text, None));
        }
        LineCut
    }
}

impl Default for MemoryBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBus").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}
