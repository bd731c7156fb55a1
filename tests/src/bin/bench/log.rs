//! The security log: a million entries verified, a hundred tamperings found, and what a flood adds.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Service, Table};
use serde_json::Value;

use super::{figure, runtime};

pub(crate) const NAME: &str = "log";

const ENTRIES: i64 = 1_000_000;
const TAMPERINGS: i64 = 100;

pub(crate) fn run() {
    for database in Database::BOTH {
        println!("-- {database:?}");
        runtime().block_on(verify(database));
    }
    runtime().block_on(flood());
}

async fn verify(database: Database) {
    let service = Service::start(database, &[("LOG__LEVEL", "warn,doorward::command=info")]);
    let table = Table::of(&service).await;
    let begun = Instant::now();
    let values = "'login', CASE n % 3 WHEN 0 THEN 'wrong_password' END, '192.0.2.1', 'Mozilla/5.0 (X11; Linux x86_64)'";
    let insert = match database {
        Database::Sqlite => format!(
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {ENTRIES}) \
             INSERT INTO events (id, at, kind, reason, ip, user_agent, request_id) \
             SELECT unhex(printf('%012x7000800000000000%04x', 1800000000000 + n, n % 65536)), \
             1800000000000000 + n, {values}, 'request-' || n FROM c"
        ),
        Database::Postgres => format!(
            "INSERT INTO events (id, at, kind, reason, ip, user_agent, request_id) \
             SELECT (lpad(to_hex(1800000000000 + n), 12, '0') || '7000800000000000' || lpad(to_hex(n % 65536), 4, '0'))::uuid, \
             1800000000000000 + n, {values}, 'request-' || n FROM generate_series(1, {ENTRIES}) AS n"
        ),
    };
    table.run(&insert).await;
    println!("{ENTRIES} entries written in {:.1?}", begun.elapsed());
    let begun = Instant::now();
    while table.number("SELECT head_position FROM event_chain").await < ENTRIES {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(begun.elapsed() < Duration::from_mins(10), "the log is not sealed: {}", service.log());
    }
    println!("and sealed {:.0} a second", ENTRIES as f64 / begun.elapsed().as_secs_f64());

    let (took, report) = verified(&service);
    assert_eq!(report["found"], 0, "{report}");
    figure("a sound log is verified in", took.as_secs_f64(), " s", "under 10 s");

    // Every hundredth part of the log has one entry changed, removed, or put in another's place.
    let (mut tampered, mut behind) = (BTreeSet::new(), BTreeSet::new());
    match database {
        Database::Sqlite => table.run("DROP TRIGGER events_keep; DROP TRIGGER events_keep_uncut").await,
        Database::Postgres => table.run("ALTER TABLE events DISABLE TRIGGER ALL").await,
    }
    for n in 0..TAMPERINGS {
        let position = n * (ENTRIES / TAMPERINGS) + 1 + (n * n * 7_919) % (ENTRIES / TAMPERINGS - 2);
        let at = |position: i64| format!("(SELECT event_id FROM event_seals WHERE position = {position})");
        let id = at(position);
        tampered.insert(position);
        let statement = match n % 5 {
            0 => format!("UPDATE events SET ip = '192.0.2.2' WHERE id = {id}"),
            1 => format!("UPDATE events SET at = at + 1 WHERE id = {id}"),
            2 => format!("DELETE FROM events WHERE id = {id}"),
            3 => format!("DELETE FROM events WHERE id = {id}; DELETE FROM event_seals WHERE position = {position}"),
            _ => {
                tampered.insert(position + 1);
                // This one follows another one now, and is named for it.
                behind.insert(position + 2);
                format!(
                    "UPDATE event_seals SET position = CASE position WHEN {position} THEN -{next} ELSE -{position} END \
                     WHERE position IN ({position}, {next}); \
                     UPDATE event_seals SET position = -position WHERE position < 0",
                    next = position + 1,
                )
            }
        };
        table.run(&statement).await;
    }
    let (took, report) = verified(&service);
    let findings: Vec<String> = serde_json::from_value(report["findings"].clone()).unwrap();
    let found: BTreeSet<i64> = findings.iter().map(|finding| named(finding)).collect();
    println!("tampered positions found: {} of {}", tampered.intersection(&found).count(), tampered.len());
    println!(
        "positions named that nobody touched: {} (goal: 0)",
        found.difference(&tampered).filter(|position| !behind.contains(position)).count()
    );
    figure("a log with so many tamperings is verified in", took.as_secs_f64(), " s", "under 10 s");
}

/// The position that a finding names.
fn named(finding: &str) -> i64 {
    finding.split(['n', ' ', ':', 's']).find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{finding}"))
}

fn verified(service: &Service) -> (Duration, Value) {
    let begun = Instant::now();
    let output = service.command(&["events", "verify", "--json"]);
    (begun.elapsed(), serde_json::from_slice(&output.stdout).unwrap())
}

/// Ten minutes of refused log-ins, as fast as they are answered.
async fn flood() {
    const SPAN: Duration = Duration::from_mins(10);
    let minutes = std::env::var("DOORWARD_MINUTES").ok().and_then(|text| text.parse().ok());
    let span = minutes.map_or(SPAN, Duration::from_mins);
    let service = Service::start(Database::Sqlite, &[("LOG__LEVEL", "warn,doorward::command=info")]);
    let client = Client::new(&service.url());
    let table = Table::of(&service).await;
    let begun = Instant::now();
    let floods: Vec<_> = (0..16)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut sent = 0_u64;
                while begun.elapsed() < span {
                    client.log_in_with("ada@example.com", "a wrong password").await;
                    sent += 1;
                }
                sent
            })
        })
        .collect();
    let mut sent = 0;
    for flood in floods {
        sent += flood.await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(12)).await;
    let rows = table.number("SELECT count(*) FROM events").await;
    let counted = table.number("SELECT cast(sum(count) as bigint) FROM events").await;
    println!("flood of {} min: {sent} log-ins, {counted} counted", span.as_secs() / 60);
    // Of each of three sorts (unknown account, wrong password, limit): 50 and one for every ten seconds.
    let goal = 3 * 51 * (span.as_secs() / 10 + 2);
    figure("entries that it added", rows as f64, "", &format!("at most {goal}"));
}
