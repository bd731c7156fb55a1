//! Doorward's storage ports on SQLite and PostgreSQL, their migrations, and the conformance suite for storage
//! adapters.
//!
//! [`SqliteStore`] keeps everything in one file; [`PostgresStore`] keeps it in one schema and serves any number
//! of nodes. Both are the same repositories (`repos/`), whose statements are valid in both dialects; what
//! differs is in [`SqliteStore`], [`PostgresStore`] and the [`Dialect`] trait.
//!
//! Tables of an embedding service whose rows have owners are protected as Doorward's own: see [`owned`].
//!
//! An adapter for another database implements the ports of [`doorward_domain::store`] and runs the suite in
//! `conformance` (feature `conformance`).

#[cfg(feature = "conformance")]
pub mod conformance;
mod dialect;
mod error;
mod migrations;
pub mod owned;
mod postgres;
mod repos;
mod sqlite;
mod unit;
mod units;

pub use dialect::{Dialect, Gives, Statement, Takes, column, moment};
pub use error::{OpenError, corrupt};
pub use migrations::Migrations;
pub use owned::{OwnedStore, OwnedUnit, ProtectionError};
pub use postgres::{InvalidSchemaName, PostgresOptions, PostgresStore, SchemaName};
pub use sqlite::SqliteStore;
