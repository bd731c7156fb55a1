//! Accounts by the thousand, written into a service's database at once: registering them would take as many hashes.

use doorward_tests::{Client, Service};
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgPool, SqlitePool};
use uuid::Uuid;

/// What an account may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Verified,
    Unverified,
    Disabled,
}

/// The account whose password all the others get.
const MODEL: &str = "model@example.com";
const FIND_MODEL: &str = "SELECT c.password_hash, u.created_at FROM users u \
     JOIN credentials c ON c.user_id = u.id WHERE u.email_key = $1";
const ADD_USER: &str = "INSERT INTO users (id, email, email_key, email_verified_at, roles, disabled_at, created_at, \
     updated_at) VALUES ($1, $2, $3, $4, '[]', $5, $6, $7)";
const ADD_CREDENTIAL: &str = "INSERT INTO credentials (user_id, version, password_hash) VALUES ($1, $2, $3)";

macro_rules! insert_all {
    ($pool:expr, $accounts:expr) => {{
        let (hash, moment): (String, i64) = sqlx::query_as(FIND_MODEL).bind(MODEL).fetch_one(&$pool).await.unwrap();
        let mut transaction = $pool.begin().await.unwrap();
        for (n, (address, standing)) in $accounts.iter().enumerate() {
            let id = id(moment, n);
            let verified_at = (*standing != Standing::Unverified).then_some(moment);
            let disabled_at = (*standing == Standing::Disabled).then_some(moment);
            let user = sqlx::query(ADD_USER).bind(id).bind(address.clone()).bind(address.clone()).bind(verified_at);
            user.bind(disabled_at).bind(moment).bind(moment).execute(&mut *transaction).await.unwrap();
            let credential = sqlx::query(ADD_CREDENTIAL).bind(id).bind(id).bind(hash.clone());
            credential.execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }};
}

/// Adds accounts with these addresses, which are in lower case. Once for a service.
pub(super) async fn insert(service: &Service, accounts: &[(String, Standing)]) {
    Client::new(&service.url()).register(MODEL).await.answered(202);
    if service.schema.is_empty() {
        let pool = sqlite(service).await;
        insert_all!(pool, accounts);
    } else {
        let pool = postgres(service).await;
        insert_all!(pool, accounts);
        // Otherwise the server finds out how large the tables are at some moment of the measurement.
        sqlx::query("ANALYZE users").execute(&pool).await.unwrap();
        sqlx::query("ANALYZE credentials").execute(&pool).await.unwrap();
    }
}

/// Runs a statement on the service's database.
pub(super) async fn execute(service: &Service, statement: &'static str) {
    if service.schema.is_empty() {
        sqlx::query(statement).execute(&sqlite(service).await).await.unwrap();
    } else {
        sqlx::query(statement).execute(&postgres(service).await).await.unwrap();
    }
}

pub(super) async fn sqlite(service: &Service) -> SqlitePool {
    SqlitePool::connect(&service.database_url).await.unwrap()
}

pub(super) async fn postgres(service: &Service) -> PgPool {
    let options: PgConnectOptions = service.database_url.parse().unwrap();
    PgPool::connect_with(options.options([("search_path", &service.schema)])).await.unwrap()
}

/// The ids of one moment, ordered as those of a service are.
fn id(moment: i64, n: usize) -> Uuid {
    let mut rest = [0_u8; 10];
    rest[2..].copy_from_slice(&(n as u64).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(moment as u64 / 1_000, &rest).into_uuid()
}
