use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::OpenError;

/// Where each database remembers what has been applied, apart from an embedder's own migrations.
pub(crate) const TABLE: &str = "doorward_migrations";

/// The migrations of a dialect: version, description and statements, in order. A migration that has been
/// released is never changed.
type Source = &'static [(i64, &'static str, &'static str)];

pub(crate) const SQLITE: Source = &[
    (1, "foundation", include_str!("../migrations/sqlite/0001_foundation.sql")),
    (2, "mail", include_str!("../migrations/sqlite/0002_mail.sql")),
    (3, "revocation", include_str!("../migrations/sqlite/0003_revocation.sql")),
];
pub(crate) const POSTGRES: Source = &[
    (1, "foundation", include_str!("../migrations/postgres/0001_foundation.sql")),
    (2, "mail", include_str!("../migrations/postgres/0002_mail.sql")),
    (3, "revocation", include_str!("../migrations/postgres/0003_revocation.sql")),
];

/// A migrator that leaves locking to its caller, who holds a lock that ends with the transaction: `sqlx`'s own
/// belongs to the connection, which a transaction-mode pooler may hand to somebody else meanwhile.
pub(crate) fn migrator(source: Source) -> Migrator {
    let migrations = source
        .iter()
        .map(|&(version, description, sql)| {
            Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    migrator.dangerous_set_table_name(TABLE);
    migrator.set_locking(false);
    migrator
}

/// Refuses a schema of another version than this program was built for.
pub(crate) fn check_version(source: Source, found: i64) -> Result<(), OpenError> {
    let needed = source.last().map_or(0, |&(version, ..)| version);
    if found == needed { Ok(()) } else { Err(OpenError::SchemaVersion { found, needed }) }
}
