use std::sync::Arc;

use super::{Outcome, Stage, crowd, must, stored, task};
use crate::TaskId;

/// Of fifty tasks that are added at once where five have room, five are there.
pub async fn a_quota_holds_however_many_ask(stage: Stage) -> Outcome {
    let (repo, own) = (Arc::clone(&stage.repo), stage.own);
    let outcomes = crowd(move |n| {
        let repo = Arc::clone(&repo);
        async move {
            let Ok(task) = task(n as u128) else { return Ok(false) };
            repo.insert(&own, &task, 5).await
        }
    })
    .await?;
    let added = outcomes.into_iter().filter(|added| *added).count();
    let there = stage.repo.list(&stage.own, None, TaskId::LAST, 100).await?.len();
    must!((added, there) == (5, 5), "{added} were added and {there} are there");
    Ok(())
}

/// A deleted task makes room for one more, and one that was not there for none.
pub async fn a_deleted_task_makes_room(stage: Stage) -> Outcome {
    let first = stored(&stage, &stage.own, 1).await?;
    stored(&stage, &stage.own, 2).await?;
    must!(!stage.repo.insert(&stage.own, &task(3)?, 2).await?, "a third task of two was added");
    stage.repo.delete(&stage.own, first.id, None).await?;
    stage.repo.delete(&stage.own, first.id, None).await?;
    must!(stage.repo.insert(&stage.own, &task(3)?, 2).await?, "a deleted task made no room");
    must!(!stage.repo.insert(&stage.own, &task(4)?, 2).await?, "one deleted task made room for two");
    Ok(())
}

/// What another has counts for another alone.
pub async fn another_s_tasks_take_and_make_no_room(stage: Stage) -> Outcome {
    let theirs = stored(&stage, &stage.other, 1).await?;
    stored(&stage, &stage.other, 2).await?;
    must!(stage.repo.insert(&stage.own, &task(3)?, 1).await?, "another's tasks took the room");
    must!(stage.repo.delete(&stage.other, theirs.id, None).await?, "a task was not deleted");
    must!(!stage.repo.insert(&stage.own, &task(4)?, 1).await?, "another's deleted task made room");
    Ok(())
}
