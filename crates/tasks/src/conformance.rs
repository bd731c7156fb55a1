//! What every adapter of [`TaskRepo`] has to do, as cases that run against it.
//!
//! In the tests of an adapter, with `tokio` (features `macros`, `rt-multi-thread`) among the dev-dependencies:
//!
//! ```text
//! doorward_tasks::task_conformance_suite!(async { my_stage().await });
//! ```
//!
//! The expression is awaited once for each case and has to give a [`Stage`] without tasks each time. Every case becomes
//! a test of its own name.

#![allow(clippy::missing_errors_doc, reason = "every case returns the violation that it found")]

mod changes;
mod isolation;
mod pages;
mod quota;

use std::future::Future;
use std::sync::Arc;

use doorward_domain::{OwnerScope, Timestamp};
#[doc(no_inline)]
pub use doorward_persistence::conformance::Violation;
use doorward_persistence::conformance::{crowd, must};
use uuid::Uuid;

use crate::{Task, TaskContent, TaskId, TaskRepo, Title};

pub use changes::*;
pub use isolation::*;
pub use pages::*;
pub use quota::*;

/// A repository without tasks, and two users who have accounts where it keeps them.
#[derive(Clone)]
pub struct Stage {
    /// What is looked at.
    pub repo: Arc<dyn TaskRepo>,
    /// One of the users.
    pub own: OwnerScope,
    /// The other one.
    pub other: OwnerScope,
}

type Outcome = Result<(), Violation>;

macro_rules! cases {
    ($($case:ident,)*) => {
        /// Makes a test of every case for the stage that the expression gives.
        #[macro_export]
        macro_rules! task_conformance_suite {
            ($stage:expr) => {
                $(
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $case() {
                        if let Err(violation) = $crate::conformance::$case(($stage).await).await {
                            panic!("{violation}");
                        }
                    }
                )*
            };
        }

        /// Runs every case, each on a stage of its own; gives the names of those that found a violation.
        pub async fn violated<F, Setting>(stage: F) -> Vec<&'static str>
        where
            F: Fn() -> Setting,
            Setting: Future<Output = Stage>,
        {
            let mut violated = Vec::new();
            $(
                if $case(stage().await).await.is_err() {
                    violated.push(stringify!($case));
                }
            )*
            violated
        }
    };
}

cases! {
    a_task_survives_the_round_trip,
    a_replaced_task_is_of_the_next_version,
    a_stale_version_changes_nothing,
    one_of_many_changes_of_one_version_takes_effect,
    a_task_is_deleted_once,
    pages_are_in_order_and_complete,
    pages_hold_what_is_asked_for,
    another_s_task_is_not_found,
    another_s_tasks_are_not_listed,
    another_s_task_is_not_changed,
    another_s_task_is_not_deleted,
    a_quota_holds_however_many_ask,
    a_deleted_task_makes_room,
    another_s_tasks_take_and_make_no_room,
}

const NOW: Timestamp = Timestamp::from_unix_micros(1_700_000_000_123_456);
const LATER: Timestamp = Timestamp::from_unix_micros(1_700_000_001_123_456);
/// More than any case makes.
const PLENTY: u32 = 1_000;

fn content(title: &str) -> Result<TaskContent, Violation> {
    let title = Title::parse(title).map_err(|error| Violation::Broken(error.to_string()))?;
    Ok(TaskContent { title, description: None })
}

fn id(n: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(n))
}

fn task(n: u128) -> Result<Task, Violation> {
    Ok(Task::new(id(n), content(&format!("task {n}"))?, NOW))
}

/// A task that the user has.
async fn stored(stage: &Stage, scope: &OwnerScope, n: u128) -> Result<Task, Violation> {
    let task = task(n)?;
    must!(stage.repo.insert(scope, &task, PLENTY).await?, "there is room for a task");
    Ok(task)
}
