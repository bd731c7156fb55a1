//! What no longer holds though access tokens say it.

use std::collections::HashSet;
use std::sync::Arc;

use doorward_domain::store::RevocationPosition;
use doorward_domain::{EndReason, Revocation, SessionId, Store};

use super::{NOW, Outcome, Violation, after, crowd, must, role, stored_session, stored_user};

/// What is new since a position, and the next position.
async fn read(
    store: &dyn Store,
    position: RevocationPosition,
) -> Result<(Vec<Revocation>, RevocationPosition), Violation> {
    let (records, position) = store.read().await?.revocations().since(position).await?;
    Ok((records.into_iter().map(|record| record.revocation).collect(), position))
}

/// The sessions that are named as ended since the start.
pub(super) async fn ended(store: &dyn Store) -> Result<Vec<SessionId>, Violation> {
    let (revocations, _) = read(store, RevocationPosition::START).await?;
    let sessions = revocations.into_iter().filter_map(|revocation| match revocation {
        Revocation::SessionEnded(session) => Some(session),
        Revocation::RolesChanged { .. } | Revocation::KeysChanged => None,
    });
    // Whatever is read twice counts once.
    let sessions: HashSet<SessionId> = sessions.collect();
    Ok(sessions.into_iter().collect())
}

/// Whatever ends a session names it, with its moment; what is undone is not named.
pub async fn an_ended_session_is_named(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (first, second) = (stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id);
    let mut unit = store.write().await?;
    unit.sessions().end(first, EndReason::LoggedOut, after(1)).await?;
    drop(unit);
    must!(ended(&*store).await?.is_empty(), "what was undone is named");

    let mut unit = store.write().await?;
    unit.sessions().end(first, EndReason::LoggedOut, after(1)).await?;
    unit.sessions().end(first, EndReason::LoggedOut, after(2)).await?;
    unit.commit().await?;
    let (records, position) = store.read().await?.revocations().since(RevocationPosition::START).await?;
    must!(
        matches!(records.as_slice(), [record] if record.revocation == Revocation::SessionEnded(first)
            && record.at == after(1)),
        "{records:?} is recorded"
    );

    let mut unit = store.write().await?;
    unit.sessions().end_all(user.id, None, EndReason::LoggedOutEverywhere, after(3)).await?;
    unit.commit().await?;
    let (later, _) = read(&*store, position).await?;
    must!(later.contains(&Revocation::SessionEnded(second)), "{later:?} is new, {second:?} had to be");
    Ok(())
}

/// However long a unit takes to commit, a reader that goes on from where it was misses nothing of it.
pub async fn nothing_that_is_committed_late_is_skipped(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(stored_session(&*store, &user).await?.id);
    }
    let (reading, expected) = (Arc::clone(&store), sessions.clone());
    let reader = tokio::spawn(async move {
        let (mut position, mut seen) = (RevocationPosition::START, HashSet::new());
        while seen.len() < expected.len() {
            let (revocations, next) = read(&*reading, position).await?;
            seen.extend(revocations.into_iter().filter_map(|revocation| match revocation {
                Revocation::SessionEnded(session) => Some(session),
                Revocation::RolesChanged { .. } | Revocation::KeysChanged => None,
            }));
            position = next;
            tokio::task::yield_now().await;
        }
        Ok::<_, Violation>(seen)
    });
    let writing = Arc::clone(&store);
    crowd(move |n| {
        let (store, session) = (Arc::clone(&writing), sessions.get(n).copied());
        async move {
            let Some(session) = session else { return Ok(()) };
            let mut unit = store.write().await?;
            unit.sessions().end(session, EndReason::LoggedOut, after(1)).await?;
            for _ in 0..n * 37 % 200 {
                tokio::task::yield_now().await;
            }
            unit.commit().await
        }
    })
    .await?;
    // The reader ends once it has seen all of them, and so never where one was skipped.
    let within = std::time::Duration::from_secs(20);
    let seen = tokio::time::timeout(within, reader).await;
    let seen = seen.map_err(|_| Violation::Broken("a reader that goes on has missed something".to_owned()))?;
    seen.map_err(|error| Violation::Broken(error.to_string()))??;
    Ok(())
}

/// Changed roles are named as they are when they are read; a deleted user's are not.
pub async fn changed_roles_are_named(store: Arc<dyn Store>) -> Outcome {
    let (user, deleted) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut unit = store.write().await?;
    unit.users().set_roles(user.id, &[role("admin")?], after(1)).await?;
    unit.users().set_roles(user.id, &[role("editor")?, role("author")?], after(2)).await?;
    unit.users().set_roles(deleted.id, &[role("admin")?], after(2)).await?;
    unit.commit().await?;
    let mut unit = store.write().await?;
    unit.users().delete(deleted.id, after(3)).await?;
    unit.commit().await?;

    let (revocations, _) = read(&*store, RevocationPosition::START).await?;
    let now = vec!["editor".to_owned(), "author".to_owned()];
    let expected = Revocation::RolesChanged { user_id: user.id, roles: now.clone() };
    must!(revocations.iter().all(|revocation| *revocation == expected), "{revocations:?} is named");
    must!(!revocations.is_empty(), "changed roles are not named");
    let found = store.read().await?.users().find(user.id).await?;
    must!(found.as_ref().is_some_and(|user| user.roles == now), "the user is {found:?}");
    Ok(())
}

/// Old entries are forgotten in batches; younger ones stay.
pub async fn revocations_are_forgotten_in_batches(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    for moment in [NOW, NOW, after(5)] {
        let session = stored_session(&*store, &user).await?.id;
        let mut unit = store.write().await?;
        unit.sessions().end(session, EndReason::LoggedOut, moment).await?;
        unit.commit().await?;
    }
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        batches.push(unit.revocations().forget(after(5), 1).await?);
        unit.commit().await?;
    }
    must!(batches == [1, 1, 0], "batches of {batches:?} were forgotten");
    must!(ended(&*store).await?.len() == 1, "a young entry was forgotten");
    Ok(())
}
