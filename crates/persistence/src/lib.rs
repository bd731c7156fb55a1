//! Doorward's storage ports on SQLite and PostgreSQL, their migrations, and the conformance suite for storage
//! adapters.
//!
//! [`SqliteStore`] keeps everything in one file; [`PostgresStore`] keeps it in one schema and serves any number
//! of nodes. Both are the same repositories (`repos/`), whose statements are valid in both dialects; what
//! differs is in [`SqliteStore`], [`PostgresStore`] and the private `Dialect` trait.
//!
//! An adapter for another database implements the ports of [`doorward_domain::store`] and runs the suite in
//! `conformance` (feature `conformance`).

#[cfg(feature = "conformance")]
pub mod conformance;
mod dialect;
mod error;
mod migrations;
mod postgres;
mod repos;
mod sqlite;
mod unit;

pub use error::OpenError;
pub use postgres::{InvalidSchemaName, PostgresOptions, PostgresStore, SchemaName};
pub use sqlite::SqliteStore;
