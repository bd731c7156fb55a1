//! The database that the settings name, of either kind.

use std::sync::Arc;

use doorward_domain::Store;
use doorward_persistence::{OpenError, OwnedStore, PostgresOptions, PostgresStore, SqliteStore};
use doorward_tasks::{SqlTasks, TaskRepo};
use secrecy::ExposeSecret;
use sqlx::{Postgres, Sqlite};

use crate::StartError;
use crate::settings::{DatabaseSettings, Settings};

/// A database that has been opened.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) owned: OwnedTables,
}

/// Units of work on tables whose rows have owners, on the connections and in the schema that Doorward has.
#[derive(Clone, Debug)]
pub enum OwnedTables {
    /// In an SQLite file.
    Sqlite(OwnedStore<Sqlite>),
    /// In a PostgreSQL schema.
    Postgres(OwnedStore<Postgres>),
}

impl Database {
    /// Opens it, and brings the accounts' tables up to date or refuses them, as the settings say. With `needs_policies` a
    /// role for which PostgreSQL's policies do not hold is refused before that.
    pub(crate) async fn open(settings: &DatabaseSettings, needs_policies: bool) -> Result<Self, StartError> {
        let url = settings.url.expose_secret();
        match Scheme::of(url)? {
            Scheme::Sqlite => {
                let store = if settings.migrate {
                    SqliteStore::open(url, settings.max_connections).await?
                } else {
                    SqliteStore::open_migrated(url, settings.max_connections).await?
                };
                Ok(Self { owned: OwnedTables::Sqlite(store.owned()), store: Arc::new(store) })
            }
            Scheme::Postgres => {
                let options = PostgresOptions {
                    schema: settings.schema.clone(),
                    max_connections: settings.max_connections,
                    needs_policies,
                };
                let store = if settings.migrate {
                    PostgresStore::open(url, options).await?
                } else {
                    PostgresStore::open_migrated(url, options).await?
                };
                Ok(Self { owned: OwnedTables::Postgres(store.owned()), store: Arc::new(store) })
            }
        }
    }
}

impl OwnedTables {
    /// The store, where Doorward is on PostgreSQL.
    #[must_use]
    pub const fn postgres(&self) -> Option<&OwnedStore<Postgres>> {
        match self {
            Self::Postgres(store) => Some(store),
            Self::Sqlite(_) => None,
        }
    }

    /// The store, where Doorward is on SQLite.
    #[must_use]
    pub const fn sqlite(&self) -> Option<&OwnedStore<Sqlite>> {
        match self {
            Self::Sqlite(store) => Some(store),
            Self::Postgres(_) => None,
        }
    }

    /// Each user's tasks, whose tables are made or brought up to date first, or checked where `migrate` is false.
    pub(crate) async fn tasks(&self, migrate: bool) -> Result<Arc<dyn TaskRepo>, OpenError> {
        Ok(match self {
            Self::Sqlite(store) => Arc::new(SqlTasks::sqlite(store.clone(), migrate).await?),
            Self::Postgres(store) => Arc::new(SqlTasks::postgres(store.clone(), migrate).await?),
        })
    }
}

/// Opens a database as [`Doorward::start`](crate::Doorward::start) does, for tools.
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened or migrated.
pub async fn open_store(settings: &DatabaseSettings) -> Result<Arc<dyn Store>, StartError> {
    Ok(Database::open(settings, false).await?.store)
}

/// Brings every table that these settings need up to date, and does nothing else.
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened or migrated.
pub async fn migrate(settings: &Settings) -> Result<(), StartError> {
    let migrating = DatabaseSettings { migrate: true, ..settings.database.clone() };
    let database = Database::open(&migrating, settings.tasks.is_some()).await?;
    if settings.tasks.is_some() {
        database.owned.tasks(true).await?;
    }
    Ok(())
}

/// Refuses a database URL that no machine could open.
pub(crate) fn check_database_url(url: &str) -> Result<(), StartError> {
    match Scheme::of(url)? {
        Scheme::Sqlite => Ok(SqliteStore::check_url(url)?),
        Scheme::Postgres => Ok(PostgresStore::check_url(url)?),
    }
}

enum Scheme {
    Sqlite,
    Postgres,
}

impl Scheme {
    fn of(url: &str) -> Result<Self, StartError> {
        match url.split_once(':') {
            Some(("sqlite", _)) => Ok(Self::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres),
            _ => Err(StartError::DatabaseUrl),
        }
    }
}
