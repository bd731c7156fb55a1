//! The thin layer that lets one repository serve two databases, for an embedder's tables as for Doorward's own.
//!
//! `sqlx` is generic over the database, and every use of a value or a column then needs a bound of its own.
//! [`Takes`] and [`Gives`] turn these into supertraits of [`Dialect`], which Rust implies wherever a `Dialect`
//! is named; so a repository says `impl<D: Dialect>` and nothing else.

use std::future::Future;

use doorward_domain::{StoreError, Timestamp};
use sqlx::error::BoxDynError;
use sqlx::migrate::Migrate;
use sqlx::{Arguments, ColumnIndex, Database, Decode, Encode, Postgres, Row, Sqlite, Type};
use uuid::Uuid;

use crate::error::store_error;

/// A database that takes parameters of type `T`.
pub trait Takes<T>: Database {
    /// Adds the next parameter.
    ///
    /// # Errors
    ///
    /// What the driver says of a value that it cannot encode.
    fn push(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError>;
}

impl<D: Database, T: for<'q> Encode<'q, D> + Type<D>> Takes<T> for D {
    fn push(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError> {
        arguments.add(value)
    }
}

/// A database whose columns can be of type `T`.
pub trait Gives<T>: Database {
    /// Reads a column of a row.
    ///
    /// # Errors
    ///
    /// What the driver says of a column that is missing or of another type.
    fn column(row: &Self::Row, name: &'static str) -> Result<T, sqlx::Error>;
}

impl<D: Database, T: for<'r> Decode<'r, D> + Type<D>> Gives<T> for D
where
    &'static str: ColumnIndex<D::Row>,
{
    fn column(row: &Self::Row, name: &'static str) -> Result<T, sqlx::Error> {
        row.try_get(name)
    }
}

/// A database that the repositories are written for: SQLite or PostgreSQL.
pub trait Dialect:
    Database<Connection: Migrate>
    + Takes<Uuid>
    + Takes<Option<Uuid>>
    + Takes<i64>
    + Takes<Option<i64>>
    + Takes<String>
    + Takes<Option<String>>
    + Takes<Vec<u8>>
    + Takes<bool>
    + Takes<Option<bool>>
    + Gives<Uuid>
    + Gives<Option<Uuid>>
    + Gives<i64>
    + Gives<Option<i64>>
    + Gives<String>
    + Gives<Option<String>>
    + Gives<Vec<u8>>
    + Gives<bool>
{
    /// Whether a row has to be locked to stay as it is. SQLite's single writer holds everything anyway.
    const LOCKS_ROWS: bool;

    /// Whether the driver hands each row and value from one thread to another, so that a long page costs less as one value.
    const HANDS_OVER_ROWS: bool;

    /// Whether the database keeps an owner's rows from others by itself (row-level security).
    const HAS_POLICIES: bool;

    /// What lets one node at a time migrate, where a writing transaction does not anyway.
    const LOCK_FOR_MIGRATION: Option<&'static str>;

    /// Runs a statement and says how many rows it touched.
    fn execute(
        connection: &mut Self::Connection,
        statement: Statement<Self>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Runs a statement and gives its rows.
    fn fetch_all(
        connection: &mut Self::Connection,
        statement: Statement<Self>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;
}

macro_rules! dialect {
    ($database:ty, $($constant:ident: $type:ty = $value:expr,)*) => {
        impl Dialect for $database {
            $(const $constant: $type = $value;)*

            async fn execute(
                connection: &mut Self::Connection,
                statement: Statement<Self>,
            ) -> Result<u64, sqlx::Error> {
                let arguments = statement.arguments.map_err(sqlx::Error::Encode)?;
                Ok(sqlx::query_with(statement.sql, arguments).execute(connection).await?.rows_affected())
            }

            async fn fetch_all(
                connection: &mut Self::Connection,
                statement: Statement<Self>,
            ) -> Result<Vec<Self::Row>, sqlx::Error> {
                let arguments = statement.arguments.map_err(sqlx::Error::Encode)?;
                sqlx::query_with(statement.sql, arguments).fetch_all(connection).await
            }
        }
    };
}

dialect! {
    Sqlite,
    LOCKS_ROWS: bool = false,
    HANDS_OVER_ROWS: bool = true,
    HAS_POLICIES: bool = false,
    LOCK_FOR_MIGRATION: Option<&'static str> = None,
}
dialect! {
    Postgres,
    LOCKS_ROWS: bool = true,
    HANDS_OVER_ROWS: bool = false,
    HAS_POLICIES: bool = true,
    // Held until the transaction ends; the number is arbitrary and Doorward's own.
    LOCK_FOR_MIGRATION: Option<&'static str> = Some("SELECT pg_advisory_xact_lock(7237125663627506276)"),
}

/// A statement and its parameters. The text is always a literal, so nothing can be injected into it.
pub struct Statement<D: Dialect> {
    sql: &'static str,
    arguments: Result<D::Arguments, BoxDynError>,
}

impl<D: Dialect> Statement<D> {
    /// A statement without parameters so far.
    #[must_use]
    pub fn new(sql: &'static str) -> Self {
        Self { sql, arguments: Ok(D::Arguments::default()) }
    }

    /// One statement where rows have to be locked, another where not.
    #[must_use]
    pub fn holding(locking: &'static str, plain: &'static str) -> Self {
        Self::new(if D::LOCKS_ROWS { locking } else { plain })
    }

    /// The next parameter.
    #[must_use]
    pub fn bind<T>(mut self, value: T) -> Self
    where
        D: Takes<T>,
    {
        self.arguments = self.arguments.and_then(|mut arguments| {
            D::push(&mut arguments, value)?;
            Ok(arguments)
        });
        self
    }

    /// Runs it and says how many rows it touched.
    ///
    /// # Errors
    ///
    /// [`StoreError`] as the ports of `doorward_domain` describe it.
    pub async fn execute(self, connection: &mut D::Connection) -> Result<u64, StoreError> {
        D::execute(connection, self).await.map_err(store_error)
    }

    /// Runs it and says whether it touched a row.
    ///
    /// # Errors
    ///
    /// [`StoreError`] as the ports of `doorward_domain` describe it.
    pub async fn happened(self, connection: &mut D::Connection) -> Result<bool, StoreError> {
        Ok(self.execute(connection).await? > 0)
    }

    /// Runs it and gives its rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`] as the ports of `doorward_domain` describe it.
    pub async fn fetch_all(self, connection: &mut D::Connection) -> Result<Vec<D::Row>, StoreError> {
        D::fetch_all(connection, self).await.map_err(store_error)
    }

    /// Runs it and gives its first row, if there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError`] as the ports of `doorward_domain` describe it.
    pub async fn fetch_optional(self, connection: &mut D::Connection) -> Result<Option<D::Row>, StoreError> {
        Ok(self.fetch_all(connection).await?.into_iter().next())
    }
}

/// A column of a row.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when the column is missing or holds something else.
pub fn column<D: Gives<T>, T>(row: &D::Row, name: &'static str) -> Result<T, StoreError> {
    D::column(row, name).map_err(store_error)
}

/// A moment, which is kept as whole microseconds since 1970-01-01T00:00:00Z.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when the column is missing or holds something else.
pub fn moment<D: Gives<i64>>(row: &D::Row, name: &'static str) -> Result<Timestamp, StoreError> {
    column::<D, i64>(row, name).map(Timestamp::from_unix_micros)
}
