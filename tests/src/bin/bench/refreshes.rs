//! Refreshes a second, against the bare database doing the same statements in one transaction each.

use doorward_tests::{Client, Database, Grant, Service};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Executor, Pool, Postgres, Sqlite};
use uuid::Uuid;

use super::{closed_loop, figure, runtime};

/// Sessions that are refreshed at once; as many as a node has connections to PostgreSQL.
const AT_ONCE: usize = 10;

/// What a refresh does, as `crates/auth/src/refresh.rs` and the repositories have it.
const STATEMENTS: &[&str] = &[
    "SELECT id, user_id, credential_version, authenticated_at, amr, last_seen_at, idle_expires_at, expires_at, \
     ended_at, ip, user_agent FROM sessions WHERE id = $1",
    "SELECT u.id, u.email, u.email_verified_at, u.name, u.roles, u.disabled_at, u.created_at, u.updated_at \
     FROM users u WHERE u.id = (SELECT user_id FROM sessions WHERE id = $1)",
    "UPDATE refresh_tokens SET used_at = 1 WHERE session_id = $1 AND generation = $2 AND used_at IS NULL",
    "INSERT INTO refresh_tokens (session_id, generation, hash) VALUES ($1, $2 + 1, $3)",
    "UPDATE sessions SET last_seen_at = last_seen_at + 1, idle_expires_at = idle_expires_at + 1 WHERE id = $1",
    "DELETE FROM refresh_tokens WHERE session_id = $1 AND generation < \
     (SELECT max(generation) FROM refresh_tokens WHERE session_id = $1 AND used_at < 2)",
    "INSERT INTO events (id, at, kind, user_id, session_id, ip, user_agent) \
     VALUES ($4, 1, 'refresh', (SELECT user_id FROM sessions WHERE id = $1), $1, '127.0.0.1', 'bench')",
];

pub(crate) fn run() {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        let runtime = runtime();
        runtime.block_on(async {
            for n in 0..AT_ONCE {
                client.register(&address(n)).await.grant();
            }
        });
        let (mut bare, mut through) = (0.0, 0.0);
        for round in 0..3 {
            let refresh = |(client, grant): (Client, Grant)| async move {
                let grant = client.refresh(&grant.refresh_token).await.grant();
                (client, grant)
            };
            // Fresh sessions, since the bare run uses up their tokens.
            let sessions = runtime.block_on(async {
                let mut sessions = Vec::new();
                for n in 0..AT_ONCE {
                    sessions.push((client.clone(), client.log_in(&address(n)).await.grant()));
                }
                sessions
            });
            let (sessions, rate) = runtime.block_on(closed_loop(sessions, refresh));
            through += rate / 3.0;
            let ids: Vec<Uuid> = sessions.iter().map(|(_, grant)| grant.session_id.parse().unwrap()).collect();
            bare += match database {
                Database::Sqlite => runtime.block_on(bare_sqlite(&service, &ids, round)),
                Database::Postgres => runtime.block_on(bare_postgres(&service, &ids, round)),
            } / 3.0;
        }
        println!("{database:?}: bare {bare:.0} transactions/s, Doorward {through:.0} refreshes/s");
        figure(&format!("{database:?}: refreshes / bare database"), through / bare, "", "at least 0.60");
    }
}

fn address(n: usize) -> String {
    format!("ada{n}@example.com")
}

macro_rules! transactions {
    ($pool:expr, $kind:ty, $begin:expr, $ids:expr, $round:expr, $locking:expr) => {{
        let states = $ids.iter().map(|&id| ($pool.clone(), $begin, id, 1_000_000 * ($round + 1))).collect();
        let transact = |(pool, begin, id, generation): (Pool<$kind>, String, Uuid, i64)| async move {
            let mut transaction = pool.begin_with(AssertSqlSafe(begin.clone())).await.unwrap();
            let event = Uuid::from_u128(random());
            for (n, sql) in STATEMENTS.iter().enumerate() {
                let sql = if n == 0 && $locking { format!("{sql} FOR NO KEY UPDATE") } else { (*sql).to_owned() };
                let query = sqlx::query(AssertSqlSafe(sql)).bind(id);
                match n {
                    0 | 1 | 4 | 5 => transaction.fetch_optional(query).await.map(drop),
                    2 => transaction.execute(query.bind(generation)).await.map(drop),
                    3 => transaction.execute(query.bind(generation).bind(vec![7_u8; 32])).await.map(drop),
                    _ => transaction.execute(query.bind(0_i64).bind(0_i64).bind(event)).await.map(drop),
                }
                .unwrap();
            }
            transaction.commit().await.unwrap();
            (pool, begin, id, generation + 1)
        };
        closed_loop(states, transact).await.1
    }};
}

async fn bare_sqlite(service: &Service, ids: &[Uuid], round: i64) -> f64 {
    // One writer with the settings that Doorward has.
    let options: sqlx::sqlite::SqliteConnectOptions = service.database_url.parse().unwrap();
    let options = options
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        .foreign_keys(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    transactions!(pool, Sqlite, "BEGIN IMMEDIATE".to_owned(), ids, round, false)
}

async fn bare_postgres(service: &Service, ids: &[Uuid], round: i64) -> f64 {
    let options: PgConnectOptions = service.database_url.parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false).connect_with(options).await.unwrap();
    transactions!(pool, Postgres, format!("BEGIN; SET LOCAL search_path TO {}", service.schema), ids, round, true)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own ids")]
    getrandom::fill(&mut bytes).unwrap();
    u128::from_be_bytes(bytes)
}
