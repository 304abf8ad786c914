//! How many instructions each may take: what was counted, and a tenth more.

/// Counted 13,485, of which SHA-256 in its portable form about 3,400.
pub(crate) const WARM_EIGHT: u64 = 14_900;
/// Counted 6,447.
pub(crate) const JUNK_ANSWER: u64 = 7_100;
/// Counted 597.
pub(crate) const CLASSIFY: u64 = 660;
/// Counted 3,555.
pub(crate) const DIGEST: u64 = 3_920;
/// Counted 188.
pub(crate) const ADMIT: u64 = 210;
