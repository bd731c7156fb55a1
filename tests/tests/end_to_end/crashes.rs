//! Killed at any moment: what was answered holds, and nothing is half done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use doorward_tests::{Client, Database, Service, rounds};
use sqlx::{PgPool, SqlitePool};

/// Queries whose every count has to be zero.
const HALF_STATES: &[(&str, &str)] = &[
    ("a session without a user", "SELECT count(*) FROM sessions WHERE user_id NOT IN (SELECT id FROM users)"),
    ("a user without a password", "SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM credentials)"),
    (
        "a session with another number of live refresh tokens than one",
        "SELECT count(*) FROM sessions s WHERE 1 <> \
         (SELECT count(*) FROM refresh_tokens t WHERE t.session_id = s.id AND t.used_at IS NULL)",
    ),
    (
        "a registered user without a session",
        "SELECT count(*) FROM users WHERE id NOT IN (SELECT user_id FROM sessions)",
    ),
    (
        "a user whose registration was not recorded",
        "SELECT count(*) FROM users WHERE id NOT IN \
         (SELECT user_id FROM events WHERE kind = 'register' AND reason IS NULL AND user_id IS NOT NULL)",
    ),
    (
        "a session whose beginning was not recorded",
        "SELECT count(*) FROM sessions WHERE id NOT IN (SELECT session_id FROM events WHERE session_id IS NOT NULL)",
    ),
];

async fn count(service: &Service, query: &'static str) -> i64 {
    if service.schema.is_empty() {
        let pool = SqlitePool::connect(&service.database_url).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&pool).await.unwrap()
    } else {
        let options: sqlx::postgres::PgConnectOptions = service.database_url.parse().unwrap();
        let pool = PgPool::connect_with(options.options([("search_path", &service.schema)])).await.unwrap();
        sqlx::query_scalar(query).fetch_one(&pool).await.unwrap()
    }
}

/// Registers and refreshes until the service is gone; returns the addresses whose registration was answered.
async fn load(client: Client, round: usize, worker: usize, seen: Arc<AtomicUsize>) -> Vec<String> {
    let mut answered = Vec::new();
    for n in 0.. {
        let email = format!("ada-{round}-{worker}-{n}@example.com");
        let body = serde_json::json!({ "email": email, "password": doorward_tests::PASSWORD });
        let registered = client.send(reqwest::Method::POST, "/api/auth/register", &[], Some(&body)).await;
        let Ok(registered) = registered else { break };
        if registered.status.as_u16() == 503 {
            continue;
        }
        assert_eq!(registered.status.as_u16(), 201, "{registered:?}");
        answered.push(email);
        seen.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::json!({ "refresh_token": registered.grant().refresh_token });
        if client.send(reqwest::Method::POST, "/api/auth/refresh", &[], Some(&body)).await.is_err() {
            break;
        }
    }
    answered
}

async fn survives(database: Database) {
    let mut service = Service::start(database, &[]);
    let mut answered = 0;
    let rounds = rounds(8);
    for round in 0..rounds {
        let client = Client::new(&service.url());
        let seen = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> =
            (0..6).map(|worker| tokio::spawn(load(client.clone(), round, worker, Arc::clone(&seen)))).collect();
        // Anything from before the first answer to well under way, the same in every run.
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 97) % 400)).await;
        // However busy the machine is, every other kill comes after an answer.
        while round % 2 == 1 && seen.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        service.kill();
        let mut addresses = Vec::new();
        for worker in workers {
            addresses.extend(worker.await.unwrap());
        }
        service.start_again();
        let client = Client::new(&service.url());
        for address in &addresses {
            let login = client.log_in(address).await;
            assert!(login.status.is_success(), "round {round}: {address} was registered and is gone: {login:?}");
        }
        answered += addresses.len();
        for (what, query) in HALF_STATES {
            assert_eq!(count(&service, query).await, 0, "round {round}: {what}");
        }
    }
    println!("{database:?}: {rounds} kills, {answered} answered registrations, all there");
    assert!(answered > 0, "nothing was answered between the kills");
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_registrations_survive_a_kill_on_sqlite() {
    survives(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answered_registrations_survive_a_kill_on_postgres() {
    survives(Database::Postgres).await;
}
