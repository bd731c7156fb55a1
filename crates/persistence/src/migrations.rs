use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use crate::OpenError;

/// What makes a set of tables and brings them up to date.
///
/// Each set remembers in a table of its own what has been applied, so that Doorward's, an embedder's and anybody else's
/// never collide.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Where is remembered what has been applied.
    pub table: &'static str,
    /// Version, description and statements of each, in order. A migration that has been released is never changed.
    pub steps: &'static [(i64, &'static str, &'static str)],
}

const TABLE: &str = "doorward_migrations";

pub(crate) const SQLITE: Migrations = Migrations {
    table: TABLE,
    steps: &[
        (1, "foundation", include_str!("../migrations/sqlite/0001_foundation.sql")),
        (2, "mail", include_str!("../migrations/sqlite/0002_mail.sql")),
        (3, "revocation", include_str!("../migrations/sqlite/0003_revocation.sql")),
        (4, "own_events", include_str!("../migrations/sqlite/0004_own_events.sql")),
        (5, "abuse", include_str!("../migrations/sqlite/0005_abuse.sql")),
        (6, "webhooks", include_str!("../migrations/sqlite/0006_webhooks.sql")),
        (7, "proofs", include_str!("../migrations/sqlite/0007_proofs.sql")),
    ],
};
pub(crate) const POSTGRES: Migrations = Migrations {
    table: TABLE,
    steps: &[
        (1, "foundation", include_str!("../migrations/postgres/0001_foundation.sql")),
        (2, "mail", include_str!("../migrations/postgres/0002_mail.sql")),
        (3, "revocation", include_str!("../migrations/postgres/0003_revocation.sql")),
        (4, "own_events", include_str!("../migrations/postgres/0004_own_events.sql")),
        (5, "abuse", include_str!("../migrations/postgres/0005_abuse.sql")),
        (6, "webhooks", include_str!("../migrations/postgres/0006_webhooks.sql")),
        (7, "proofs", include_str!("../migrations/postgres/0007_proofs.sql")),
    ],
};

impl Migrations {
    /// A migrator that leaves locking to its caller, who holds a lock that ends with the transaction: `sqlx`'s own
    /// belongs to the connection, which a transaction-mode pooler may hand to somebody else meanwhile.
    pub(crate) fn migrator(&self) -> Migrator {
        let migrations = self
            .steps
            .iter()
            .map(|&(version, description, sql)| {
                Migration::new(version, description.into(), MigrationType::Simple, sql.into_sql_str(), false)
            })
            .collect();
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.dangerous_set_table_name(self.table);
        migrator.set_locking(false);
        migrator
    }

    /// Refuses tables of another version than this program was built for.
    pub(crate) fn check_version(&self, found: i64) -> Result<(), OpenError> {
        let needed = self.steps.last().map_or(0, |&(version, ..)| version);
        if found == needed { Ok(()) } else { Err(OpenError::SchemaVersion { found, needed }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_folder_is_applied_in_order() {
        for (folder, migrations) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let path = format!("{}/migrations/{folder}", env!("CARGO_MANIFEST_DIR"));
            let files = std::fs::read_dir(path).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
            let mut files: Vec<String> = files.collect();
            files.sort();
            let named: Vec<String> =
                migrations.steps.iter().map(|(version, name, _)| format!("{version:04}_{name}.sql")).collect();
            assert_eq!(files, named, "{folder}");
        }
    }
}
