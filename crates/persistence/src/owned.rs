//! Tables of which every row has an owner, for embedders as for Doorward's own tasks.
//!
//! Two layers keep a row from everybody but its owner, and each of them does so alone:
//!
//! - **Statements.** A unit is begun for an [`OwnerScope`], which nothing but a verified access token gives, and every
//!   [`statement`](OwnedUnit::statement) of the unit has the owner as its first parameter.
//! - **Policies**, on PostgreSQL. [`protect_sql!`](crate::protect_sql) forces row-level security on a table, also upon
//!   the table's owner, and each unit tells the database for whom it runs. A statement that forgets the owner finds
//!   nothing of anybody else's. [`check_protection`](OwnedStore::check_protection) refuses a table without it.
//!
//! The column with the owner is called `owner_id`.
//!
//! ```no_run
//! use doorward_domain::{OwnerScope, StoreError};
//! use doorward_persistence::{OwnedStore, column};
//! use sqlx::Postgres;
//!
//! async fn titles(store: &OwnedStore<Postgres>, scope: &OwnerScope) -> Result<Vec<String>, StoreError> {
//!     let mut unit = store.read(scope).await?;
//!     let statement = unit.statement("SELECT title FROM notes WHERE owner_id = $1 ORDER BY id LIMIT 100");
//!     let rows = statement.fetch_all(unit.connection()).await?;
//!     rows.iter().map(|row| column::<Postgres, _>(row, "title")).collect()
//! }
//! ```

mod protection;

use std::fmt;
use std::sync::Arc;

use doorward_domain::{OwnerScope, StoreError};
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use crate::dialect::{Dialect, Statement};
use crate::error::store_error;
use crate::units::Units;
use crate::{Migrations, OpenError};

pub use protection::ProtectionError;

/// Units of work on owned tables, each for one owner. Cheap to clone.
pub struct OwnedStore<D: Dialect> {
    units: Arc<Units<D>>,
    /// Set by nothing but the feature `danger-mutations`.
    mutation: Option<Mutation>,
}

/// Another text in place of a statement's.
pub type Mutation = Arc<dyn Fn(&'static str) -> &'static str + Send + Sync>;

impl OwnedStore<Postgres> {
    /// Units on the connections of a pool, whose user owns the tables and MUST NOT be a superuser.
    #[must_use]
    pub fn postgres(pool: PgPool) -> Self {
        Self::sharing(Arc::new(Units {
            writer: pool.clone(),
            readers: pool,
            begin_read: "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY".into(),
            begin_write: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".into(),
        }))
    }

    /// Refuses a role for which policies do not hold: a superuser, or one with `BYPASSRLS`.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::Bypassed`].
    pub async fn check_role(&self) -> Result<(), ProtectionError> {
        let mut transaction = self.units.read().await?;
        protection::check_role(&mut transaction).await
    }

    /// Refuses tables that do not keep their rows from everybody but the owner: each of these, and any other table of
    /// the schema that has a column `owner_id`. To be called at the start of a service.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`] naming the first such table, or the role when it may bypass policies.
    pub async fn check_protection(&self, tables: &[&str]) -> Result<(), ProtectionError> {
        let mut transaction = self.units.read().await?;
        protection::check(&mut transaction, tables).await
    }
}

impl OwnedStore<Sqlite> {
    /// Units on a pool of one connection that writes and a pool of others that read.
    #[must_use]
    pub fn sqlite(writer: SqlitePool, readers: SqlitePool) -> Self {
        Self::sharing(Arc::new(Units {
            writer,
            readers,
            begin_read: "BEGIN".into(),
            begin_write: "BEGIN IMMEDIATE".into(),
        }))
    }
}

impl<D: Dialect> OwnedStore<D> {
    pub(crate) const fn sharing(units: Arc<Units<D>>) -> Self {
        Self { units, mutation: None }
    }

    /// Opens a unit that reads what the owner has. MUST NOT change anything.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    pub async fn read(&self, scope: &OwnerScope) -> Result<OwnedUnit<D>, StoreError> {
        Ok(self.unit(scope, self.units.read_owned(scope.owner()).await?))
    }

    /// Opens a unit that changes what the owner has.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    pub async fn write(&self, scope: &OwnerScope) -> Result<OwnedUnit<D>, StoreError> {
        Ok(self.unit(scope, self.units.write_owned(scope.owner()).await?))
    }

    fn unit(&self, scope: &OwnerScope, transaction: Transaction<'static, D>) -> OwnedUnit<D> {
        OwnedUnit { transaction, scope: *scope, mutation: self.mutation.clone() }
    }

    /// Makes the tables, or brings them up to date. Any number of nodes may do so at once.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then.
    pub async fn migrate(&self, migrations: &Migrations) -> Result<(), OpenError> {
        self.units.migrate(migrations, None).await
    }

    /// Refuses tables of another version than this program was built for.
    ///
    /// # Errors
    ///
    /// [`OpenError::SchemaVersion`] among others.
    pub async fn check_version(&self, migrations: &Migrations) -> Result<(), OpenError> {
        self.units.check_version(migrations).await
    }

    /// Runs other statements than those that are asked for: to see that a forgotten owner is noticed.
    ///
    /// For tests alone. In a service it takes away one of the two layers.
    #[cfg(feature = "danger-mutations")]
    #[must_use]
    pub fn mutated(self, mutation: Mutation) -> Self {
        Self { mutation: Some(mutation), ..self }
    }
}

impl<D: Dialect> Clone for OwnedStore<D> {
    fn clone(&self) -> Self {
        Self { units: Arc::clone(&self.units), mutation: self.mutation.clone() }
    }
}

impl<D: Dialect> fmt::Debug for OwnedStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnedStore(..)")
    }
}

/// A transaction on owned tables for one owner. Dropping it undoes what it did.
pub struct OwnedUnit<D: Dialect> {
    transaction: Transaction<'static, D>,
    scope: OwnerScope,
    /// Set by nothing but the feature `danger-mutations`.
    mutation: Option<Mutation>,
}

impl<D: Dialect> OwnedUnit<D> {
    /// A statement whose first parameter, `$1`, is the owner.
    #[must_use]
    pub fn statement(&self, sql: &'static str) -> Statement<D> {
        let sql = self.mutation.as_ref().map_or(sql, |mutation| mutation(sql));
        Statement::new(sql).bind(self.scope.owner().uuid())
    }

    /// What statements run on.
    pub fn connection(&mut self) -> &mut D::Connection {
        &mut self.transaction
    }

    /// Makes everything that the unit did visible to others, and durable, at once.
    ///
    /// # Errors
    ///
    /// As [`WriteUnit::commit`](doorward_domain::store::WriteUnit::commit).
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(store_error)
    }
}

impl<D: Dialect> fmt::Debug for OwnedUnit<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedUnit").field("scope", &self.scope).finish_non_exhaustive()
    }
}
