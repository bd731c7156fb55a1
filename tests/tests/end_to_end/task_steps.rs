//! Steps that the stories about tasks share.

use std::future::Future;

use doorward_tests::{Answer, Client};
use serde_json::{Value, json};

/// Does all of this at the same time.
pub(crate) async fn at_once<Work>(works: impl IntoIterator<Item = Work>) -> Vec<Work::Output>
where
    Work: Future<Output: Send + 'static> + Send + 'static,
{
    let under_way: Vec<_> = works.into_iter().map(tokio::spawn).collect();
    let mut outcomes = Vec::new();
    for work in under_way {
        outcomes.push(work.await.unwrap());
    }
    outcomes
}

/// How many of the answers have this status.
pub(crate) fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status.as_u16() == status).count()
}

/// Adds a task and gives its id.
pub(crate) async fn added(client: &Client, access_token: &str, title: &str) -> String {
    let answer = client.add_task(access_token, title).await;
    answer.answered(201).json()["id"].as_str().unwrap().to_owned()
}

/// The ids of a page's tasks, as they are listed.
pub(crate) fn ids(page: &Value) -> Vec<String> {
    let tasks = page["tasks"].as_array().unwrap();
    tasks.iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
}

/// An answer's body without what names the request.
pub(crate) fn masked(answer: &Answer) -> Value {
    let mut json = answer.json();
    json["request_id"] = json!("");
    json
}
