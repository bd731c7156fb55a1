//! What a log-in, a refresh and a log-out cost among the sessions of a million users, against what they cost among those
//! of a thousand.

use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Grant, Service};

use super::{accounts, figure, quantile, runtime};

/// What the part is called on the command line. Writing a million users takes long, so it runs only when it is named.
pub(crate) const NAME: &str = "scale";

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// How often each request is measured; the two services take turns.
const TURNS: usize = 400;

/// Users with a password, a session and a refresh token each, from the first number to the last. Their ids are spread
/// as random ones are.
const POSTGRES: [&str; 5] = [
    "INSERT INTO users (id, email, email_key, email_verified_at, roles, created_at, updated_at) \
     SELECT md5('u' || n)::uuid, 'n' || n || '@example.com', 'n' || n || '@example.com', 1, '[]', 1, 1 \
     FROM generate_series(1, $1::bigint) n",
    "INSERT INTO credentials (user_id, version, password_hash) \
     SELECT md5('u' || n)::uuid, md5('c' || n)::uuid, 'a hash' FROM generate_series(1, $1::bigint) n",
    "INSERT INTO sessions (id, user_id, credential_version, authenticated_at, amr, last_seen_at, idle_expires_at, \
     expires_at) SELECT md5('s' || n)::uuid, md5('u' || n)::uuid, md5('c' || n)::uuid, 1, '[\"pwd\"]', 1, \
     4000000000000000 + n, 4000000000000000 + n FROM generate_series(1, $1::bigint) n",
    "INSERT INTO refresh_tokens (session_id, generation, hash) \
     SELECT md5('s' || n)::uuid, 0, decode(md5('r' || n) || md5('t' || n), 'hex') FROM generate_series(1, $1::bigint) n",
    "ANALYZE",
];
macro_rules! numbered {
    ($insert:literal, $select:literal) => {
        concat!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) ",
            $insert,
            " SELECT ",
            $select,
            " FROM numbers"
        )
    };
}
const SQLITE: [&str; 5] = [
    // Sixteen bytes each: a number that goes through all values before it repeats, and the number itself.
    numbered!(
        "INSERT INTO users (id, email, email_key, email_verified_at, roles, created_at, updated_at)",
        "CAST(printf('%08x%08x', n * 2654435761 % 4294967296, n) AS BLOB), \
         'n' || n || '@example.com', 'n' || n || '@example.com', 1, '[]', 1, 1"
    ),
    numbered!(
        "INSERT INTO credentials (user_id, version, password_hash)",
        "CAST(printf('%08x%08x', n * 2654435761 % 4294967296, n) AS BLOB), zeroblob(16), 'a hash'"
    ),
    numbered!(
        "INSERT INTO sessions (id, user_id, credential_version, authenticated_at, amr, last_seen_at, idle_expires_at, \
         expires_at)",
        "CAST(printf('%08x%08x', n * 2246822519 % 4294967296, n) AS BLOB), \
         CAST(printf('%08x%08x', n * 2654435761 % 4294967296, n) AS BLOB), zeroblob(16), 1, '[\"pwd\"]', 1, \
         4000000000000000 + n, 4000000000000000 + n"
    ),
    numbered!(
        "INSERT INTO refresh_tokens (session_id, generation, hash)",
        "CAST(printf('%08x%08x', n * 2246822519 % 4294967296, n) AS BLOB), 0, randomblob(32)"
    ),
    "ANALYZE",
];

/// How often PostgreSQL has read a large table from one end to the other.
const FULL_SCANS: &str = "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables \
     WHERE schemaname = current_schema() AND relname IN ('users', 'credentials', 'sessions', 'refresh_tokens')";

/// A service, the user who is measured, and what was measured.
struct Stage {
    service: Service,
    client: Client,
    grant: Grant,
    log_ins: Vec<Duration>,
    refreshes: Vec<Duration>,
    log_outs: Vec<Duration>,
}

pub(crate) fn run() {
    let runtime = runtime();
    for database in Database::BOTH {
        runtime.block_on(measure(database));
    }
}

async fn measure(database: Database) {
    let mut stages = [Stage::start(database, FEW).await, Stage::start(database, MANY).await];
    let scans = full_scans(&stages[1].service).await;
    for turn in 0..TURNS {
        // Neither always goes first.
        let order = if turn.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for place in order {
            stages[place].turn().await;
        }
    }
    if let (Some(before), Some(after)) = (scans, full_scans(&stages[1].service).await) {
        figure(&format!("{database:?}: full scans of large tables"), (after - before) as f64, "", "0");
    }
    let [few, many] = &mut stages;
    for (what, few, many) in [
        ("log-in", &mut few.log_ins, &mut many.log_ins),
        ("refresh", &mut few.refreshes, &mut many.refreshes),
        ("log-out", &mut few.log_outs, &mut many.log_outs),
    ] {
        let (few, many) = (quantile(few, 0.5), quantile(many, 0.5));
        println!("{database:?}: {what}: {few:.2?} among {FEW} users, {many:.2?} among {MANY}");
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        figure(&format!("{database:?}: {what}, a million users / a thousand"), ratio, "", "at most 1.50");
    }
}

impl Stage {
    async fn start(database: Database, users: u32) -> Self {
        let service = Service::start(database, &[]);
        if service.schema.is_empty() {
            let pool = accounts::sqlite(&service).await;
            for statement in SQLITE {
                sqlx::query(statement).bind(i64::from(users)).execute(&pool).await.unwrap();
            }
        } else {
            let pool = accounts::postgres(&service).await;
            for statement in POSTGRES {
                let query = sqlx::query(statement);
                let query = if statement.contains("$1") { query.bind(i64::from(users)) } else { query };
                query.execute(&pool).await.unwrap();
            }
        }
        let client = Client::new(&service.url());
        let grant = client.register("ada@example.com").await.grant();
        Self { service, client, grant, log_ins: Vec::new(), refreshes: Vec::new(), log_outs: Vec::new() }
    }

    async fn turn(&mut self) {
        let begun = Instant::now();
        self.grant = self.client.refresh(&self.grant.refresh_token).await.grant();
        self.refreshes.push(begun.elapsed());
        let begun = Instant::now();
        let session = self.client.log_in("ada@example.com").await.grant();
        self.log_ins.push(begun.elapsed());
        let begun = Instant::now();
        self.client.log_out(&session.access_token).await.answered(204);
        self.log_outs.push(begun.elapsed());
    }
}

/// `None` where the database does not count.
async fn full_scans(service: &Service) -> Option<i64> {
    if service.schema.is_empty() {
        return None;
    }
    // The server's processes report what they counted once a second at most.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Some(sqlx::query_scalar(FULL_SCANS).fetch_one(&accounts::postgres(service).await).await.unwrap())
}
