use std::fmt;

use async_trait::async_trait;
use doorward_domain::{OwnerScope, StoreError, Timestamp};
use doorward_persistence::{
    Dialect, Migrations, OpenError, OwnedStore, OwnedUnit, ProtectionError, Statement, column, corrupt, moment,
    protect_sql,
};
use sqlx::{Postgres, Sqlite};

use crate::{Description, Task, TaskContent, TaskId, TaskRepo, Title, Version};

/// Tasks on SQLite or PostgreSQL, in the database that holds the accounts: a task goes with its owner's.
pub struct SqlTasks<D: Dialect> {
    store: OwnedStore<D>,
}

/// Where is remembered what has been applied.
const MIGRATIONS_TABLE: &str = "tasks_migrations";

const SQLITE: Migrations =
    Migrations { table: MIGRATIONS_TABLE, steps: &[(1, "tasks", include_str!("../migrations/sqlite/0001_tasks.sql"))] };
const POSTGRES: Migrations = Migrations {
    table: MIGRATIONS_TABLE,
    steps: &[(
        1,
        "tasks",
        concat!(
            include_str!("../migrations/postgres/0001_tasks.sql"),
            protect_sql!("tasks"),
            protect_sql!("task_counts")
        ),
    )],
};
/// What PostgreSQL has to protect.
const OWNED: &[&str] = &["tasks", "task_counts"];

impl SqlTasks<Sqlite> {
    /// Tasks in this store, whose tables are made or brought up to date first, or checked where `migrate` is false.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub async fn sqlite(store: OwnedStore<Sqlite>, migrate: bool) -> Result<Self, OpenError> {
        Self::open(store, &SQLITE, migrate).await
    }
}

impl SqlTasks<Postgres> {
    /// Tasks in this store, whose tables are made or brought up to date first, or checked where `migrate` is false.
    ///
    /// # Errors
    ///
    /// [`OpenError`], [`OpenError::Unprotected`] when the database would not keep one user's tasks from another.
    pub async fn postgres(store: OwnedStore<Postgres>, migrate: bool) -> Result<Self, OpenError> {
        // Before the migration, which says the same less clearly.
        store.check_role().await?;
        let tasks = Self::open(store, &POSTGRES, migrate).await?;
        tasks.check_protection().await?;
        Ok(tasks)
    }

    /// Whether PostgreSQL keeps one user's tasks from another, whatever a statement says.
    ///
    /// # Errors
    ///
    /// [`ProtectionError`] naming what it lacks.
    pub async fn check_protection(&self) -> Result<(), ProtectionError> {
        self.store.check_protection(OWNED).await
    }
}

impl<D: Dialect> SqlTasks<D> {
    async fn open(store: OwnedStore<D>, migrations: &Migrations, migrate: bool) -> Result<Self, OpenError> {
        if migrate {
            store.migrate(migrations).await?;
        } else {
            store.check_version(migrations).await?;
        }
        Ok(Self::on(store))
    }

    /// Tasks in a store whose tables are there.
    #[must_use]
    pub const fn on(store: OwnedStore<D>) -> Self {
        Self { store }
    }
}

macro_rules! task_columns {
    () => {
        "id, title, description, completed, version, created_at, updated_at"
    };
}

fn task<D: Dialect>(row: &D::Row) -> Result<Task, StoreError> {
    let title = Title::parse(&column::<D, String>(row, "title")?).map_err(corrupt("title"))?;
    let description = column::<D, Option<String>>(row, "description")?;
    let description = description.map(|text| Description::parse(&text)).transpose().map_err(corrupt("description"))?;
    Ok(Task {
        id: TaskId::from_uuid(column::<D, _>(row, "id")?),
        content: TaskContent { title, description },
        completed: column::<D, _>(row, "completed")?,
        version: Version::new(column::<D, _>(row, "version")?),
        created_at: moment::<D>(row, "created_at")?,
        updated_at: moment::<D>(row, "updated_at")?,
    })
}

fn description(content: &TaskContent) -> Option<String> {
    content.description.as_ref().map(|description| description.as_str().to_owned())
}

/// Makes those who add or delete an owner's tasks at once go one after the other; says whether the owner is there.
///
/// The owner's row comes before any other: whoever deletes an account takes it first and then the tasks, and two that
/// take rows in different orders lock each other out.
async fn hold_owner<D: Dialect>(unit: &mut OwnedUnit<D>) -> Result<bool, StoreError> {
    let hold = if D::LOCKS_ROWS {
        "SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE"
    } else {
        "SELECT id FROM users WHERE id = $1"
    };
    Ok(unit.statement(hold).fetch_optional(unit.connection()).await?.is_some())
}

/// Binds the task that a change is for, and which version of it.
fn bind_version<D: Dialect>(statement: Statement<D>, id: TaskId, version: Option<Version>) -> Statement<D> {
    statement.bind(id.uuid()).bind(version.map(Version::number))
}

/// Runs the statement that changes a task, and says what became of it.
async fn changed<D: Dialect>(mut unit: OwnedUnit<D>, statement: Statement<D>) -> Result<Option<Task>, StoreError> {
    let row = statement.fetch_optional(unit.connection()).await?;
    unit.commit().await?;
    row.as_ref().map(task::<D>).transpose()
}

#[async_trait]
impl<D: Dialect> TaskRepo for SqlTasks<D> {
    async fn insert(&self, scope: &OwnerScope, task: &Task, most: u32) -> Result<bool, StoreError> {
        let mut unit = self.store.write(scope).await?;
        if !hold_owner(&mut unit).await? {
            return Err(StoreError::Conflict { constraint: "tasks_owner".to_owned() });
        }
        let room = unit
            .statement(
                "INSERT INTO task_counts (owner_id, tasks) VALUES ($1, 1) ON CONFLICT (owner_id) DO UPDATE SET \
                 tasks = task_counts.tasks + 1 WHERE task_counts.tasks < $2",
            )
            .bind(i64::from(most))
            .happened(unit.connection())
            .await?;
        if !room {
            return Ok(false);
        }
        unit.statement(
            "INSERT INTO tasks (owner_id, id, title, description, completed, version, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(task.id.uuid())
        .bind(task.content.title.as_str().to_owned())
        .bind(description(&task.content))
        .bind(task.completed)
        .bind(task.version.number())
        .bind(task.created_at.unix_micros())
        .bind(task.updated_at.unix_micros())
        .execute(unit.connection())
        .await?;
        unit.commit().await?;
        Ok(true)
    }

    async fn find(&self, scope: &OwnerScope, id: TaskId) -> Result<Option<Task>, StoreError> {
        let mut unit = self.store.read(scope).await?;
        let row = unit
            .statement(concat!("SELECT ", task_columns!(), " FROM tasks WHERE owner_id = $1 AND id = $2"))
            .bind(id.uuid())
            .fetch_optional(unit.connection())
            .await?;
        row.as_ref().map(task::<D>).transpose()
    }

    async fn list(
        &self,
        scope: &OwnerScope,
        completed: Option<bool>,
        before: TaskId,
        limit: u32,
    ) -> Result<Vec<Task>, StoreError> {
        let mut unit = self.store.read(scope).await?;
        // Two statements, since each has an index of its own.
        let statement = match completed {
            None => unit.statement(concat!(
                "SELECT ",
                task_columns!(),
                " FROM tasks WHERE owner_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
            )),
            Some(_) => unit.statement(concat!(
                "SELECT ",
                task_columns!(),
                " FROM tasks WHERE owner_id = $1 AND id < $2 AND completed = $4 ORDER BY id DESC LIMIT $3"
            )),
        };
        let mut statement = statement.bind(before.uuid()).bind(i64::from(limit));
        if let Some(completed) = completed {
            statement = statement.bind(completed);
        }
        let rows = statement.fetch_all(unit.connection()).await?;
        rows.iter().map(task::<D>).collect()
    }

    async fn replace(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        content: &TaskContent,
        version: Option<Version>,
        now: Timestamp,
    ) -> Result<Option<Task>, StoreError> {
        let unit = self.store.write(scope).await?;
        let statement = unit.statement(concat!(
            "UPDATE tasks SET title = $5, description = $6, version = version + 1, updated_at = $4 \
             WHERE owner_id = $1 AND id = $2 AND ($3 IS NULL OR version = $3) RETURNING ",
            task_columns!()
        ));
        let statement = bind_version(statement, id, version).bind(now.unix_micros());
        changed(unit, statement.bind(content.title.as_str().to_owned()).bind(description(content))).await
    }

    async fn complete(
        &self,
        scope: &OwnerScope,
        id: TaskId,
        completed: bool,
        version: Option<Version>,
        now: Timestamp,
    ) -> Result<Option<Task>, StoreError> {
        let unit = self.store.write(scope).await?;
        let statement = unit.statement(concat!(
            "UPDATE tasks SET completed = $5, version = version + 1, updated_at = $4 \
             WHERE owner_id = $1 AND id = $2 AND ($3 IS NULL OR version = $3) RETURNING ",
            task_columns!()
        ));
        let statement = bind_version(statement, id, version).bind(now.unix_micros());
        changed(unit, statement.bind(completed)).await
    }

    async fn delete(&self, scope: &OwnerScope, id: TaskId, version: Option<Version>) -> Result<bool, StoreError> {
        let mut unit = self.store.write(scope).await?;
        if !hold_owner(&mut unit).await? {
            return Ok(false);
        }
        let delete =
            unit.statement("DELETE FROM tasks WHERE owner_id = $1 AND id = $2 AND ($3 IS NULL OR version = $3)");
        let deleted = bind_version(delete, id, version).happened(unit.connection()).await?;
        if !deleted {
            return Ok(false);
        }
        unit.statement("UPDATE task_counts SET tasks = tasks - 1 WHERE owner_id = $1 AND tasks > 0")
            .execute(unit.connection())
            .await?;
        unit.commit().await?;
        Ok(true)
    }
}

impl<D: Dialect> fmt::Debug for SqlTasks<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqlTasks(..)")
    }
}
