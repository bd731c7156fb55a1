use std::sync::Arc;

use doorward_domain::{StoreError, UserId};
use sqlx::migrate::Migrate as _;
use sqlx::{AssertSqlSafe, Pool, Transaction};

use crate::OpenError;
use crate::dialect::{Dialect, Statement};
use crate::error::store_error;
use crate::migrations::Migrations;

/// Where units of work begin: the connections, and the words that begin a transaction on them.
///
/// The one place where a statement is not a literal. What it puts together is the adapter's own text, the name of a
/// schema in [`SchemaName`](crate::SchemaName)'s form, and a UUID.
pub(crate) struct Units<D: Dialect> {
    pub(crate) writer: Pool<D>,
    pub(crate) readers: Pool<D>,
    pub(crate) begin_read: Arc<str>,
    pub(crate) begin_write: Arc<str>,
}

impl<D: Dialect> Units<D> {
    pub(crate) async fn read(&self) -> Result<Transaction<'static, D>, StoreError> {
        begin(&self.readers, Arc::clone(&self.begin_read)).await.map_err(store_error)
    }

    pub(crate) async fn write(&self) -> Result<Transaction<'static, D>, StoreError> {
        begin(&self.writer, Arc::clone(&self.begin_write)).await.map_err(store_error)
    }

    pub(crate) async fn read_owned(&self, owner: UserId) -> Result<Transaction<'static, D>, StoreError> {
        begin(&self.readers, owned::<D>(&self.begin_read, owner)).await.map_err(store_error)
    }

    pub(crate) async fn write_owned(&self, owner: UserId) -> Result<Transaction<'static, D>, StoreError> {
        begin(&self.writer, owned::<D>(&self.begin_write, owner)).await.map_err(store_error)
    }

    /// Brings the tables that the migrations make up to date. Any number of nodes may do so at once.
    pub(crate) async fn migrate(&self, migrations: &Migrations, schema: Option<&str>) -> Result<(), OpenError> {
        let mut transaction =
            begin(&self.writer, Arc::clone(&self.begin_write)).await.map_err(OpenError::Unreachable)?;
        if let Some(lock) = D::LOCK_FOR_MIGRATION {
            Statement::<D>::new(lock).execute(&mut transaction).await?;
        }
        let mut migrator = migrations.migrator();
        if let Some(schema) = schema {
            migrator.create_schema(schema.to_owned());
        }
        // What `run` does after it has got a connection; its way to one is not `Send` for every database.
        migrator.run_direct(None, &mut *transaction, false).await.map_err(OpenError::Migration)?;
        transaction.commit().await.map_err(OpenError::Unreachable)
    }

    /// Refuses tables of another version than this program was built for.
    pub(crate) async fn check_version(&self, migrations: &Migrations) -> Result<(), OpenError> {
        let mut transaction =
            begin(&self.writer, Arc::clone(&self.begin_write)).await.map_err(OpenError::Unreachable)?;
        // A database without the table is at version 0.
        let applied = transaction.list_applied_migrations(migrations.table).await.unwrap_or_default();
        let found = applied.iter().map(|migration| migration.version).max();
        migrations.check_version(found.unwrap_or(0))
    }
}

/// On a task of its own, which goes on when the caller stops waiting, as a request does whose client hangs up. A
/// transaction that has begun is then rolled back; the driver knows of none before it has the answer, and would hand the
/// connection to the next unit with the transaction open, and its owner set.
async fn begin<D: Dialect>(pool: &Pool<D>, statement: Arc<str>) -> Result<Transaction<'static, D>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(AssertSqlSafe(statement)).await });
    // The task neither panics nor is cancelled, but with the runtime.
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// The same transaction for one owner, in the same round trip.
fn owned<D: Dialect>(begin: &Arc<str>, owner: UserId) -> Arc<str> {
    if D::HAS_POLICIES { format!("{begin}; SET LOCAL doorward.owner = '{owner}'").into() } else { Arc::clone(begin) }
}
