//! The chain of refresh tokens of a session.

use std::sync::Arc;

use doorward_domain::{Store, StoreError};

use super::{NOW, Outcome, after, count_true, crowd, hash, must, stored_session, stored_user};

/// Of many who present one refresh token, exactly one consumes it; nobody does with another hash.
pub async fn a_refresh_token_is_consumed_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    must!(!unit.sessions().consume_refresh(session.id, 0, &hash(9), NOW).await?, "a wrong hash was consumed");
    must!(!unit.sessions().consume_refresh(session.id, 1, &hash(0), NOW).await?, "a wrong generation was consumed");
    unit.commit().await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    let consumed = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let happened = unit.sessions().consume_refresh(id, 0, &hash(0), after(1)).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&consumed) == 1, "the token was consumed {} times", count_true(&consumed));
    let record = store.read().await?.sessions().find_refresh(session.id, 0).await?;
    must!(record.is_some_and(|record| record.used_at == Some(after(1))), "the use was not noted");
    Ok(())
}

/// A session has one token of each generation.
pub async fn a_chain_never_forks(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    unit.sessions().insert_refresh(session.id, 1, &hash(1)).await?;
    unit.commit().await?;
    let mut unit = store.write().await?;
    let fork = unit.sessions().insert_refresh(session.id, 1, &hash(2)).await;
    must!(matches!(fork, Err(StoreError::Conflict { .. })), "a fork gave {fork:?}");
    Ok(())
}

/// Forgetting takes the tokens whose successor was used before the cutoff, and no other.
pub async fn a_forgotten_token_leaves_its_successor(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let other = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    // Generation n is used at second n, up to 4; generation 5 is unused.
    for generation in 0..5 {
        let (this, next) = (u8::try_from(generation).unwrap_or(0), generation + 1);
        let used_at = after(u64::from(generation));
        let consumed = unit.sessions().consume_refresh(session.id, generation, &hash(this), used_at).await?;
        must!(consumed, "generation {generation} was not consumed");
        unit.sessions().insert_refresh(session.id, next, &hash(this + 1)).await?;
    }
    unit.sessions().forget_refresh(session.id, after(3)).await?;
    let mut left = Vec::new();
    for generation in 0..6 {
        if unit.sessions().find_refresh(session.id, generation).await?.is_some() {
            left.push(generation);
        }
    }
    // 0 and 1 go: their successors were used at seconds 1 and 2. The successor of 2 was used at second 3.
    must!(left == [2, 3, 4, 5], "generations {left:?} were left");
    must!(unit.sessions().find_refresh(other.id, 0).await?.is_some(), "another session lost its token");
    Ok(())
}
