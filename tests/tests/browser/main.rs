//! What people see, in a real browser, and the client that browsers and other programs use.
//!
//! A program of its own, so that nothing else runs beside it: it measures how soon a page is there.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints what was measured"
)]

mod client;
mod pages;

use std::sync::RwLock;

/// Held alone by what measures, and together by everything else.
static QUIET: RwLock<()> = RwLock::new(());
