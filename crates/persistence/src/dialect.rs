//! The thin layer that lets one repository serve two databases.
//!
//! `sqlx` is generic over the database, and every use of a value or a column then needs a bound of its own.
//! [`Takes`] and [`Gives`] turn these into supertraits of [`Dialect`], which Rust implies wherever a `Dialect`
//! is named; so a repository says `impl<D: Dialect>` and nothing else.

use std::future::Future;

use doorward_domain::StoreError;
use sqlx::error::BoxDynError;
use sqlx::{Arguments, ColumnIndex, Database, Decode, Encode, Postgres, Row, Sqlite, Type};
use uuid::Uuid;

use crate::error::store_error;

/// A database that takes parameters of type `T`.
pub(crate) trait Takes<T>: Database {
    fn push(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError>;
}

impl<D: Database, T: for<'q> Encode<'q, D> + Type<D>> Takes<T> for D {
    fn push(arguments: &mut Self::Arguments, value: T) -> Result<(), BoxDynError> {
        arguments.add(value)
    }
}

/// A database whose columns can be of type `T`.
pub(crate) trait Gives<T>: Database {
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

/// A database that the repositories are written for.
pub(crate) trait Dialect:
    Takes<Uuid>
    + Takes<Option<Uuid>>
    + Takes<i64>
    + Takes<Option<i64>>
    + Takes<String>
    + Takes<Option<String>>
    + Takes<Vec<u8>>
    + Gives<Uuid>
    + Gives<Option<Uuid>>
    + Gives<i64>
    + Gives<Option<i64>>
    + Gives<String>
    + Gives<Option<String>>
    + Gives<Vec<u8>>
{
    /// Whether a row has to be locked to stay as it is. SQLite's single writer holds everything anyway.
    const LOCKS_ROWS: bool;

    fn execute(
        connection: &mut Self::Connection,
        statement: Statement<Self>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    fn fetch_all(
        connection: &mut Self::Connection,
        statement: Statement<Self>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;
}

macro_rules! dialect {
    ($database:ty, locks_rows: $locks_rows:literal) => {
        impl Dialect for $database {
            const LOCKS_ROWS: bool = $locks_rows;

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

dialect!(Sqlite, locks_rows: false);
dialect!(Postgres, locks_rows: true);

/// A statement and its parameters. The text is always a literal, so nothing can be injected into it.
pub(crate) struct Statement<D: Dialect> {
    sql: &'static str,
    arguments: Result<D::Arguments, BoxDynError>,
}

impl<D: Dialect> Statement<D> {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self { sql, arguments: Ok(D::Arguments::default()) }
    }

    /// One statement where rows have to be locked, another where not.
    pub(crate) fn holding(locking: &'static str, plain: &'static str) -> Self {
        Self::new(if D::LOCKS_ROWS { locking } else { plain })
    }

    /// The next parameter.
    pub(crate) fn bind<T>(mut self, value: T) -> Self
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
    pub(crate) async fn execute(self, connection: &mut D::Connection) -> Result<u64, StoreError> {
        D::execute(connection, self).await.map_err(store_error)
    }

    /// Runs it and says whether it touched a row.
    pub(crate) async fn happened(self, connection: &mut D::Connection) -> Result<bool, StoreError> {
        Ok(self.execute(connection).await? > 0)
    }

    pub(crate) async fn fetch_all(self, connection: &mut D::Connection) -> Result<Vec<D::Row>, StoreError> {
        D::fetch_all(connection, self).await.map_err(store_error)
    }

    pub(crate) async fn fetch_optional(self, connection: &mut D::Connection) -> Result<Option<D::Row>, StoreError> {
        Ok(self.fetch_all(connection).await?.into_iter().next())
    }
}
