use super::{LATER, Outcome, Stage, id, must, stored};
use crate::TaskId;

/// Pages follow each other, the newest task first, and miss and repeat nothing.
pub async fn pages_are_in_order_and_complete(stage: Stage) -> Outcome {
    for n in 1..=7 {
        stored(&stage, &stage.own, n).await?;
    }
    let (mut before, mut seen) = (TaskId::LAST, Vec::new());
    loop {
        let page = stage.repo.list(&stage.own, None, before, 3).await?;
        must!(page.len() <= 3, "a page of 3 has {} tasks", page.len());
        let Some(last) = page.last() else { break };
        before = last.id;
        seen.extend(page.iter().map(|task| task.id));
    }
    let expected: Vec<_> = (1..=7).rev().map(id).collect();
    must!(seen == expected, "{expected:?} were to be listed, not {seen:?}");
    Ok(())
}

/// A page of completed tasks holds no others, and the other way round.
pub async fn pages_hold_what_is_asked_for(stage: Stage) -> Outcome {
    for n in 1..=6 {
        let task = stored(&stage, &stage.own, n).await?;
        if n % 2 == 0 {
            stage.repo.complete(&stage.own, task.id, true, None, LATER).await?;
        }
    }
    for (completed, expected) in [(true, [4, 2]), (false, [3, 1])] {
        let page = stage.repo.list(&stage.own, Some(completed), id(5), 2).await?;
        let listed: Vec<_> = page.iter().map(|task| task.id).collect();
        must!(listed == expected.map(id), "completed {completed}: {listed:?}");
        must!(page.iter().all(|task| task.completed == completed), "a task is on the wrong page");
    }
    Ok(())
}
