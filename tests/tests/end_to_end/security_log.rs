//! The security log can be checked: what was changed, removed or moved is found, and where.

use std::time::{Duration, Instant};

use doorward_auth::{EventChain, ListEvents, RootSecret, verify_events};
use doorward_tests::in_process::InProcess;
use doorward_tests::{Client, Database, PASSWORD, Service, Table};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::in_process_steps::{log_in, register};

/// Waits until everything that was written is sealed, which takes two seconds at most.
async fn sealed(table: &Table) {
    let started = Instant::now();
    while table.number("SELECT count(*) FROM event_queue").await > 0 {
        assert!(started.elapsed() < Duration::from_secs(2), "events wait to be sealed for longer than two seconds");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn verify(service: &Service, arguments: &[&str]) -> (bool, Value) {
    let output = service.command(&[&["events", "verify", "--json"], arguments].concat());
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.success(), report)
}

fn findings(service: &Service) -> Vec<String> {
    let (sound, report) = verify(service, &[]);
    let findings: Vec<String> = serde_json::from_value(report["findings"].clone()).unwrap();
    assert_eq!(sound, findings.is_empty(), "{report}");
    findings
}

/// Takes away what keeps the log from being changed, as who owns the tables can.
async fn unprotect(table: &Table) {
    match table {
        Table::Sqlite(_) => table.run("DROP TRIGGER events_keep; DROP TRIGGER events_keep_uncut").await,
        Table::Postgres(_) => table.run("ALTER TABLE events DISABLE TRIGGER ALL").await,
    }
}

async fn filled(database: Database) -> (Service, Table) {
    let service = Service::start(database, &[]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    for _ in 0..10 {
        client.log_in("ada@example.com").await.answered(200);
    }
    let table = Table::of(&service).await;
    sealed(&table).await;
    (service, table)
}

#[tokio::test]
async fn nobody_changes_an_entry_by_the_service_s_own_role() {
    for database in Database::BOTH {
        let (_service, table) = filled(database).await;
        let every = ["UPDATE events SET kind = 'logout'", "DELETE FROM events"];
        let truncate = (database == Database::Postgres).then_some("TRUNCATE events");
        for statement in every.into_iter().chain(truncate) {
            let refused = table.try_run(statement).await.unwrap_err().to_string();
            assert!(refused.contains("can only be added to"), "{statement}: {refused}");
        }
        assert_eq!(table.number("SELECT count(*) FROM events WHERE kind = 'login'").await, 10);
    }
}

#[tokio::test]
async fn every_tampering_is_found_and_named() {
    for database in Database::BOTH {
        let (service, table) = filled(database).await;
        assert_eq!(findings(&service), Vec::<String>::new());
        let (_, before) = verify(&service, &[]);
        let head = before["head"].as_str().unwrap().to_owned();
        unprotect(&table).await;
        let at = |position: i64| format!("(SELECT event_id FROM event_seals WHERE position = {position})");
        table.run(&format!("UPDATE events SET reason = 'wrong_password' WHERE id = {}", at(2))).await;
        table.run(&format!("UPDATE events SET request_id = 'two\nlines' WHERE id = {}", at(3))).await;
        table.run(&format!("DELETE FROM events WHERE id = {}", at(4))).await;
        // Two that have changed places.
        table
            .run(
                "UPDATE event_seals SET position = CASE position WHEN 6 THEN -7 ELSE -6 END WHERE position IN (6, 7); \
                 UPDATE event_seals SET position = -position WHERE position < 0",
            )
            .await;
        table
            .run(&format!("DELETE FROM events WHERE id = {}; DELETE FROM event_seals WHERE position = 9", at(9)))
            .await;
        let found = findings(&service);
        for (place, what) in [
            ("position 2:", "was changed"),
            ("position 3:", "was changed"),
            ("position 4:", "was removed"),
            ("position 6:", "was changed"),
            ("position 7:", "was changed"),
            // The one behind them follows another one now.
            ("position 8:", "was changed"),
            ("position 9:", "and its seal were removed"),
        ] {
            assert!(found.iter().any(|found| found.starts_with(place) && found.contains(what)), "{place} {found:?}");
        }
        assert_eq!(found.len(), 7, "{found:?}");

        // The end cut off, and the chain's end put where it would fit.
        table
            .run(
                "DELETE FROM events WHERE id IN (SELECT event_id FROM event_seals WHERE position > 10); \
                 DELETE FROM event_seals WHERE position > 10; UPDATE event_chain SET head_position = 10, \
                 head_link = (SELECT link FROM event_seals WHERE position = 10)",
            )
            .await;
        let found = findings(&service);
        assert!(found.iter().any(|found| found.contains("the end of the log was changed")), "{found:?}");
        let (sound, report) = verify(&service, &["--expect", &head]);
        assert!(!sound && report["findings"].to_string().contains("not the log that was expected"), "{report}");
    }
}

#[tokio::test]
async fn what_was_put_in_or_taken_out_past_the_chain_is_found() {
    for database in Database::BOTH {
        let (service, table) = filled(database).await;
        unprotect(&table).await;
        let insert = match database {
            Database::Sqlite => {
                "DROP TRIGGER events_queue; INSERT INTO events (id, at, kind) VALUES (randomblob(16), 1, 'login')"
            }
            Database::Postgres => "INSERT INTO events (id, at, kind) VALUES (gen_random_uuid(), 1, 'login')",
        };
        table.run(insert).await;
        let found = findings(&service);
        assert!(found.len() == 1 && found[0].contains("put into the log by somebody else"), "{found:?}");
    }
}

/// SQLite takes any value in any column once a table is not strict; none may pass for another, and none hide the others.
#[tokio::test]
async fn values_of_other_types_are_found_and_hide_nothing() {
    let (service, table) = filled(Database::Sqlite).await;
    // The last one has the sign that stands for a byte which is no text.
    let last = "INSERT INTO events (id, at, kind, user_agent) VALUES (x'ffffffffffff70008000000000000001', 1, 'login', \
                'a' || char(65533))";
    table.run(last).await;
    sealed(&table).await;
    assert_eq!(findings(&service), Vec::<String>::new());
    unprotect(&table).await;
    table
        .run(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') \
             WHERE name IN ('events', 'event_seals'); PRAGMA writable_schema = RESET; \
             CREATE TABLE other (n); DROP TABLE other",
        )
        .await;
    let at = |position: i64| format!("(SELECT event_id FROM event_seals WHERE position = {position})");
    let set = |value: &str, position| format!("UPDATE events SET {value} WHERE id = {}", at(position));
    for statement in [
        set("ip = '192.0.2.9'", 2),
        set("kind = CAST(kind AS BLOB)", 3),
        set("at = at + 0.5", 4),
        set("user_id = CAST(user_id AS TEXT)", 5),
        set("id = CAST(id AS TEXT)", 6),
        "UPDATE event_seals SET event_id = CAST(event_id AS TEXT) WHERE position = 6".to_owned(),
        "UPDATE event_seals SET link = CAST(link AS TEXT) WHERE position = 7".to_owned(),
        set("user_agent = replace(hex(zeroblob(50000)), '0', char(1)), count = 1.5", 9),
        set("session_id = x''", 10),
        "UPDATE event_seals SET event_id = x'00' WHERE position = 11".to_owned(),
        set("user_agent = CAST(x'61ff' AS TEXT)", 13),
    ] {
        table.run(&statement).await;
    }
    let found = findings(&service);
    for position in [2, 3, 4, 5, 6, 7, 9, 10, 11, 13] {
        let place = format!("position {position}:");
        assert!(found.iter().any(|found| found.starts_with(&place)), "{place} {found:?}");
    }
    // The last finding is the entry whose seal names another one.
    assert_eq!(found.len(), 11, "{found:?}");
    assert!(found[10].contains("put into the log by somebody else"), "{found:?}");
    assert_eq!(service.succeed(&["events", "export"]).lines().count(), 13);
}

/// Seals that stand beside the chain, in numbers and where a question can miss them.
#[tokio::test]
async fn seals_beside_the_chain_are_found_and_keep_nobody_going() {
    let (service, table) = filled(Database::Sqlite).await;
    unprotect(&table).await;
    table
        .run(
            "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 6000) INSERT INTO event_seals \
             SELECT 1000000 + n, randomblob(16), zeroblob(32) FROM c; \
             DELETE FROM event_seals WHERE position BETWEEN 11 AND 999",
        )
        .await;
    let (_, report) = verify(&service, &[]);
    // Two are gone from the end, whose entries have no seal now, and 6,000 are behind it.
    assert_eq!(report["found"], 6_003, "{}", report["findings"][0]);
    assert_eq!(service.succeed(&["events", "export"]).lines().count(), 10);
    table
        .run(
            "ALTER TABLE event_seals RENAME TO before; CREATE TABLE event_seals (position, event_id BLOB, link BLOB); \
             INSERT INTO event_seals SELECT * FROM before WHERE position < 1000 ORDER BY position; \
             DROP TRIGGER events_queue; \
             INSERT INTO events (id, at, kind) VALUES (x'ffffffffffff70008000000000000001', 1, 'login'); \
             INSERT INTO event_seals VALUES (NULL, x'ffffffffffff70008000000000000001', x'00')",
        )
        .await;
    let found = findings(&service);
    assert!(found.iter().any(|found| found.contains("has a seal that is not on the chain")), "{found:?}");
}

/// What was done to the log is not made good by what the service does next: to seal, and to delete by age.
#[tokio::test]
async fn the_service_makes_no_tampering_good() {
    for database in Database::BOTH {
        for tampering in [
            // The end cut off, with the chain's end where it would fit.
            "DELETE FROM events WHERE id IN (SELECT event_id FROM event_seals WHERE position > 3); \
             DELETE FROM event_seals WHERE position > 3; UPDATE event_chain SET head_position = 3, \
             head_link = (SELECT link FROM event_seals WHERE position = 3)",
            // The last ones changed and put back among those that wait.
            "UPDATE events SET ip = '192.0.2.9' WHERE id IN (SELECT event_id FROM event_seals WHERE position > 9); \
             INSERT INTO event_queue SELECT event_id FROM event_seals WHERE position > 9; \
             DELETE FROM event_seals WHERE position > 9",
            // All of it changed, and the chain as if nothing had been sealed.
            "UPDATE events SET ip = '192.0.2.9'; UPDATE event_chain SET head_position = 0, \
             head_link = (SELECT cut_link FROM event_chain), head_tag = (SELECT cut_tag FROM event_chain)",
            // Seals beside the chain, and one in the way.
            "UPDATE event_seals SET position = -7 WHERE position = 3",
            "UPDATE event_seals SET position = 1000000 WHERE position = 12",
            "UPDATE event_chain SET head_position = 9223372036854775807",
            // The oldest made to look as if they had to go.
            "UPDATE events SET at = 1 WHERE id IN (SELECT event_id FROM event_seals WHERE position < 7)",
            "DELETE FROM event_chain",
        ] {
            let (mut service, table) = filled(database).await;
            unprotect(&table).await;
            table.run(tampering).await;
            assert!(!service.command(&["events", "verify"]).status.success(), "{database:?} {tampering}: not found");
            Client::new(&service.url()).log_in_with("ada@example.com", "a wrong one").await.answered(401);
            service.terminate();
            service.start_again();
            // Both steps run at the start; another one after a second.
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            assert!(!service.command(&["events", "verify"]).status.success(), "{database:?} {tampering}: made good");
            Client::new(&service.url()).log_in("ada@example.com").await.answered(200);
        }
    }
}

#[tokio::test]
async fn an_entry_that_nobody_can_read_hides_no_other() {
    let (service, table) = filled(Database::Sqlite).await;
    unprotect(&table).await;
    let at = |position| format!("(SELECT event_id FROM event_seals WHERE position = {position})");
    table
        .run(&format!(
            "UPDATE events SET user_agent = CAST(x'ff' AS TEXT) WHERE id = {}; UPDATE events SET kind = 'later' WHERE id = {}",
            at(4),
            at(6)
        ))
        .await;
    let found = findings(&service);
    assert!(found.len() == 2 && found[0].contains("position 4") && found[1].contains("position 6"), "{found:?}");
    let listed = service.succeed(&["events", "list"]);
    assert_eq!(listed.lines().count(), 11, "a line for the columns' names and one for each entry: {listed}");
    assert_eq!(service.succeed(&["events", "export"]).lines().count(), 12);
    let client = Client::new(&service.url());
    let token = client.log_in("ada@example.com").await.grant().access_token;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    client.send(Method::GET, "/api/auth/events", &headers, None).await.unwrap().answered(200);
}

#[tokio::test]
async fn what_waits_for_its_seal_too_long_is_found() {
    let (mut service, table) = filled(Database::Sqlite).await;
    service.terminate();
    table.run("INSERT INTO events (id, at, kind) VALUES (randomblob(16), 1, 'login')").await;
    let found = findings(&service);
    assert!(found.len() == 1 && found[0].contains("waits for its seal"), "{found:?}");
}

#[tokio::test]
async fn a_place_that_was_written_down_is_on_the_chain_later() {
    let (service, table) = filled(Database::Sqlite).await;
    let (_, report) = verify(&service, &[]);
    let place = report["head"].as_str().unwrap().to_owned();
    assert_eq!(report["sealed"], 12, "a key, a registration and ten log-ins");
    Client::new(&service.url()).log_in("ada@example.com").await.answered(200);
    sealed(&table).await;
    assert!(verify(&service, &["--expect", &place]).0);
    let elsewhere = place.replace(':', ":0").split_at(place.len()).0.to_owned();
    assert!(!verify(&service, &["--expect", &elsewhere]).0, "{elsewhere}");
    for nonsense in ["", "11", "11:abc", "-1:00"] {
        let output = service.command(&["events", "verify", &format!("--expect={nonsense}")]);
        assert_eq!(output.status.code(), Some(2), "{nonsense}: {output:?}");
    }
}

#[tokio::test]
async fn what_is_exported_is_one_line_each_whatever_a_client_calls_itself() {
    let (service, table) = filled(Database::Sqlite).await;
    let client = Client::new(&service.url());
    let hostile = HeaderValue::from_bytes("curl\u{2028}\u{85}\t{\"kind\":\"login\"}\u{9b}2J é".as_bytes()).unwrap();
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let request = client.http.post(format!("{}/api/auth/login", client.base)).json(&body);
    assert!(request.header("user-agent", hostile).send().await.unwrap().status().is_success());
    sealed(&table).await;
    let lines = service.succeed(&["events", "export"]);
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 13);
    for (n, event) in events.iter().enumerate() {
        assert_eq!(event["position"], n + 1);
        assert_eq!(event["link"].as_str().unwrap().len(), 64);
    }
    let agent = events[12]["event"]["user_agent"].as_str().unwrap();
    assert!(!agent.chars().any(char::is_control) && agent.starts_with("curl"), "{agent:?}");
    let rest = service.succeed(&["events", "export", "--after", "12"]);
    assert_eq!(rest.lines().count(), 1);
    let listed: Value = serde_json::from_str(&service.succeed(&["events", "list", "--limit", "3", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert_eq!(listed[0]["user_agent"], agent);
    assert_eq!(service.succeed(&["events", "list"]).lines().count(), 14);
}

#[tokio::test]
async fn old_entries_go_and_the_rest_can_still_be_verified() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        register(&doorward, "ada@example.com").await;
        for _ in 0..5 {
            log_in(&doorward, "ada@example.com").await;
        }
        while doorward.auth.seal_events().await.unwrap() {}
        doorward.clock.advance(Duration::from_hours(48));
        for _ in 0..3 {
            log_in(&doorward, "ada@example.com").await;
        }
        while doorward.auth.seal_events().await.unwrap() {}
        assert!(!doorward.auth.forget_events(Duration::from_hours(49)).await.unwrap());
        let chain = EventChain::new(&root(&doorward).await);
        let report =
            verify_events(&*doorward.store, &chain, None, doorward_domain::Clock::now(&*doorward.clock)).await.unwrap();
        assert_eq!((report.sealed, report.cut, report.found), (10, 0, 0), "{report:?}");
        while doorward.auth.forget_events(Duration::from_hours(24)).await.unwrap() {}
        let report =
            verify_events(&*doorward.store, &chain, None, doorward_domain::Clock::now(&*doorward.clock)).await.unwrap();
        assert_eq!((report.sealed, report.cut, report.found), (3, 7, 0), "{report:?}");
        let other = EventChain::new(&RootSecret::generate(&doorward::SystemEntropy).unwrap());
        assert!(
            verify_events(&*doorward.store, &other, None, doorward_domain::Clock::now(&*doorward.clock))
                .await
                .unwrap()
                .found
                > 0,
            "any key fits the chain"
        );
        let user = log_in(&doorward, "ada@example.com").await;
        let current = doorward.auth.authenticate(&user.access_token.text).unwrap();
        let events = doorward.auth.events(&current, ListEvents::default()).await.unwrap().events;
        assert_eq!(events.len(), 4, "what was deleted is gone for its user, too");
    }
}

async fn root(doorward: &InProcess) -> RootSecret {
    RootSecret::load(&*doorward.store, &doorward.sealer()).await.unwrap()
}

#[tokio::test]
async fn what_no_use_case_sees_is_on_record_too() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__REQUESTS_BY_CLIENT", "3/1h")]);
    let client = Client::new(&service.url());
    let body = json!({ "email": "ada@example.com", "password": PASSWORD, "session": "cookie" });
    let headers = [("origin", "https://evil.example"), ("x-request-id", "the-one")];
    let answer = client.send(Method::POST, "/api/auth/login", &headers, Some(&body)).await.unwrap();
    answer.refused(403, "csrf_rejected");
    for _ in 0..3 {
        client.get("/api/auth/me").await;
    }
    let table = Table::of(&service).await;
    let one = "SELECT count(*) FROM events WHERE kind = 'request' AND reason = ";
    let origin = format!("{one} 'other_origin' AND request_id = 'the-one' AND ip = '127.0.0.1'");
    assert_eq!(table.number(&origin).await, 1);
    assert_eq!(table.number(&format!("{one} 'client_limit'")).await, 1);
}

#[tokio::test]
async fn events_retention_decides_how_long_entries_stay() {
    for (retention, left) in [("1d", 0), ("forever", 1), ("365d", 1)] {
        let mut service = Service::start(Database::Sqlite, &[("EVENTS__RETENTION", retention)]);
        service.terminate();
        let table = Table::of(&service).await;
        // A log that begins with an entry of the day before yesterday.
        unprotect(&table).await;
        table
            .run(
                "DELETE FROM events; DELETE FROM event_queue; DELETE FROM event_seals; \
                 UPDATE event_chain SET head_position = 0, head_link = zeroblob(32), head_tag = zeroblob(32)",
            )
            .await;
        let two_days = 2 * 24 * 3_600 * 1_000_000_i64;
        table
            .run(&format!(
                "INSERT INTO events (id, at, kind) VALUES (randomblob(16), \
                 cast(strftime('%s', 'now') AS INTEGER) * 1000000 - {two_days}, 'logout')"
            ))
            .await;
        service.start_again();
        sealed(&table).await;
        // The first clean-up came before the entry was sealed; the one of the next start finds it.
        service.terminate();
        service.start_again();
        let counted = "SELECT count(*) FROM events WHERE kind = 'logout'";
        let started = Instant::now();
        while table.number(counted).await != left && started.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(if left == 1 { 300 } else { 0 })).await;
        assert_eq!(table.number(counted).await, left, "{retention}");
        assert_eq!(findings(&service), Vec::<String>::new());
    }
}
