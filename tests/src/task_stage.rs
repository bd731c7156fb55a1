//! Tasks on a real database without a service around them, with either of the two layers taken away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use doorward::{SystemClock, SystemEntropy};
use doorward_domain::{EmailAddress, OwnerScope, Store, Timestamp, User, UserId};
use doorward_persistence::owned::Mutation;
use doorward_persistence::{Dialect, OwnedStore, PostgresOptions, PostgresStore, SqliteStore};
use doorward_tasks::conformance::Stage;
use doorward_tasks::{SqlTasks, TaskRepo};
use sqlx::{Executor as _, Postgres, Sqlite};

use crate::postgres;

/// The texts of statements that name the owner.
pub type Statements = Arc<Mutex<BTreeSet<&'static str>>>;

/// Whether PostgreSQL's policies are in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policies {
    Kept,
    Removed,
}

/// A mutation that changes nothing and notes which statements name the owner.
pub fn noting(statements: &Statements) -> Mutation {
    let statements = Arc::clone(statements);
    Arc::new(move |sql| {
        if sql.contains(OWNER) {
            statements.lock().unwrap().insert(sql);
        }
        sql
    })
}

/// A mutation that forgets the owner in one statement.
pub fn forgetting(forgotten: &'static str) -> Mutation {
    let careless: &'static str = forgotten.replace(OWNER, "$1 IS NOT NULL").leak();
    assert_ne!(careless, forgotten);
    Arc::new(move |sql| if sql == forgotten { careless } else { sql })
}

const OWNER: &str = "owner_id = $1";

/// Two users without tasks on SQLite.
pub async fn on_sqlite(mutation: Option<Mutation>) -> Stage {
    // Kept for the store's life; the system's folder for temporary files is cleared by its owner.
    let folder = Box::leak(Box::new(tempfile::tempdir().unwrap()));
    let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
    let store = SqliteStore::open(&url, 4).await.unwrap();
    SqlTasks::<Sqlite>::sqlite(store.owned(), true).await.unwrap();
    stage(&store, store.owned(), mutation).await
}

/// The same on PostgreSQL, and the store that the tasks are in.
pub async fn on_postgres(policies: Policies, mutation: Option<Mutation>) -> (Stage, OwnedStore<Postgres>) {
    let schema = postgres::fresh_schema();
    let options =
        PostgresOptions { schema: schema.parse().unwrap(), max_connections: 20, ..PostgresOptions::default() };
    let store = PostgresStore::open(postgres::url(), options).await.unwrap();
    let owned = store.owned();
    SqlTasks::<Postgres>::postgres(owned.clone(), true).await.unwrap();
    let stage = stage(&store, owned.clone(), mutation).await;
    if policies == Policies::Removed {
        for table in ["tasks", "task_counts"] {
            alter(&owned, &stage.own, &format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")).await;
        }
    }
    (stage, owned)
}

/// Changes a table, as the role that owns it may.
pub async fn alter(store: &OwnedStore<Postgres>, scope: &OwnerScope, statement: &str) {
    let mut unit = store.write(scope).await.unwrap();
    unit.connection().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))).await.unwrap();
    unit.commit().await.unwrap();
}

async fn stage<D: Dialect>(store: &dyn Store, owned: OwnedStore<D>, mutation: Option<Mutation>) -> Stage {
    let owned = match mutation {
        Some(mutation) => owned.mutated(mutation),
        None => owned,
    };
    let repo: Arc<dyn TaskRepo> = Arc::new(SqlTasks::on(owned));
    Stage { repo, own: account(store, "own").await, other: account(store, "other").await }
}

/// The scope of a user who has an account.
pub async fn account(store: &dyn Store, name: &str) -> OwnerScope {
    let now = Timestamp::from_unix_micros(1_700_000_000_000_000);
    let id = UserId::new(&SystemClock, &SystemEntropy).unwrap();
    let user = User {
        id,
        email: EmailAddress::parse(&format!("{name}@example.com")).unwrap(),
        email_verified_at: None,
        name: None,
        locale: None,
        roles: Vec::new(),
        disabled_at: None,
        created_at: now,
        updated_at: now,
    };
    let mut unit = store.write().await.unwrap();
    assert!(unit.users().insert_new(&user).await.unwrap());
    unit.commit().await.unwrap();
    doorward_scope::vouch(id)
}
