//! Killed at any moment: what was answered is mailed, and hardly ever twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_tests::smtp::{SmtpSink, page, token};
use doorward_tests::{Client, Database, PASSWORD, Service, rounds};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::mail_steps::{SOON, verified, verify_in_database};

/// Within which time after a start everything that was answered before has been mailed.
const RECOVERY: Duration = Duration::from_secs(60);

/// A mail that an answer promised: its recipient and the page that it leads to.
type Promise = (String, &'static str);

/// Sends until the service is gone. `Some` for an answered request.
async fn answered(client: &Client, path: &str, body: &Value) -> Option<()> {
    loop {
        let answer = client.send(Method::POST, path, &[], Some(body)).await.ok()?;
        if answer.status.as_u16() != 503 {
            answer.answered(202);
            return Some(());
        }
    }
}

/// Registers, and resets what was registered before, until the service is gone; returns what was promised.
async fn load(
    client: Client,
    round: usize,
    worker: usize,
    known: Vec<String>,
    first_answer: Arc<Notify>,
) -> Vec<Promise> {
    let mut promised = Vec::new();
    let mut known = known.into_iter();
    for n in 0.. {
        let email = format!("ada-{round}-{worker}-{n}@example.com");
        let body = json!({ "email": email, "password": PASSWORD });
        if answered(&client, "/api/auth/register", &body).await.is_none() {
            break;
        }
        promised.push((email, page::VERIFY_EMAIL));
        first_answer.notify_one();
        let Some(email) = known.next() else { continue };
        if answered(&client, "/api/auth/reset-password", &json!({ "email": email })).await.is_none() {
            break;
        }
        promised.push((email, page::RESET_PASSWORD));
    }
    promised
}

async fn wait_for_all(sink: &SmtpSink, promised: &[Promise], started: Instant, round: usize) {
    loop {
        let received = sink.received();
        let has = |(email, page): &&Promise| received.iter().any(|mail| mail.is_to(email) && mail.leads_to(page));
        let missing: Vec<&Promise> = promised.iter().filter(|promise| !has(promise)).collect();
        if missing.is_empty() {
            return;
        }
        assert!(started.elapsed() < RECOVERY, "round {round}: never mailed: {missing:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many messages came more often than once, each time counted. A copy has to be one.
fn copies(sink: &SmtpSink) -> usize {
    let received = sink.received();
    let mut by_id: HashMap<&str, Vec<_>> = HashMap::new();
    for mail in &received {
        by_id.entry(mail.message_id.as_str()).or_default().push(mail);
    }
    for (id, same) in &by_id {
        for mail in same {
            assert_eq!(mail.envelope_to, same[0].envelope_to, "{id} goes to several");
            assert_eq!(token(mail), token(same[0]), "{id} has several tokens");
        }
    }
    // Every request asked for one mail of its kind to its address, so another id would be a copy in disguise.
    let mut by_promise: HashMap<(&str, bool), usize> = HashMap::new();
    for same in by_id.values() {
        let mail = same[0];
        *by_promise.entry((mail.envelope_to[0].as_str(), mail.leads_to(page::VERIFY_EMAIL))).or_default() += 1;
    }
    let disguised: Vec<_> = by_promise.iter().filter(|(_, count)| **count > 1).collect();
    assert!(disguised.is_empty(), "one request, several messages: {disguised:?}");
    received.len() - by_id.len()
}

/// How many services are killed side by side. Each of them waits for its leases to end most of the time.
const LIVES: usize = 16;

/// What was seen of kills.
#[derive(Default)]
struct Survived {
    kills: usize,
    answered: usize,
    copies: usize,
}

/// Kills one service in these rounds, each at a moment of its own.
async fn live(database: Database, rounds: impl Iterator<Item = usize>) -> Survived {
    let sink = SmtpSink::start();
    let mut service = Service::start_with_mail(database, &sink, &[]);
    let mut known: Vec<String> = Vec::new();
    let mut survived = Survived::default();
    for round in rounds {
        let client = Client::new(&service.url());
        let first_answer = Arc::new(Notify::new());
        let workers: Vec<_> = (0..6)
            .map(|worker| {
                let own = known.iter().skip(worker).step_by(6).cloned().collect();
                tokio::spawn(load(client.clone(), round, worker, own, Arc::clone(&first_answer)))
            })
            .collect();
        // Anything from the first answer to well under way, the same in every run.
        first_answer.notified().await;
        tokio::time::sleep(Duration::from_millis((round as u64 * 197) % 1_500)).await;
        service.kill();
        let mut promised = Vec::new();
        for worker in workers {
            promised.extend(worker.await.unwrap());
        }
        service.start_again();
        wait_for_all(&sink, &promised, Instant::now(), round).await;
        survived.kills += 1;
        survived.answered += promised.len();
        survived.copies = copies(&sink);
        assert!(survived.copies <= survived.kills, "{} copies after {} kills", survived.copies, survived.kills);
        known = promised.into_iter().filter(|(_, page)| *page == page::VERIFY_EMAIL).map(|(email, _)| email).collect();
        // More would take longer to verify than to kill.
        known.truncate(60);
        for email in &known {
            verify_in_database(&service, email).await;
        }
    }
    survived
}

async fn survives(database: Database) {
    let rounds = rounds(3);
    let lives = LIVES.min(rounds);
    // Each on a thread of its own: reading what a sink has received would hold up the others.
    let lives: Vec<_> = (0..lives)
        .map(|life| {
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(live(database, (life..rounds).step_by(lives)))
            })
        })
        .collect();
    let mut total = Survived::default();
    for life in lives {
        let life = life.await.unwrap();
        total.kills += life.kills;
        total.answered += life.answered;
        total.copies += life.copies;
    }
    let Survived { kills, answered, copies } = total;
    assert_eq!(kills, rounds);
    assert!(answered > 0, "nothing was answered between the kills");
    println!("{database:?}: {kills} kills, {answered} answered requests, all mailed, {copies} copies");
}

#[tokio::test]
async fn answered_requests_are_mailed_after_a_kill_on_sqlite() {
    survives(Database::Sqlite).await;
}

#[tokio::test]
async fn answered_requests_are_mailed_after_a_kill_on_postgres() {
    survives(Database::Postgres).await;
}

#[tokio::test]
async fn a_node_delivers_what_another_leased_and_died_with() {
    let sink = SmtpSink::start();
    let mut one = Service::start_with_mail(Database::Postgres, &sink, &[]);
    let client = Client::new(&one.url());
    // Held by a server that does not answer, and so leased.
    let addresses: Vec<String> = (0..4).map(|n| format!("ada{n}@tarpit.example")).collect();
    for address in &addresses {
        client.register(address).await.answered(202);
    }
    sink.wait_for_event("tarpit", None, 1, SOON).await;
    one.kill();
    let killed = Instant::now();
    sink.release_tarpit();
    // Begun only now: before, it would take some of the mails itself.
    let other = one.another_node();
    let there = Client::new(&other.url());
    for address in &addresses {
        let left = RECOVERY.saturating_sub(killed.elapsed());
        let mail = sink.wait_for(|mail| mail.is_to(address), left).await;
        there.verify_email(&token(&mail)).await.answered(204);
    }
    for address in &addresses {
        assert_eq!(sink.received_by(address).len(), 1, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_deliver_each_mail_once() {
    let sink = SmtpSink::start();
    let one = Service::start_with_mail(Database::Postgres, &sink, &[]);
    let other = one.another_node();
    let nodes = [Client::new(&one.url()), Client::new(&other.url())];
    verified(&nodes[0], &sink, "first@example.com").await;
    let registering: Vec<_> = (0..60)
        .map(|n| {
            let client = nodes[n % 2].clone();
            tokio::spawn(async move { client.register(&format!("ada{n}@example{}.com", n % 5)).await })
        })
        .collect();
    let mut expected = 1;
    for task in registering {
        let answer = task.await.unwrap();
        if answer.status.as_u16() != 503 {
            answer.answered(202);
            expected += 1;
        }
    }
    sink.wait_until_count(expected, RECOVERY).await;
    // Whoever holds a second copy is about to send it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sink.count(), expected, "something was delivered by both");
    assert_eq!(copies(&sink), 0);
}
