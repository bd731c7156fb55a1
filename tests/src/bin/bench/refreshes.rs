//! Refreshes a second, against the bare database doing the same statements in one transaction each.

use std::time::Instant;

use doorward_tests::{Client, Database, Service};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{AssertSqlSafe, Executor};
use uuid::Uuid;

use super::{SPAN, figure, runtime};

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
        let mut sessions = runtime.block_on(async {
            let mut sessions = Vec::new();
            for n in 0..AT_ONCE {
                sessions.push(client.register(&format!("ada{n}@example.com")).await.grant());
            }
            sessions
        });
        let (mut bare, mut through) = (0.0, 0.0);
        for round in 0..3 {
            through += runtime.block_on(async {
                let started = Instant::now();
                let workers: Vec<_> = sessions
                    .drain(..)
                    .map(|mut grant| {
                        let client = client.clone();
                        tokio::spawn(async move {
                            let mut done = 0_usize;
                            while started.elapsed() < SPAN {
                                grant = client.refresh(&grant.refresh_token).await.grant();
                                done += 1;
                            }
                            (grant, done)
                        })
                    })
                    .collect();
                let mut done = 0;
                for worker in workers {
                    let (grant, count) = worker.await.unwrap();
                    sessions.push(grant);
                    done += count;
                }
                done as f64 / started.elapsed().as_secs_f64() / 3.0
            });
            let ids: Vec<Uuid> = sessions.iter().map(|grant| grant.session_id.parse().unwrap()).collect();
            bare += match database {
                Database::Sqlite => runtime.block_on(bare_sqlite(&service, &ids, round)),
                Database::Postgres => runtime.block_on(bare_postgres(&service, &ids, round)),
            } / 3.0;
            // The bare run has used up the sessions' tokens.
            sessions = runtime.block_on(async {
                let mut fresh = Vec::new();
                for n in 0..AT_ONCE {
                    fresh.push(client.log_in(&format!("ada{n}@example.com")).await.grant());
                }
                fresh
            });
        }
        println!("{database:?}: bare {bare:.0} transactions/s, Doorward {through:.0} refreshes/s");
        figure(&format!("{database:?}: refreshes / bare database"), through / bare, "", "at least 0.60");
    }
}

macro_rules! transactions {
    ($pool:expr, $begin:expr, $ids:expr, $round:expr, $locking:expr) => {{
        let started = Instant::now();
        let workers: Vec<_> = $ids
            .iter()
            .copied()
            .map(|id| {
                let (pool, begin) = ($pool.clone(), $begin.clone());
                tokio::spawn(async move {
                    let mut done = 0_i64;
                    while started.elapsed() < SPAN {
                        let mut transaction = pool.begin_with(AssertSqlSafe(begin.clone())).await.unwrap();
                        let generation = 1_000_000 * ($round + 1) + done;
                        let event = Uuid::from_u128(random());
                        for (n, sql) in STATEMENTS.iter().enumerate() {
                            let sql =
                                if n == 0 && $locking { format!("{sql} FOR NO KEY UPDATE") } else { (*sql).to_owned() };
                            let query = sqlx::query(AssertSqlSafe(sql)).bind(id);
                            match n {
                                0 | 1 | 4 | 5 => transaction.fetch_optional(query).await.map(drop),
                                2 => transaction.execute(query.bind(generation)).await.map(drop),
                                3 => transaction.execute(query.bind(generation).bind(vec![7_u8; 32])).await.map(drop),
                                _ => {
                                    let query = query.bind(0_i64).bind(0_i64).bind(event);
                                    transaction.execute(query).await.map(drop)
                                }
                            }
                            .unwrap();
                        }
                        transaction.commit().await.unwrap();
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        let mut done = 0;
        for worker in workers {
            done += worker.await.unwrap();
        }
        done as f64 / started.elapsed().as_secs_f64()
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
    transactions!(pool, "BEGIN IMMEDIATE".to_owned(), ids, round, false)
}

async fn bare_postgres(service: &Service, ids: &[Uuid], round: i64) -> f64 {
    let options: PgConnectOptions = service.database_url.parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false).connect_with(options).await.unwrap();
    transactions!(pool, format!("BEGIN; SET LOCAL search_path TO {}", service.schema), ids, round, true)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    #[expect(clippy::disallowed_methods, reason = "the benchmark's own ids")]
    getrandom::fill(&mut bytes).unwrap();
    u128::from_be_bytes(bytes)
}
