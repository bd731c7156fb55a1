//! What many do to one task at once: of those who name one version exactly one succeeds, nothing that was answered is
//! lost, and a task is deleted once.

use std::future::Future;
use std::time::{Duration, Instant};

use doorward_tests::task_rows::{Rows, rows};
use doorward_tests::{Answer, Client, Database, Grant, PASSWORD, Service, rounds};
use serde_json::{Value, json};

use crate::task_steps::{added, at_once, count, ids};

const CROWD: usize = 8;
/// What everybody races with: that of a task that has just been made.
const FIRST: &str = "\"1\"";
const MOST: usize = 3;

/// A user whose clients talk to two nodes, where the database lets there be two.
struct Stage {
    nodes: Vec<Service>,
    clients: Vec<Client>,
    user: Grant,
}

impl Stage {
    async fn start(database: Database) -> Self {
        let most = MOST.to_string();
        let settings = [
            ("TASKS__MOST_PER_USER", most.as_str()),
            // A long run takes longer than a token usually lives.
            ("TOKENS__ACCESS_TTL", "24h"),
            // The same for both nodes, so that each takes the other's tokens.
            ("TOKENS__ISSUER", "https://auth.example.com"),
        ];
        let one = Service::start(database, &settings);
        let other = (database == Database::Postgres).then(|| one.another_node());
        let nodes: Vec<Service> = [one].into_iter().chain(other).collect();
        let clients: Vec<Client> = nodes.iter().map(|node| Client::new(&node.url())).collect();
        let user = clients[0].register("ada@example.com").await.grant();
        Self { nodes, clients, user }
    }

    fn client(&self) -> &Client {
        &self.clients[0]
    }

    fn token(&self) -> &str {
        &self.user.access_token
    }

    async fn task(&self, id: &str) -> Value {
        self.client().task(self.token(), id).await.answered(200).json()
    }

    /// Lets everybody act at once, each with a client, the access token and a number of their own.
    async fn crowd<Work>(&self, act: impl Fn(Client, String, usize) -> Work) -> Vec<Work::Output>
    where
        Work: Future<Output: Send + 'static> + Send + 'static,
    {
        let client = |n: usize| self.clients[n % self.clients.len()].clone();
        at_once((0..CROWD).map(|n| act(client(n), self.token().to_owned(), n))).await
    }

    async fn delete_all(&self) {
        for id in ids(&self.client().tasks(self.token(), "").await.json()) {
            self.client().delete_task(self.token(), &id, None).await.answered(204);
        }
        assert_eq!(rows(&self.nodes[0], &self.user.user_id).await, Rows { tasks: 0, counted: Some(0) });
    }
}

fn winners(answers: &[Answer]) -> Vec<usize> {
    (0..answers.len()).filter(|n| answers[*n].status.is_success()).collect()
}

async fn one_version_is_replaced_once(stage: &Stage, round: usize) {
    let id = added(stage.client(), stage.token(), "before").await;
    let answers = stage
        .crowd(|client, token, n| {
            let id = id.clone();
            async move { client.replace_task(&token, &id, &format!("by {n}"), Some(FIRST)).await }
        })
        .await;
    assert_eq!((count(&answers, 200), count(&answers, 412)), (1, CROWD - 1), "round {round}: {answers:?}");
    let winner = winners(&answers)[0];
    let task = stage.task(&id).await;
    assert_eq!(task, answers[winner].json(), "round {round}: another content than the winner was answered");
    assert_eq!((&task["title"], &task["version"]), (&json!(format!("by {winner}")), &json!(2)), "round {round}");
}

async fn one_version_is_deleted_or_replaced(stage: &Stage, round: usize) {
    let id = added(stage.client(), stage.token(), "before").await;
    let answers = stage
        .crowd(|client, token, n| {
            let id = id.clone();
            async move {
                // Neither kind comes first in each round.
                if (n + round).is_multiple_of(2) {
                    client.delete_task(&token, &id, Some(FIRST)).await
                } else {
                    client.replace_task(&token, &id, &format!("by {n}"), Some(FIRST)).await
                }
            }
        })
        .await;
    let [winner] = winners(&answers)[..] else { panic!("round {round}: {answers:?}") };
    if answers[winner].status.as_u16() == 204 {
        assert_eq!(count(&answers, 404), CROWD - 1, "round {round}: {answers:?}");
        stage.client().task(stage.token(), &id).await.refused(404, "not_found");
    } else {
        assert_eq!(count(&answers, 412), CROWD - 1, "round {round}: {answers:?}");
        assert_eq!(stage.task(&id).await, answers[winner].json(), "round {round}");
    }
}

async fn a_task_is_deleted_once(stage: &Stage, round: usize) {
    let mut made = Vec::new();
    for n in 0..MOST {
        made.push(added(stage.client(), stage.token(), &format!("task {n}")).await);
    }
    let answers = stage
        .crowd(|client, token, _| {
            let id = made[0].clone();
            async move { client.delete_task(&token, &id, None).await }
        })
        .await;
    assert_eq!((count(&answers, 204), count(&answers, 404)), (1, CROWD - 1), "round {round}: {answers:?}");
    let answers =
        stage.crowd(|client, token, n| async move { client.add_task(&token, &format!("new {n}")).await }).await;
    assert_eq!((count(&answers, 201), count(&answers, 409)), (1, CROWD - 1), "round {round}: one place was given back");
}

async fn race(database: Database) {
    let stage = Stage::start(database).await;
    for round in 0..rounds(50) {
        one_version_is_replaced_once(&stage, round).await;
        one_version_is_deleted_or_replaced(&stage, round).await;
        stage.delete_all().await;
        a_task_is_deleted_once(&stage, round).await;
        stage.delete_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_name_one_version_one_succeeds_on_sqlite() {
    race(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_those_who_name_one_version_one_succeeds_on_postgres() {
    race(Database::Postgres).await;
}

/// Adds a mark to what the description says, as often as that takes.
async fn append(client: &Client, token: &str, id: &str, mark: &str) {
    loop {
        let read = client.task(token, id).await;
        let text = read.answered(200).json()["description"].as_str().unwrap().to_owned();
        let content = json!({ "title": "marks", "description": format!("{text}{mark} ") });
        let written = client.write_task(token, id, &content, read.header("etag")).await;
        if written.status.as_u16() == 200 {
            return;
        }
        written.refused(412, "version_conflict");
    }
}

async fn marks_are_kept(database: Database) {
    const EACH: usize = 5;
    let stage = Stage::start(database).await;
    for round in 0..rounds(5) {
        let id = added(stage.client(), stage.token(), "marks").await;
        let empty = json!({ "title": "marks", "description": "" });
        stage.client().write_task(stage.token(), &id, &empty, Some(FIRST)).await.answered(200);
        stage
            .crowd(|client, token, n| {
                let id = id.clone();
                async move {
                    for time in 0..EACH {
                        append(&client, &token, &id, &format!("{n}.{time}")).await;
                    }
                }
            })
            .await;
        let task = stage.task(&id).await;
        let mut marks: Vec<&str> = task["description"].as_str().unwrap().split_whitespace().collect();
        marks.sort_unstable();
        let expected: Vec<String> = (0..CROWD).flat_map(|n| (0..EACH).map(move |time| format!("{n}.{time}"))).collect();
        assert_eq!(marks, expected, "round {round}: an answered change was lost or made twice");
        assert_eq!(task["version"], json!(2 + CROWD * EACH), "round {round}");
        stage.delete_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_change_is_lost_on_sqlite() {
    marks_are_kept(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answered_change_is_lost_on_postgres() {
    marks_are_kept(Database::Postgres).await;
}

/// Whoever has a stolen access token cannot keep its owner from deleting the account by adding to it.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_deleted_while_others_add_to_it_and_take_from_it() {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        for round in 0..3 {
            let ada = client.register(&format!("ada-{round}@example.com")).await.grant();
            let busy: Vec<_> = (0..16)
                .map(|_| {
                    let (client, token) = (client.clone(), ada.access_token.clone());
                    tokio::spawn(async move {
                        loop {
                            let answer = client.add_task(&token, "one more").await;
                            if answer.status != 201 {
                                return answer.refused(401, "unauthenticated");
                            }
                            let id = answer.json()["id"].as_str().unwrap().to_owned();
                            let deleted = client.delete_task(&token, &id, None).await;
                            if deleted.status != 204 {
                                // The account and its tasks may have gone in between.
                                assert!([401, 404].contains(&deleted.status.as_u16()), "{deleted:?}");
                            }
                        }
                    })
                })
                .collect();
            client.add_task(&ada.access_token, "the first").await.answered(201);
            let begun = Instant::now();
            client.delete_me(&ada.access_token, PASSWORD).await.answered(204);
            assert!(begun.elapsed() < Duration::from_secs(4), "{database:?}: it took {:?}", begun.elapsed());
            for worker in busy {
                worker.await.unwrap();
            }
            assert_eq!(rows(&service, &ada.user_id).await, Rows { tasks: 0, counted: None });
        }
    }
}
