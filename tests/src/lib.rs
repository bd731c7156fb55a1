//! Doorward end to end: what the tests and the benchmark share.
//!
//! [`Service`] runs the built binary on a database of its own; [`Client`] talks to it with verbs; [`postgres`]
//! gives every test a schema on one real server.

#![allow(missing_docs, reason = "this crate is for tests")]
#![allow(
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use,
    reason = "this crate is for tests"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

pub mod client;
pub mod dev;
pub mod in_process;
mod is_genuine;
pub mod isolation;
pub mod issuer_proxy;
mod keep;
pub mod leaks;
pub mod pgbouncer;
pub mod postgres;
pub mod proxy;
pub mod range_server;
pub mod service;
pub mod smtp;
pub mod table;
pub mod task_rows;
pub mod task_stage;
pub mod verbs;
pub mod webhook_receiver;

pub use client::{Answer, Client, Grant};
pub use dev::Dev;
pub use is_genuine::is_genuine;
pub use issuer_proxy::IssuerProxy;
pub use pgbouncer::PgBouncer;
pub use proxy::Cable;
pub use service::{Database, Service};
pub use smtp::SmtpSink;
pub use table::Table;
pub use verbs::{Credentials, Verdict};

/// How many rounds a test that repeats itself does. `DOORWARD_ROUNDS` raises it for a long run.
#[must_use]
pub fn rounds(usual: usize) -> usize {
    std::env::var("DOORWARD_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The password that tests register with.
pub const PASSWORD: &str = "correct horse battery staple";
