//! Which steps have run on this request?

use std::fmt;
use std::ops::BitOr;

/// A set of marks, one per step that has passed. Only this crate's gate sets them.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Evidence(u16);

impl Evidence {
    /// No step has run.
    pub const NONE: Self = Self(0);
    /// `BearerCheck` accepted a token.
    pub const AUTHENTICATED: Self = Self(1);
    /// `BearerCheck::optional` let a request without a credential by.
    pub const ANONYMOUS: Self = Self(1 << 1);
    /// `RateLimit` charged or freed the request.
    pub const LIMITED: Self = Self(1 << 2);
    /// `ScopeCheck` found the scopes.
    pub const SCOPED: Self = Self(1 << 3);
    /// `AppResolver` judged the app's id.
    pub const APP: Self = Self(1 << 4);
    /// `WorkspaceMembershipCheck` found a membership.
    pub const MEMBER: Self = Self(1 << 5);
    /// `WorkspaceMembershipCheck` exempted an external subject.
    pub const EXEMPT: Self = Self(1 << 6);
    /// `AppAuthz` allowed the caller.
    pub const AUTHORIZED: Self = Self(1 << 7);
    /// `CallerMount` ran.
    pub const MOUNTED: Self = Self(1 << 8);
    /// `IdentityForward` prepared the request.
    pub const FORWARDED: Self = Self(1 << 9);

    /// Holds every mark of `other`.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Holds at least one mark of `other`.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the marks of `other`.
    #[must_use]
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const NAMES: [(Self, &'static str, &'static str); 10] = [
        (Self::AUTHENTICATED, "AUTHENTICATED", "BearerCheck"),
        (Self::ANONYMOUS, "ANONYMOUS", "BearerCheck"),
        (Self::LIMITED, "LIMITED", "RateLimit"),
        (Self::SCOPED, "SCOPED", "ScopeCheck"),
        (Self::APP, "APP", "AppResolver"),
        (Self::MEMBER, "MEMBER", "WorkspaceMembershipCheck"),
        (Self::EXEMPT, "EXEMPT", "WorkspaceMembershipCheck"),
        (Self::AUTHORIZED, "AUTHORIZED", "AppAuthz"),
        (Self::MOUNTED, "MOUNTED", "CallerMount"),
        (Self::FORWARDED, "FORWARDED", "IdentityForward"),
    ];

    /// The layer that leaves the first mark of this set.
    pub(crate) fn left_by(self) -> &'static str {
        let left = Self::NAMES.iter().find(|(mark, ..)| self.intersects(*mark));
        left.map_or("BearerCheck", |(_, _, layer)| layer)
    }
}

impl BitOr for Evidence {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(mark, ..)| self.contains(*mark));
        f.write_str("Evidence(")?;
        for (at, (_, name, _)) in names.enumerate() {
            f.write_str(if at == 0 { "" } else { " | " })?;
            f.write_str(name)?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_a_set() {
        let both = Evidence::APP | Evidence::MEMBER;
        assert!(both.contains(Evidence::APP) && !both.contains(Evidence::APP | Evidence::SCOPED));
        assert!(both.intersects(Evidence::MEMBER | Evidence::EXEMPT));
        assert_eq!(both.without(Evidence::APP), Evidence::MEMBER);
        assert_eq!(format!("{both:?}"), "Evidence(APP | MEMBER)");
        assert_eq!((Evidence::MEMBER | Evidence::EXEMPT).left_by(), "WorkspaceMembershipCheck");
    }
}
