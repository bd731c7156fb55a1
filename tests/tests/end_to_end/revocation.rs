//! What has ended is ended on every node: at once on the node that was asked, within a second on the others.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_domain::Role;
use doorward_tests::in_process::InProcess;
use doorward_tests::{Client, Database, PASSWORD, PgBouncer, Service, Verdict, postgres, rounds};
use secrecy::SecretString;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use crate::in_process_steps::{NEW_PASSWORD, log_in, register};

/// From when on after the answer nothing is accepted on any node.
const BOUND: Duration = Duration::from_secs(1);
/// How many rounds go on side by side.
const CROWD: usize = 20;
/// How long a watch waits between an answer and its next request.
const PAUSE: Duration = Duration::from_millis(8);
/// One name for all nodes, so that each takes the others' tokens.
const ISSUER: (&str, &str) = ("TOKENS__ISSUER", "https://auth.example.com");

/// What ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Logout,
    LogoutAll,
    EndSession,
    ChangePassword,
    /// By a command and so on no node at all.
    Disable,
}

impl Act {
    const ALL: [Self; 5] = [Self::Logout, Self::LogoutAll, Self::EndSession, Self::ChangePassword, Self::Disable];
}

/// Two nodes on one database.
struct Nodes {
    one: Service,
    other: Service,
}

impl Nodes {
    fn start(one: Service) -> Arc<Self> {
        let other = one.another_node();
        Arc::new(Self { one, other })
    }
}

/// Somebody who logs in, round after round.
struct Person {
    email: String,
    password: &'static str,
}

/// Sends a token to a node again and again.
struct Watch {
    over: Arc<AtomicBool>,
    /// When the last answered request began.
    last: Arc<Mutex<Option<Instant>>>,
    requests: JoinHandle<Vec<(Instant, Verdict)>>,
}

impl Watch {
    async fn begin(node: &Client, token: &str) -> Self {
        let (client, token) = (node.clone(), token.to_owned());
        assert_eq!(client.judge(&token).await, Verdict::Accepted, "refused before anything happened");
        let over = Arc::new(AtomicBool::new(false));
        let last = Arc::new(Mutex::new(None));
        let (is_over, begun) = (Arc::clone(&over), Arc::clone(&last));
        let requests = tokio::spawn(async move {
            let mut requests = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let started = Instant::now();
                // Only a round that has failed takes its node away.
                let Some(verdict) = client.try_judge(&token).await else { break };
                requests.push((started, verdict));
                *begun.lock().unwrap() = Some(started);
                tokio::time::sleep(PAUSE).await;
            }
            requests
        });
        Self { over, last, requests }
    }

    /// How long after the answer the last request began that was accepted all the same; `None` when it was none.
    async fn latest_accepted(self, answered: Instant) -> Option<Duration> {
        // On a busy machine a request may take its time; one has to begin after the bound.
        while self.last.lock().unwrap().is_none_or(|started| started <= answered + BOUND) {
            assert!(answered.elapsed() < 10 * BOUND, "nothing was answered that was asked after the bound");
            tokio::time::sleep(PAUSE).await;
        }
        self.over.store(true, Ordering::SeqCst);
        let requests = self.requests.await.unwrap();
        assert!(requests.iter().all(|(_, verdict)| *verdict != Verdict::Stale));
        let accepted = requests.iter().filter(|(_, verdict)| *verdict == Verdict::Accepted);
        accepted.map(|(started, _)| *started).filter(|started| *started > answered).max().map(|last| last - answered)
    }
}

/// Ends a session on the first node; returns for how long after the answer its token was accepted on the other.
async fn one_round(nodes: &Arc<Nodes>, person: &mut Person, act: Act) -> Duration {
    let (here, there) = (Client::new(&nodes.one.url()), Client::new(&nodes.other.url()));
    let victim = here.log_in_with(&person.email, person.password).await.grant();
    let actor = here.log_in_with(&person.email, person.password).await.grant();
    let watch_here = Watch::begin(&here, &victim.access_token).await;
    let watch_there = Watch::begin(&there, &victim.access_token).await;
    tokio::time::sleep(3 * PAUSE).await;

    match act {
        Act::Logout => {
            here.log_out(&victim.access_token).await.answered(204);
        }
        Act::LogoutAll => {
            here.log_out_everywhere(&actor.access_token).await.answered(204);
        }
        Act::EndSession => {
            here.end_session(&actor.access_token, &victim.session_id).await.answered(204);
        }
        Act::ChangePassword => {
            let new = if person.password == PASSWORD { NEW_PASSWORD } else { PASSWORD };
            here.change_password(&actor.access_token, person.password, new).await.answered(204);
            person.password = new;
        }
        Act::Disable => command(nodes, "disable", &person.email).await,
    }
    let answered = Instant::now();

    for node in [&there, &here] {
        node.refresh(&victim.refresh_token).await.refused(401, "invalid_refresh_token");
    }
    let on_one = watch_here.latest_accepted(answered).await;
    let on_other = watch_there.latest_accepted(answered).await.unwrap_or_default();
    match act {
        Act::Disable => assert!(on_one.unwrap_or_default() <= BOUND, "accepted {on_one:?} after the command"),
        _ => assert_eq!(on_one, None, "{act:?}: accepted on the node that had ended it"),
    }
    assert!(on_other <= BOUND, "{act:?}: accepted on another node {on_other:?} after the answer");

    if act == Act::Disable {
        here.log_in_with(&person.email, person.password).await.refused(403, "account_disabled");
        command(nodes, "enable", &person.email).await;
        there.refresh(&victim.refresh_token).await.refused(401, "invalid_refresh_token");
        assert_eq!(there.judge(&victim.access_token).await, Verdict::Refused, "enabling gave a session back");
    }
    here.log_out(&actor.access_token).await.answered(204);
    on_other
}

async fn command(nodes: &Arc<Nodes>, act: &'static str, email: &str) {
    let (nodes, email) = (Arc::clone(nodes), email.to_owned());
    tokio::task::spawn_blocking(move || drop(nodes.one.succeed(&["users", act, &email]))).await.unwrap();
}

async fn measure(how: &str, nodes: &Arc<Nodes>) {
    let rounds = rounds(CROWD);
    let client = Client::new(&nodes.one.url());
    let mut crowd = Vec::new();
    for n in 0..CROWD.min(rounds) {
        let person = Person { email: format!("ada{n}@example.com"), password: PASSWORD };
        client.register(&person.email).await.answered(201);
        crowd.push(person);
    }
    let mut latest: BTreeMap<Act, Duration> = BTreeMap::new();
    let mut done = 0;
    while done < rounds {
        let playing: Vec<_> = crowd
            .drain(..)
            .enumerate()
            .map(|(n, mut person)| {
                let (nodes, act) = (Arc::clone(nodes), Act::ALL[(done / CROWD + n) % Act::ALL.len()]);
                tokio::spawn(async move { (one_round(&nodes, &mut person, act).await, act, person) })
            })
            .collect();
        for round in playing {
            let (lag, act, person) = round.await.unwrap();
            let slowest = latest.entry(act).or_default();
            *slowest = lag.max(*slowest);
            crowd.push(person);
            done += 1;
        }
    }
    let most = latest.values().max().unwrap();
    println!("{how}: {done} rounds, accepted on the other node for {most:?} at most after the answer: {latest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_refused_on_every_node_within_a_second() {
    let one = Service::start(Database::Postgres, &[ISSUER]);
    measure("PostgreSQL", &Nodes::start(one)).await;
}

/// Whether a notification reaches a connection to this database.
async fn notifies(url: &str) -> bool {
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("doorward_test").await.unwrap();
    let direct = PgPool::connect(postgres::url()).await.unwrap();
    sqlx::query("SELECT pg_notify('doorward_test', '')").execute(&direct).await.unwrap();
    tokio::time::timeout(Duration::from_millis(500), listener.recv()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_is_refused_within_a_second_where_no_notification_arrives() {
    let pooler = PgBouncer::start();
    assert!(notifies(postgres::url()).await && !notifies(pooler.url()).await, "the pooler hides nothing");
    let schema = postgres::fresh_schema();
    let one = Service::start_on(pooler.url().to_owned(), &[ISSUER, ("DATABASE__SCHEMA", &schema)]);
    measure("PostgreSQL behind pgbouncer in transaction mode", &Nodes::start(one)).await;
}

#[tokio::test]
async fn a_restart_forgets_no_ended_session() {
    for database in Database::BOTH {
        let mut service = Service::start(database, &[ISSUER]);
        let mut node = (database == Database::Postgres).then(|| service.another_node());
        let client = Client::new(&service.url());
        let live = client.register("ada@example.com").await.grant();
        let ended = client.log_in("ada@example.com").await.grant();
        client.log_out(&ended.access_token).await.answered(204);

        // On PostgreSQL a node is killed that was not asked to end anything.
        let restarted = node.as_mut().unwrap_or(&mut service);
        restarted.kill();
        restarted.spawn_again();
        let client = Client::new(&restarted.url());
        let started = Instant::now();
        let first = loop {
            if let Some(verdict) = client.try_judge(&ended.access_token).await {
                break verdict;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{}", restarted.log());
        };
        assert_eq!(first, Verdict::Refused, "{database:?}: the first request after the start");
        assert_eq!(client.judge(&live.access_token).await, Verdict::Accepted);
    }
}

async fn roles_on(database: Database) {
    let one = InProcess::start(database).await;
    let other = one.another_node().await;
    let grant = register(&one, "ada@example.com").await;
    let token = &grant.access_token.text;
    let roles = |node: &InProcess, token: &SecretString| node.auth.authenticate(token).unwrap().roles().to_vec();
    let set = async |roles: &[&str]| {
        let roles: Vec<Role> = roles.iter().map(|role| Role::parse(role).unwrap()).collect();
        one.auth.set_roles(grant.user.id, &roles).await.unwrap();
        for node in [&one, &other] {
            node.auth.watch_revocations().await.unwrap();
        }
    };
    assert!(roles(&other, token).is_empty());

    set(&["billing:read", "editor"]).await;
    for node in [&one, &other] {
        let user = node.auth.authenticate(token).unwrap();
        assert!(user.has_role("editor") && user.has_role("billing:read") && !user.has_role("admin"), "{database:?}");
    }
    let newer = log_in(&other, "ada@example.com").await;
    assert_eq!(newer.user.roles, roles(&one, token), "a token of now says the same");

    // A token that was issued with a role is not believed once the role is gone.
    set(&[]).await;
    for token in [token, &newer.access_token.text] {
        for node in [&one, &other] {
            assert!(roles(node, token).is_empty(), "{database:?}: a role outlived its being taken away");
        }
    }
    let restarted = other.another_node().await;
    assert!(roles(&restarted, &newer.access_token.text).is_empty(), "{database:?}: forgotten by a restart");
}

#[tokio::test]
async fn a_change_of_roles_reaches_tokens_that_were_issued_before() {
    for database in Database::BOTH {
        roles_on(database).await;
    }
}
