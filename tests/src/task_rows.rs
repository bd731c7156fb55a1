//! Tasks by the hundred thousand, written into a service's database at once, and counted there: not through the
//! service, whose answers are what is tested.

use sqlx::{Connection as _, PgConnection, Postgres, SqliteConnection, Transaction};
use uuid::Uuid;

use crate::Service;

/// What the database holds of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    pub tasks: i64,
    /// How many there are as far as the quota knows; `None` where it knows nothing of the owner.
    pub counted: Option<i64>,
}

const ROWS: &str = "SELECT (SELECT count(*) FROM tasks WHERE owner_id = $1), \
     (SELECT tasks FROM task_counts WHERE owner_id = $1)";

/// The ids are `task_id`'s. Every other task is completed.
const POSTGRES: &str = "INSERT INTO tasks (owner_id, id, title, completed, version, created_at, updated_at) \
     SELECT $1, (lpad(to_hex(1700000000000 + n), 12, '0') || '70008' || right(replace($1::text, '-', ''), 15))::uuid, \
     'task ' || n, n % 2 = 0, 1, (1700000000000 + n) * 1000, (1700000000000 + n) * 1000 \
     FROM generate_series(1, $2::bigint) n";
const SQLITE: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $2) \
     INSERT INTO tasks (owner_id, id, title, completed, version, created_at, updated_at) \
     SELECT $1, unhex(printf('%012x', 1700000000000 + n) || '70008' || substr(hex($1), 18)), \
     'task ' || n, n % 2 = 0, 1, (1700000000000 + n) * 1000, (1700000000000 + n) * 1000 FROM numbers";
const COUNT: &str = "INSERT INTO task_counts (owner_id, tasks) \
     SELECT owner_id, count(*) FROM tasks WHERE owner_id = $1 GROUP BY owner_id \
     ON CONFLICT (owner_id) DO UPDATE SET tasks = excluded.tasks";

/// The id of an owner's task with this number, counted from 1: the higher, the newer. Owners' tasks lie between each
/// other's.
pub fn task_id(owner: &str, number: i64) -> String {
    let owner = owner.replace('-', "");
    let id = format!("{:012x}70008{}", 1_700_000_000_000 + number, &owner[17..]);
    Uuid::try_parse(&id).unwrap().to_string()
}

/// Gives each of these owners so many tasks. Once for an owner.
pub async fn insert(service: &Service, owners: &[String], each: i64) {
    if service.schema.is_empty() {
        let mut connection = SqliteConnection::connect(&service.database_url).await.unwrap();
        for owner in owners {
            let owner = uuid(owner);
            let mut transaction = connection.begin().await.unwrap();
            sqlx::query(SQLITE).bind(owner).bind(each).execute(&mut *transaction).await.unwrap();
            sqlx::query(COUNT).bind(owner).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        }
    } else {
        let mut connection = postgres(service).await;
        for owner in owners {
            let mut transaction = begin_as(&mut connection, owner).await;
            let owner = uuid(owner);
            sqlx::query(POSTGRES).bind(owner).bind(each).execute(&mut *transaction).await.unwrap();
            sqlx::query(COUNT).bind(owner).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
        }
    }
}

pub async fn rows(service: &Service, owner: &str) -> Rows {
    let (tasks, counted) = if service.schema.is_empty() {
        let mut connection = SqliteConnection::connect(&service.database_url).await.unwrap();
        sqlx::query_as(ROWS).bind(uuid(owner)).fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = postgres(service).await;
        let mut transaction = begin_as(&mut connection, owner).await;
        sqlx::query_as(ROWS).bind(uuid(owner)).fetch_one(&mut *transaction).await.unwrap()
    };
    Rows { tasks, counted }
}

/// How many of the tables there are that tasks need.
pub async fn tables(service: &Service) -> i64 {
    if service.schema.is_empty() {
        let mut connection = SqliteConnection::connect(&service.database_url).await.unwrap();
        let named = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' \
                     AND name IN ('tasks', 'task_counts', 'tasks_migrations')";
        sqlx::query_scalar(named).fetch_one(&mut connection).await.unwrap()
    } else {
        let named = "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() \
                     AND tablename IN ('tasks', 'task_counts', 'tasks_migrations')";
        sqlx::query_scalar(named).fetch_one(&mut postgres(service).await).await.unwrap()
    }
}

/// A connection to the service's schema, whose policies hold for it as for the service.
pub async fn postgres(service: &Service) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = service.database_url.parse().unwrap();
    PgConnection::connect_with(&options.options([("search_path", &service.schema)])).await.unwrap()
}

/// Begins a transaction that the policies let at this owner's rows, and at nobody else's.
pub async fn begin_as<'c>(connection: &'c mut PgConnection, owner: &str) -> Transaction<'c, Postgres> {
    let mut transaction = connection.begin().await.unwrap();
    let setting = sqlx::query("SELECT set_config('doorward.owner', $1, true)").bind(owner.to_owned());
    setting.execute(&mut *transaction).await.unwrap();
    transaction
}

fn uuid(owner: &str) -> Uuid {
    owner.parse().unwrap()
}
