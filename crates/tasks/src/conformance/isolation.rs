use super::{LATER, Outcome, Stage, content, must, stored};
use crate::{Task, TaskId};

/// Another's task is one that there is not.
pub async fn another_s_task_is_not_found(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    let found = stage.repo.find(&stage.other, task.id).await?;
    must!(found.is_none(), "another's task was found: {found:?}");
    Ok(())
}

/// A list holds one's own tasks alone, filtered or not.
pub async fn another_s_tasks_are_not_listed(stage: Stage) -> Outcome {
    stored(&stage, &stage.own, 7).await?;
    let done = stored(&stage, &stage.own, 8).await?;
    stage.repo.complete(&stage.own, done.id, true, None, LATER).await?;
    let mine = stored(&stage, &stage.other, 9).await?;
    for completed in [None, Some(false), Some(true)] {
        let listed = stage.repo.list(&stage.other, completed, TaskId::LAST, 100).await?;
        let expected: &[Task] = if completed == Some(true) { &[] } else { std::slice::from_ref(&mine) };
        must!(listed == expected, "completed {completed:?}: {listed:?} were listed");
    }
    Ok(())
}

/// Another's task stays as it is.
pub async fn another_s_task_is_not_changed(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    for version in [None, Some(task.version)] {
        let replaced = stage.repo.replace(&stage.other, task.id, &content("mine now")?, version, LATER).await?;
        let completed = stage.repo.complete(&stage.other, task.id, true, version, LATER).await?;
        must!(replaced.is_none() && completed.is_none(), "another's task was changed");
    }
    is_unchanged(&stage, &task).await
}

/// Another's task stays where it is.
pub async fn another_s_task_is_not_deleted(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    for version in [None, Some(task.version)] {
        must!(!stage.repo.delete(&stage.other, task.id, version).await?, "another's task was deleted");
    }
    is_unchanged(&stage, &task).await
}

async fn is_unchanged(stage: &Stage, task: &Task) -> Outcome {
    let found = stage.repo.find(&stage.own, task.id).await?;
    must!(found.as_ref() == Some(task), "{task:?} became {found:?}");
    Ok(())
}
