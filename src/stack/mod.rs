//! The layers.
mod app_authz;
mod app_resolver;
mod bearer_check;
mod caller_mount;
mod finder;
mod membership;
mod scope_check;
pub use app_authz::{AccessModes, AccessModesError, AppAuthz, AppPolicy, Decision};
pub use app_resolver::AppResolver;
pub use bearer_check::{AcceptError, BearerCheck};
pub use caller_mount::CallerMount;
pub use finder::{Finder, TemplateError, host};
pub use membership::{MembershipOrExternal, WorkspaceMembershipCheck};
pub use scope_check::ScopeCheck;
