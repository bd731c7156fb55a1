//! Doorward end to end. Each file holds the tests of one promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

mod conformance;
mod contract;
mod races;
