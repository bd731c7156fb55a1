//! A look into the database of a service, past the service.

use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{AssertSqlSafe, SqlitePool};

use crate::{Database, Service};

/// A service's database.
pub enum Table {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Table {
    pub async fn of(service: &Service) -> Self {
        match service.database() {
            Database::Sqlite => Self::Sqlite(SqlitePool::connect(&service.database_url).await.unwrap()),
            Database::Postgres => {
                let options: PgConnectOptions = service.database_url.parse().unwrap();
                let options = options.options([("search_path", service.schema.as_str())]);
                Self::Postgres(PgPool::connect_with(options).await.unwrap())
            }
        }
    }

    /// Runs statements, which may be refused.
    pub async fn try_run(&self, statements: &str) -> Result<(), sqlx::Error> {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(pool) => statements.execute(pool).await.map(|_| ()),
            Self::Postgres(pool) => statements.execute(pool).await.map(|_| ()),
        }
    }

    pub async fn run(&self, statements: &str) {
        self.try_run(statements).await.unwrap();
    }

    /// The one number that a statement gives.
    pub async fn number(&self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        match self {
            Self::Sqlite(pool) => sqlx::query_scalar(statement).fetch_one(pool).await.unwrap(),
            Self::Postgres(pool) => sqlx::query_scalar(statement).fetch_one(pool).await.unwrap(),
        }
    }
}
