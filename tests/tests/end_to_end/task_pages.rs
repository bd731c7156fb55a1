//! Paging through a hundred thousand tasks while others come and go: what was there throughout is listed exactly once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use doorward_tests::task_rows::{insert, task_id};
use doorward_tests::{Client, Database, Grant, Service};
use tokio::task::JoinHandle;

use crate::task_steps::{added, ids};

const TASKS: i64 = 100_000;
const STRANGERS: i64 = 1_000;
const PAGE: usize = 100;
const COMPLETED: &str = "&completed=true";

/// What happened to tasks while they were being listed.
#[derive(Default)]
struct Changes {
    deleted: HashSet<String>,
    added: HashSet<String>,
    completed: HashSet<String>,
}

/// Somebody who deletes, completes and adds tasks until told to stop.
struct Churn {
    over: Arc<AtomicBool>,
    work: JoinHandle<Changes>,
}

impl Churn {
    fn begin(client: &Client, user: &Grant) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let work = churn(client.clone(), user.clone(), Arc::clone(&over));
        Self { over, work: tokio::spawn(work) }
    }

    async fn end(self) -> Changes {
        self.over.store(true, Ordering::SeqCst);
        self.work.await.unwrap()
    }
}

/// Of each ten tasks one may be deleted, and one that is open may be completed; all over the list, each once.
async fn churn(client: Client, user: Grant, over: Arc<AtomicBool>) -> Changes {
    let token = &user.access_token;
    let mut changes = Changes::default();
    for step in 0..TASKS / 10 {
        if over.load(Ordering::SeqCst) {
            break;
        }
        // A prime, so that the steps go everywhere before they come back.
        let ten = step * 7_919 % (TASKS / 10) * 10;
        let (deleted, completed) = (task_id(&user.user_id, ten + 10), task_id(&user.user_id, ten + 5));
        // Whoever reads deletes some as well.
        let deletion = client.delete_task(token, &deleted, None).await;
        assert!([204, 404].contains(&deletion.status.as_u16()), "{deletion:?}");
        let completion = client.complete_task(token, &completed, true, None).await;
        assert!([200, 404].contains(&completion.status.as_u16()), "{completion:?}");
        let open = added(&client, token, "new and open").await;
        let done = added(&client, token, "new and done").await;
        client.complete_task(token, &done, true, None).await.answered(200);
        changes.deleted.insert(deleted);
        changes.completed.insert(completed);
        changes.added.extend([open, done]);
    }
    changes
}

/// The ids of all pages, one behind the other, and which of the tasks were deleted on the way.
async fn read_all(client: &Client, user: &Grant, filter: &str) -> (Vec<String>, HashSet<String>) {
    let (mut listed, mut deleted) = (Vec::new(), HashSet::new());
    let mut cursor = String::new();
    for pages in 1_usize.. {
        let query = format!("limit={PAGE}{filter}{cursor}");
        let page = client.tasks(&user.access_token, &query).await.answered(200).json();
        let on_page = ids(&page);
        let Some(next) = page["next_cursor"].as_str() else {
            listed.extend(on_page);
            break;
        };
        assert_eq!(on_page.len(), PAGE, "page {pages} is short");
        cursor = format!("&cursor={next}");
        // Now and then the very task where the next page begins is gone.
        if pages.is_multiple_of(10) {
            let last = on_page.last().unwrap();
            let deletion = client.delete_task(&user.access_token, last, None).await;
            assert!([204, 404].contains(&deletion.status.as_u16()), "{deletion:?}");
            deleted.insert(last.clone());
        }
        listed.extend(on_page);
    }
    (listed, deleted)
}

async fn read_during_changes(database: Database, filter: &str) {
    let service = Service::start(database, &[("TASKS__MOST_PER_USER", "200000")]);
    let client = Client::new(&service.url());
    let user = client.register("ada@example.com").await.grant();
    let stranger = client.register("eve@example.com").await.grant();
    insert(&service, std::slice::from_ref(&user.user_id), TASKS).await;
    insert(&service, std::slice::from_ref(&stranger.user_id), STRANGERS).await;

    let churn = Churn::begin(&client, &user);
    let (listed, deleted_by_reader) = read_all(&client, &user, filter).await;
    let mut changes = churn.end().await;

    let listed_ids: HashSet<&String> = listed.iter().collect();
    assert!(
        changes.deleted.iter().any(|id| !listed_ids.contains(id)),
        "{database:?}: nothing was deleted ahead of the reader"
    );
    changes.deleted.extend(deleted_by_reader);
    println!("{database:?} {filter}: {} listed, {} deleted meanwhile", listed.len(), changes.deleted.len());

    assert!(listed.is_sorted_by(|newer, older| newer > older), "{database:?}: not newest first, or one of them twice");
    // Every other task was completed from the start.
    let throughout: Vec<String> = (1..=TASKS)
        .rev()
        .filter(|number| filter.is_empty() || number % 2 == 0)
        .map(|number| task_id(&user.user_id, number))
        .filter(|id| !changes.deleted.contains(id))
        .collect();
    let steady: HashSet<&String> = throughout.iter().collect();
    let seen: Vec<&String> = listed.iter().filter(|id| steady.contains(id)).collect();
    assert_eq!(seen.len(), throughout.len(), "{database:?}: tasks that were there throughout were left out");
    assert!(seen.iter().zip(&throughout).all(|(seen, expected)| *seen == expected), "{database:?}");

    let is_known = |id: &String| {
        steady.contains(id)
            || [&changes.deleted, &changes.added, &changes.completed].iter().any(|changed| changed.contains(id))
    };
    let foreign: Vec<&String> = listed.iter().filter(|id| !is_known(id)).collect();
    assert!(foreign.is_empty(), "{database:?}: {foreign:?} are none of the user's");
    // Short enough for the reader to delete none.
    let (strangers, _) = read_all(&client, &stranger, "").await;
    assert_eq!(strangers.len(), usize::try_from(STRANGERS).unwrap(), "{database:?}: somebody else's tasks changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_throughout_is_listed_once_on_sqlite() {
    read_during_changes(Database::Sqlite, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_throughout_is_listed_once_on_postgres() {
    read_during_changes(Database::Postgres, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_completed_throughout_is_listed_once_on_sqlite() {
    read_during_changes(Database::Sqlite, COMPLETED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_completed_throughout_is_listed_once_on_postgres() {
    read_during_changes(Database::Postgres, COMPLETED).await;
}
