//! How things are done, why they are so, and what happens if they go wrong.
//!
//! The pages are the files of `docs/`; their code is compiled with the tests, under all features.

/// In which order do the layers stand, and where does a stack hang?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/manual/01-order.md"))]
pub mod _01_order {}

/// What must hold around the stack in production?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/manual/02-deployment.md"))]
pub mod _02_deployment {}

/// How is it done? One heading per question.
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "redis", feature = "test-util")), doc = include_str!("../docs/manual/03-howto.md"))]
pub mod _03_howto {}

/// What is not here, and what to use instead?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/manual/04-non-features.md"))]
pub mod _04_non_features {}

/// Which defaults are there, why, and who should change them?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/manual/05-defaults.md"))]
pub mod _05_defaults {}

/// What is answered in each outage and to each attack, and which test shows it?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/manual/06-faults.md"))]
pub mod _06_faults {}

/// How does a stack made by hand become one of these layers?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/migration.md"))]
pub mod _07_migration {}

/// When is something else the better choice?
#[cfg_attr(any(not(doctest), all(feature = "axum", feature = "test-util")), doc = include_str!("../docs/comparison.md"))]
pub mod _08_comparison {}
