use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use doorward_domain::store::{ReadUnit, WriteUnit};
use doorward_domain::{Store, StoreError};
use sqlx::Sqlite;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use url::form_urlencoded;

use crate::migrations::SQLITE;
use crate::unit::Unit;
use crate::units::Units;
use crate::{OpenError, OwnedStore};

/// Everything in one SQLite file: one writer, several readers, write-ahead log.
///
/// A commit has reached the disk (`synchronous=FULL`) before it is answered. Write units begin with
/// `BEGIN IMMEDIATE` on a single connection, so they queue here in order instead of failing as busy there.
pub struct SqliteStore {
    units: Arc<Units<Sqlite>>,
}

/// How long a unit waits for its turn before the database counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);

impl SqliteStore {
    /// Opens the file that a `sqlite:` URL names, creating it when there is none, and brings its schema up to
    /// date. `max_readers` connections read at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the URL names no file, or the file cannot be opened or migrated.
    pub async fn open(url: &str, max_readers: u32) -> Result<Self, OpenError> {
        let store = Self::connect(url, max_readers, true).await?;
        store.units.migrate(&SQLITE, None).await?;
        Ok(store)
    }

    /// Opens the file as [`open`](Self::open) does, and refuses it when its schema is not up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError`], [`OpenError::SchemaVersion`] among others.
    pub async fn open_migrated(url: &str, max_readers: u32) -> Result<Self, OpenError> {
        let store = Self::connect(url, max_readers, false).await?;
        store.units.check_version(&SQLITE).await?;
        Ok(store)
    }

    /// Refuses a URL that [`open`](Self::open) would refuse whatever the disk holds.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidUrl`] or [`OpenError::NotAFile`].
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        options(url).map(|_| ())
    }

    async fn connect(url: &str, max_readers: u32, create: bool) -> Result<Self, OpenError> {
        let options = options(url)?
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE)
            // With SQLite's own 2 MiB each, ten connections would hold more than the rest of the service; the system
            // caches the file anyway.
            .pragma("cache_size", "-256");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(OpenError::Unreachable)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(max_readers.max(1))
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .connect_lazy_with(options.create_if_missing(false).read_only(true));
        let units = Units { writer, readers, begin_read: "BEGIN".into(), begin_write: "BEGIN IMMEDIATE".into() };
        Ok(Self { units: Arc::new(units) })
    }

    /// Units on owned tables in the same file, on the same connections.
    #[must_use]
    pub fn owned(&self) -> OwnedStore<Sqlite> {
        OwnedStore::sharing(Arc::clone(&self.units))
    }
}

fn options(url: &str) -> Result<SqliteConnectOptions, OpenError> {
    let options = SqliteConnectOptions::from_str(url).map_err(OpenError::InvalidUrl)?;
    // `sqlx` does not say whether it would keep the database in memory, so its two ways to ask for that are read here.
    let (_, query) = url.split_once('?').unwrap_or_default();
    let name = options.get_filename().to_string_lossy();
    let in_memory = name.is_empty()
        || name.contains("sqlx-in-memory")
        || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "mode" && value == "memory");
    if in_memory { Err(OpenError::NotAFile) } else { Ok(options) }
}

#[async_trait]
impl Store for SqliteStore {
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError> {
        Ok(Box::new(Unit::new(self.units.read().await?)))
    }

    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError> {
        Ok(Box::new(Unit::new(self.units.write().await?)))
    }

    /// Never: what another process writes is found by looking.
    async fn revocation_hint(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore(..)")
    }
}
