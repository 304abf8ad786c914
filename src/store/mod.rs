//! What this crate asks of a store: ports, and the records they give back.
//!
//! 1. Each call is one whole question, takes all it needs, and gives back a whole answer.
//! 2. Absent is `Ok(None)`; an error means that the store could not say. The two are never mixed.
//! 3. Ports are written with `-> impl Future + Send`, so implementors write `async fn`.
//! 4. No port sees a token: a token is asked for by its digest.
//! 5. Calls run in tasks of their own, several at once, each under a deadline; an implementation that blocks its
//!    thread blocks the runtime's.

mod app;
mod bus;
mod caller;
mod failure;
mod issuer;
mod ledger;
mod link;
mod membership;
mod memory;
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
mod nonce;
mod notice;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub(crate) mod redis;
mod sequence;
mod shared;
mod token;
mod window;
mod window_key;

pub use app::{AccessMode, AppRecord, AppStore, WorkspaceStatus};
pub use bus::{Heard, Hears, RevocationBus};
pub use caller::{CallerSource, EndUserKey, MountRequest, Mounted};
pub use failure::StoreFailure;
pub use issuer::{IdentityIssuer, IssueAnswer, IssueRequest, TypedToken, UserType};
pub use ledger::{
    LedgerRevocation, MintOutcome, MintStop, Minted, NewToken, RevokeReason, RevokeTarget,
    TokenLedger,
};
pub use link::{OidcProvider, RefreshAnswer, Replaced, UserLink, UserLinkStore};
pub use membership::{AccountStatus, Membership, MembershipStore};
pub(crate) use memory::Stamps;
pub use memory::{
    BrokenReference, LinksError, MemoryCaller, MemoryCallers, MemoryLinks, MemoryStore,
    MemoryStoreError, MemoryWindows, WhenFull, WindowsError, WindowsFull,
};
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub use memory::{MemoryNonces, NoncesError};
#[cfg(feature = "signed")]
#[cfg_attr(docsrs, doc(cfg(feature = "signed")))]
pub use nonce::NonceStore;
pub use notice::{Notice, NoticeError};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use redis::{Redis, RedisBus, RedisConfigError, RedisContexts, RedisError, RedisWindows};
pub use sequence::Sequence;
pub use shared::{ContextStore, SharedKey};
pub use token::{TokenRecord, TokenStore};
pub(crate) use window::MOST_ITEMS;
pub use window::{Answer, Ask, AskError, AskItem, Standing, WindowStore};
pub use window_key::{LogId, PolicyName, PolicyNameError, WindowKey};
