use doorward_domain::StoreError;
use thiserror::Error;

use crate::ProtectionError;

/// Why a database could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is none, or has parameters that the database does not know.
    #[error("the database URL cannot be read")]
    InvalidUrl(#[source] sqlx::Error),
    /// Several connections have to see one database, which an in-memory SQLite database does not allow.
    #[error("an SQLite database must be a file")]
    NotAFile,
    /// The database cannot be reached.
    #[error("the database cannot be opened")]
    Unreachable(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database could not be migrated")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A statement failed while the database was being opened.
    #[error(transparent)]
    Failed(#[from] StoreError),
    /// An owned table is not protected.
    #[error(transparent)]
    Unprotected(#[from] ProtectionError),
    /// The schema is older or newer than this program.
    #[error("the database schema is at version {found}, this program needs {needed}; run `doorward migrate`")]
    SchemaVersion {
        /// The version of the database, 0 where there is none.
        found: i64,
        /// The version that this program was built for.
        needed: i64,
    },
}

/// What a failure of the driver means to a use case.
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            match code.as_ref() {
                // PostgreSQL: serialization failure, deadlock. SQLite: busy, and busy with a stale snapshot.
                "40001" | "40P01" | "5" | "517" => StoreError::Retryable(Box::new(error)),
                _ if database.is_unique_violation()
                    || database.is_foreign_key_violation()
                    || database.is_check_violation() =>
                {
                    // SQLite names the constraint in its message only.
                    let constraint = database.constraint().unwrap_or_else(|| database.message()).to_owned();
                    StoreError::Conflict { constraint }
                }
                _ => StoreError::Unavailable(Box::new(error)),
            }
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
            StoreError::Corrupt { what: "row", source: Box::new(error) }
        }
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// What to make of a column that holds what is never written there: for `map_err`, with a name for the value.
pub fn corrupt<E: Into<Box<dyn std::error::Error + Send + Sync>>>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Corrupt { what, source: source.into() }
}
