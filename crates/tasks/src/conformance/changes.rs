use std::sync::Arc;

use super::{LATER, NOW, Outcome, PLENTY, Stage, content, crowd, must, stored, task};
use crate::{Description, TaskContent, Version};

/// What was written is read, to the last field.
pub async fn a_task_survives_the_round_trip(stage: Stage) -> Outcome {
    let mut task = task(7)?;
    task.content.description = Description::parse("two\nlines and \u{1f331}").ok();
    must!(stage.repo.insert(&stage.own, &task, PLENTY).await?, "a task was not added");
    let found = stage.repo.find(&stage.own, task.id).await?;
    must!(found.as_ref() == Some(&task), "{task:?} became {found:?}");
    Ok(())
}

/// A change gives the task as it is then, and leaves alone what it does not name.
pub async fn a_replaced_task_is_of_the_next_version(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    let completed = stage.repo.complete(&stage.own, task.id, true, None, LATER).await?;
    let other = TaskContent { description: Description::parse("").ok(), ..content("another")? };
    let replaced = stage.repo.replace(&stage.own, task.id, &other, Some(Version::new(2)), LATER).await?;
    let expected =
        crate::Task { content: other, completed: true, version: Version::new(3), updated_at: LATER, ..task.clone() };
    must!(completed.is_some_and(|task| task.completed && task.version == Version::new(2)), "it was not completed");
    must!(replaced.as_ref() == Some(&expected), "{expected:?} was to come of it, not {replaced:?}");
    let found = stage.repo.find(&stage.own, task.id).await?;
    must!(found == replaced, "{replaced:?} was said and {found:?} is there");
    Ok(())
}

/// Whoever names a version that has been replaced changes nothing.
pub async fn a_stale_version_changes_nothing(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    let current = stage.repo.complete(&stage.own, task.id, true, None, LATER).await?;
    let stale = Some(Version::FIRST);
    let replaced = stage.repo.replace(&stage.own, task.id, &content("late")?, stale, NOW).await?;
    let completed = stage.repo.complete(&stage.own, task.id, false, stale, NOW).await?;
    let deleted = stage.repo.delete(&stage.own, task.id, stale).await?;
    must!(replaced.is_none() && completed.is_none() && !deleted, "a stale version was taken");
    let found = stage.repo.find(&stage.own, task.id).await?;
    must!(found == current, "{current:?} became {found:?}");
    Ok(())
}

/// Of fifty that name one version, one changes the task.
pub async fn one_of_many_changes_of_one_version_takes_effect(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    let (repo, own, id) = (Arc::clone(&stage.repo), stage.own, task.id);
    let outcomes = crowd(move |n| {
        let repo = Arc::clone(&repo);
        async move {
            let Ok(mine) = content(&format!("by {n}")) else { return Ok(None) };
            repo.replace(&own, id, &mine, Some(Version::FIRST), NOW).await
        }
    })
    .await?;
    let changed: Vec<_> = outcomes.into_iter().flatten().collect();
    must!(changed.len() == 1, "{} changes of one version took effect", changed.len());
    let found = stage.repo.find(&stage.own, task.id).await?;
    must!(found.as_ref() == changed.first(), "{found:?} is not what was said");
    Ok(())
}

/// Of fifty that delete a task, one is told that it did.
pub async fn a_task_is_deleted_once(stage: Stage) -> Outcome {
    let task = stored(&stage, &stage.own, 7).await?;
    let (repo, own, id) = (Arc::clone(&stage.repo), stage.own, task.id);
    let outcomes = crowd(move |_| {
        let repo = Arc::clone(&repo);
        async move { repo.delete(&own, id, None).await }
    })
    .await?;
    let deleted = outcomes.into_iter().filter(|deleted| *deleted).count();
    must!(deleted == 1, "{deleted} callers deleted one task");
    must!(stage.repo.find(&stage.own, task.id).await?.is_none(), "a deleted task is there");
    Ok(())
}
