#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests say so by panicking")]

use doorward_domain::{MockClock, MockEntropy, Timestamp, UserId};
use mockall::predicate::eq;
use uuid::Uuid;

use super::*;
use crate::{MockTaskRepo, Title};

const NOW: Timestamp = Timestamp::from_unix_micros(1_700_000_000_000_000);
const OWNER: UserId = UserId::from_uuid(Uuid::from_u128(1));
const ID: TaskId = TaskId::from_uuid(Uuid::from_u128(7));

fn scope() -> OwnerScope {
    doorward_scope::vouch(OWNER)
}

fn content() -> TaskContent {
    TaskContent { title: Title::parse("water the plants").unwrap(), description: None }
}

fn task(version: i64) -> Task {
    Task { version: Version::new(version), ..Task::new(ID, content(), NOW) }
}

fn tasks(repo: MockTaskRepo) -> Tasks {
    let (mut clock, mut entropy) = (MockClock::new(), MockEntropy::new());
    clock.expect_now().return_const(NOW);
    entropy.expect_fill().returning(|bytes| {
        bytes.fill(7);
        Ok(())
    });
    Tasks::new(Arc::new(repo), Arc::new(clock), Arc::new(entropy), 3)
}

fn versions(numbers: &[i64]) -> IfMatch {
    IfMatch::Versions(numbers.iter().map(|number| Version::new(*number)).collect())
}

/// A repository that finds this, once.
fn finding(found: Option<Task>) -> MockTaskRepo {
    let mut repo = MockTaskRepo::new();
    repo.expect_find().times(1).with(eq(scope()), eq(ID)).return_once(move |_, _| Ok(found));
    repo
}

#[pollster::test]
async fn a_new_task_is_its_owner_s_and_not_completed() {
    let mut repo = MockTaskRepo::new();
    let insert = repo.expect_insert().times(1);
    insert
        .withf(|for_whom, task, most| {
            *for_whom == scope() && !task.completed && task.version == Version::FIRST && *most == 3
        })
        .returning(|_, _, _| Ok(true));
    let task = tasks(repo).create(&scope(), content()).await.unwrap();
    assert_eq!((task.content, task.created_at, task.updated_at), (content(), NOW, NOW));
}

#[pollster::test]
async fn a_task_is_not_made_when_there_is_no_room_or_no_owner() {
    let mut repo = MockTaskRepo::new();
    repo.expect_insert().times(1).returning(|_, _, _| Ok(false));
    let refused = tasks(repo).create(&scope(), content()).await;
    assert!(matches!(refused, Err(CreateTaskError::QuotaExceeded)), "{refused:?}");

    let mut repo = MockTaskRepo::new();
    let conflict = || StoreError::Conflict { constraint: "task_counts_owner_id_fkey".to_owned() };
    repo.expect_insert().times(1).returning(move |_, _, _| Err(conflict()));
    let refused = tasks(repo).create(&scope(), content()).await;
    assert!(matches!(refused, Err(CreateTaskError::OwnerGone)), "{refused:?}");
}

#[pollster::test]
async fn a_collision_is_tried_again() {
    let mut repo = MockTaskRepo::new();
    let mut attempts = 0;
    repo.expect_insert().times(2).returning(move |_, _, _| {
        attempts += 1;
        if attempts == 1 { Err(StoreError::Retryable("busy".into())) } else { Ok(true) }
    });
    assert_eq!(tasks(repo).create(&scope(), content()).await.unwrap().content, content());
}

#[pollster::test]
async fn a_page_says_where_the_next_one_begins_if_there_is_one() {
    for (found, next) in [(2, None), (3, Some(ID))] {
        let mut repo = MockTaskRepo::new();
        let list = repo.expect_list().times(1);
        list.withf(|for_whom, completed, before, limit| {
            *for_whom == scope() && *completed == Some(false) && *before == TaskId::LAST && *limit == 3
        })
        .returning(move |_, _, _, _| Ok(vec![task(1); found]));
        let list = ListTasks { completed: Some(false), limit: 2, ..ListTasks::default() };
        let page = tasks(repo).list(&scope(), list).await.unwrap();
        assert_eq!((page.tasks.len(), page.next), (2, next));
    }
}

#[pollster::test]
async fn a_change_names_the_version_that_it_is_for() {
    for (if_match, version) in [(IfMatch::Any, None), (versions(&[4]), Some(Version::new(4)))] {
        let mut repo = MockTaskRepo::new();
        repo.expect_replace()
            .times(1)
            .with(eq(scope()), eq(ID), eq(content()), eq(version), eq(NOW))
            .returning(|_, _, _, _, _| Ok(Some(task(5))));
        assert_eq!(tasks(repo).replace(&scope(), ID, &content(), &if_match).await.unwrap(), task(5));
    }
}

#[pollster::test]
async fn of_several_versions_the_one_that_it_is_of_counts() {
    let mut repo = finding(Some(task(4)));
    let delete = repo.expect_delete().times(1);
    delete.with(eq(scope()), eq(ID), eq(Some(Version::new(4)))).returning(|_, _, _| Ok(true));
    tasks(repo).delete(&scope(), ID, &versions(&[2, 4])).await.unwrap();

    // Nothing is deleted: the mock expects no such thing.
    for if_match in [versions(&[2, 3]), versions(&[])] {
        let refused = tasks(finding(Some(task(4)))).delete(&scope(), ID, &if_match).await;
        assert!(matches!(refused, Err(ChangeTaskError::VersionConflict)), "{refused:?}");
    }
}

#[pollster::test]
async fn what_changed_nothing_says_whether_there_is_such_a_task() {
    for found in [None, Some(task(4))] {
        let mut repo = finding(found.clone());
        repo.expect_complete().times(1).returning(|_, _, _, _, _| Ok(None));
        let refused = tasks(repo).complete(&scope(), ID, true, &versions(&[3])).await;
        match found {
            None => assert!(matches!(refused, Err(ChangeTaskError::NotFound)), "{refused:?}"),
            Some(_) => assert!(matches!(refused, Err(ChangeTaskError::VersionConflict)), "{refused:?}"),
        }
    }
}

#[pollster::test]
async fn a_task_is_shown_in_the_version_that_is_asked_for() {
    assert_eq!(tasks(finding(Some(task(4)))).task(&scope(), ID, &IfMatch::Any).await.unwrap(), task(4));
    let refused = tasks(finding(Some(task(4)))).task(&scope(), ID, &versions(&[3])).await;
    assert!(matches!(refused, Err(ChangeTaskError::VersionConflict)), "{refused:?}");
    let refused = tasks(finding(None)).task(&scope(), ID, &versions(&[3])).await;
    assert!(matches!(refused, Err(ChangeTaskError::NotFound)), "{refused:?}");
}
