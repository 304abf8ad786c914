//! Where does a credential come from that an upstream accepts in the caller's name?
//!
//! 1. A mode is one [`Mints`]: what it knows at once costs no await and no box; everything else runs in a task of its own.
//! 2. A failure is a refusal: never a pass with less, never another credential.
//! 3. What was minted is held in this process only: a shared copy would be a pile of live credentials.

mod again;
mod credential;
mod decide;
mod erased;
mod health;
mod key;
mod link;
mod links;
mod minted;
mod minter;
mod options;
mod passthrough;
mod refresh;
mod refusal;
mod sent;
mod subject;
mod unsaved;
mod window;

pub(crate) use again::Again;
pub(super) use again::Parcel;
pub(crate) use credential::{Asked, Credential, Mints, Obtaining};
pub use link::UserOidc;
pub use minted::{Exchange, IdpToken};
pub(super) use options::Minting;
pub use passthrough::Passthrough;
pub(crate) use sent::Sent;
pub use subject::{Actor, SubjectFrom};
