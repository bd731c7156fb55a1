use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use doorward_domain::store::{ReadUnit, WriteUnit};
use doorward_domain::{Store, StoreError};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::error::store_error;
use crate::migrations::POSTGRES;
use crate::unit::Unit;
use crate::units::Units;
use crate::{OpenError, OwnedStore};

/// The name of a PostgreSQL schema: 1 to 63 lower-case ASCII letters, digits and underscores, beginning with a
/// letter. It becomes part of statements, which nothing else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaName(String);

/// The text is not a [`SchemaName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 63 lower-case letters, digits and underscores, beginning with a letter, and not start with pg_")]
pub struct InvalidSchemaName;

impl FromStr for SchemaName {
    type Err = InvalidSchemaName;

    fn from_str(text: &str) -> Result<Self, InvalidSchemaName> {
        let sane = (1..=63).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && !text.starts_with("pg_");
        if sane { Ok(Self(text.to_owned())) } else { Err(InvalidSchemaName) }
    }
}

impl Default for SchemaName {
    /// `doorward`.
    fn default() -> Self {
        Self("doorward".to_owned())
    }
}

/// How to reach PostgreSQL.
///
/// # Defaults
///
/// Schema `doorward`, 10 connections, any role.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Where Doorward's tables live.
    pub schema: SchemaName,
    /// How many connections a node uses at most, besides one that listens for revocations.
    pub max_connections: u32,
    /// Whether a role that may bypass row-level security is refused, before anything is changed.
    pub needs_policies: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { schema: SchemaName::default(), max_connections: 10, needs_policies: false }
    }
}

/// Everything in one schema of a PostgreSQL database, for any number of nodes.
///
/// Transactions are READ COMMITTED. The schema is set for each transaction and nothing is set for a session, so
/// that nothing is lost to a transaction-mode pooler; it has to carry prepared statements.
pub struct PostgresStore {
    units: Arc<Units<Postgres>>,
    schema: SchemaName,
    /// One connection besides the others, for listening.
    listening: PgPool,
    listener: Mutex<Option<PgListener>>,
}

/// How long a unit waits for a connection before the database counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a trigger notifies of new revocations, with the schema as the payload.
const CHANNEL: &str = "doorward_revocations";
/// A connection that has been idle for longer is asked for a sign of life before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

impl PostgresStore {
    /// Connects to the database that a `postgres:` URL names and brings its schema up to date. Any number of
    /// nodes may do so at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the database cannot be reached or migrated.
    pub async fn open(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let store = Self::connect(url, options).await?;
        store.units.migrate(&POSTGRES, Some(&store.schema.0)).await?;
        Ok(store)
    }

    /// Connects as [`open`](Self::open) does, and refuses a schema that is not up to date.
    ///
    /// # Errors
    ///
    /// [`OpenError`], [`OpenError::SchemaVersion`] among others.
    pub async fn open_migrated(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let store = Self::connect(url, options).await?;
        store.units.check_version(&POSTGRES).await?;
        Ok(store)
    }

    /// Refuses a URL that [`open`](Self::open) would refuse whatever server there is.
    ///
    /// # Errors
    ///
    /// [`OpenError::InvalidUrl`].
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        PgConnectOptions::from_str(url).map(|_| ()).map_err(OpenError::InvalidUrl)
    }

    async fn connect(url: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        let connect = PgConnectOptions::from_str(url).map_err(OpenError::InvalidUrl)?.application_name("doorward");
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(connect.clone())
            .await
            .map_err(OpenError::Unreachable)?;
        let schema = options.schema;
        // One round trip: begin, and find the tables whatever the connection was used for before.
        let begin = |mode| Arc::from(format!("BEGIN {mode}; SET LOCAL search_path TO {}", schema.0));
        let store = Self {
            units: Arc::new(Units {
                writer: pool.clone(),
                readers: pool,
                begin_read: begin("ISOLATION LEVEL READ COMMITTED READ ONLY"),
                begin_write: begin("ISOLATION LEVEL READ COMMITTED READ WRITE"),
            }),
            listening: PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(connect),
            listener: Mutex::new(None),
            schema,
        };
        if options.needs_policies {
            store.owned().check_role().await?;
        }
        Ok(store)
    }

    /// Units on owned tables in the same schema, on the same connections.
    #[must_use]
    pub fn owned(&self) -> OwnedStore<Postgres> {
        OwnedStore::sharing(Arc::clone(&self.units))
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.listening).await?;
        listener.listen(CHANNEL).await?;
        Ok(listener)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError> {
        Ok(Box::new(Unit::new(self.units.read().await?)))
    }

    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError> {
        Ok(Box::new(Unit::new(self.units.write().await?)))
    }

    /// Listens for the notifications that a trigger sends. Through a transaction-mode pooler none arrives.
    async fn revocation_hint(&self) -> Result<(), StoreError> {
        let mut listener = self.listener.lock().await;
        loop {
            let listening = match listener.as_mut() {
                Some(listening) => listening,
                None => listener.insert(self.listen().await.map_err(store_error)?),
            };
            // Connects again by itself where it can; what was missed meanwhile is found by looking.
            match listening.recv().await {
                Ok(notification) if notification.payload() == self.schema.0 => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    *listener = None;
                    return Err(store_error(error));
                }
            }
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").field("schema", &self.schema).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_name_cannot_carry_a_statement() {
        assert!("doorward_2".parse::<SchemaName>().is_ok());
        for text in ["", "a;drop table users", "a b", "A", "1a", "a\"b", "pg_catalog", "é", &"a".repeat(64)] {
            assert_eq!(text.parse::<SchemaName>(), Err(InvalidSchemaName), "{text:?}");
        }
    }
}
