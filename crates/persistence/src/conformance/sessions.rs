//! Sessions, and how they end.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::store::DeviceSeen;
use doorward_domain::{
    Client, EndReason, RefreshTokenRecord, Session, SessionId, Store, StoreError, UserAgent, UserId,
};

use super::{
    CROWD, NOW, Outcome, Surroundings, after, count_true, crowd, hash, must, session, stored_session, stored_user, user,
};

/// Every field of a session comes back as it was written.
pub async fn a_session_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut session = session(&user)?;
    session.client = Client {
        ip: "2001:db8::7".parse().ok(),
        user_agent: Some(UserAgent::sanitized("agent \"7\"; '--")),
        ..Client::default()
    };
    let mut unit = store.write().await?;
    unit.sessions().insert(&session, &hash(7)).await?;
    unit.sessions().touch(session.id, after(4), after(14)).await?;
    unit.commit().await?;
    let expected = Session { last_seen_at: after(4), idle_expires_at: after(14), ..session.clone() };
    let mut unit = store.write().await?;
    must!(unit.sessions().find(session.id).await?.as_ref() == Some(&expected), "the session came back changed");
    must!(unit.sessions().hold(session.id).await?.as_ref() == Some(&expected), "the held session is another");
    let first = unit.sessions().find_refresh(session.id, 0).await?;
    let expected = RefreshTokenRecord { generation: 0, hash: hash(7), used_at: None };
    must!(first == Some(expected), "the first refresh token is {first:?}");
    let nothing = SessionId::new(&Surroundings, &Surroundings)?;
    must!(unit.sessions().find(nothing).await?.is_none(), "an unknown session was found");
    must!(unit.sessions().hold(nothing).await?.is_none(), "an unknown session was held");
    Ok(())
}

/// A session of nobody is a conflict.
pub async fn a_session_needs_its_user(store: Arc<dyn Store>) -> Outcome {
    let orphan = session(&user()?)?;
    let mut unit = store.write().await?;
    let outcome = unit.sessions().insert(&orphan, &hash(0)).await;
    must!(matches!(outcome, Err(StoreError::Conflict { .. })), "a session of nobody gave {outcome:?}");
    Ok(())
}

/// Ending a session happens once, and the session stays to be asked about.
pub async fn a_session_ends_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    let ended = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let happened = unit.sessions().end(id, EndReason::LoggedOut, after(1)).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&ended) == 1, "the session ended {} times", count_true(&ended));
    let found = store.read().await?.sessions().find(id).await?;
    must!(found.is_some_and(|session| session.ended_at == Some(after(1))), "the end was not noted");
    Ok(())
}

/// Ending all sessions of a user ends those that have not ended, names them, and touches nobody else's.
pub async fn all_sessions_of_one_user_end(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(stored_session(&*store, &user).await?.id);
    }
    let ended_before = stored_session(&*store, &user).await?.id;
    let strangers = stored_session(&*store, &stranger).await?.id;
    let mut unit = store.write().await?;
    unit.sessions().end(ended_before, EndReason::Replayed, NOW).await?;
    let mut ended = unit.sessions().end_all(user.id, None, EndReason::LoggedOutEverywhere, after(1)).await?;
    unit.commit().await?;
    ended.sort_unstable();
    expected.sort_unstable();
    must!(ended == expected, "{ended:?} were named, {expected:?} had to be");
    let mut unit = store.read().await?;
    for id in ended {
        let found = unit.sessions().find(id).await?;
        must!(found.is_some_and(|session| session.ended_at == Some(after(1))), "a named session did not end");
    }
    let found = unit.sessions().find(strangers).await?;
    must!(found.is_some_and(|session| session.ended_at.is_none()), "a stranger's session ended");
    Ok(())
}

/// Only so many sessions of a user go on; the oldest end, and nobody else's do.
pub async fn the_oldest_sessions_end(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let strangers = stored_session(&*store, &stranger).await?.id;
    let mut ids = Vec::new();
    let mut unit = store.write().await?;
    for begun in [3, 1, 4, 2] {
        let session = Session { authenticated_at: after(begun), ..session(&user)? };
        unit.sessions().insert(&session, &hash(0)).await?;
        ids.push((begun, session.id));
    }
    // These take nobody's place: one has ended, one is over.
    let (ended, over) = (session(&user)?, Session { idle_expires_at: after(1), ..session(&user)? });
    unit.sessions().insert(&ended, &hash(0)).await?;
    unit.sessions().end(ended.id, EndReason::LoggedOut, NOW).await?;
    unit.sessions().insert(&Session { authenticated_at: after(9), ..over }, &hash(0)).await?;
    unit.commit().await?;

    let mut unit = store.write().await?;
    must!(unit.sessions().end_oldest(user.id, 4, after(5)).await?.is_empty(), "a session ended below the limit");
    let mut ended = unit.sessions().end_oldest(user.id, 2, after(5)).await?;
    unit.commit().await?;
    ids.sort_unstable();
    let mut oldest: Vec<SessionId> = ids.iter().take(2).map(|(_, id)| *id).collect();
    oldest.sort_unstable();
    ended.sort_unstable();
    must!(ended == oldest, "{ended:?} ended, {oldest:?} had to");

    let live = store.read().await?.sessions().live(user.id, after(5)).await?;
    let live: Vec<SessionId> = live.into_iter().map(|session| session.id).collect();
    let newest: Vec<SessionId> = ids.iter().rev().take(2).map(|(_, id)| *id).collect();
    must!(live == newest, "{live:?} go on, {newest:?} had to, in this order");
    let named = super::revocations::ended(&*store).await?;
    must!(oldest.iter().all(|id| named.contains(id)), "a session that ended is not named");
    let found = store.read().await?.sessions().find(strangers).await?;
    must!(found.is_some_and(|session| session.ended_at.is_none()), "a stranger's session ended");
    Ok(())
}

/// A session is noted as seen when that is later enough than before.
pub async fn a_session_is_seen_at_intervals(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (first, second) = (stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id);
    for (seconds, expected) in [(59, NOW), (60, after(60)), (30, after(60)), (119, after(60)), (120, after(120))] {
        let mut unit = store.write().await?;
        unit.sessions().note_seen(&[(first, after(seconds))], Duration::from_secs(60)).await?;
        unit.commit().await?;
        let found = store.read().await?.sessions().find(first).await?;
        let seen = found.map(|session| session.last_seen_at);
        must!(seen == Some(expected), "after {seconds} s the session was seen at {seen:?}");
    }
    let found = store.read().await?.sessions().find(second).await?;
    must!(found.is_some_and(|session| session.last_seen_at == NOW), "another session was seen");
    Ok(())
}

/// Expired and ended sessions go in batches, with their tokens; live ones stay.
pub async fn expired_sessions_are_deleted_in_batches(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (ended, idle) = (stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id);
    let live = stored_session(&*store, &user).await?.id;
    let mut unit = store.write().await?;
    unit.sessions().end(ended, EndReason::LoggedOut, NOW).await?;
    unit.sessions().touch(idle, NOW, after(1)).await?;
    unit.commit().await?;
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        batches.push(unit.sessions().delete_expired(after(2), 1).await?);
        unit.commit().await?;
    }
    must!(batches == [1, 1, 0], "batches of {batches:?} were deleted");
    let mut unit = store.read().await?;
    for gone in [ended, idle] {
        must!(unit.sessions().find(gone).await?.is_none(), "a session stayed");
        must!(unit.sessions().find_refresh(gone, 0).await?.is_none(), "a refresh token outlived its session");
    }
    must!(unit.sessions().find(live).await?.is_some(), "a live session was deleted");
    Ok(())
}

/// Units that hold a session read what the ones before them wrote.
pub async fn units_that_hold_a_session_lose_no_update(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            if let Some(session) = unit.sessions().hold(id).await? {
                let next = session.last_seen_at.plus(Duration::from_secs(1));
                unit.sessions().touch(id, next, session.idle_expires_at).await?;
            }
            unit.commit().await
        }
    })
    .await?;
    let seen = store.read().await?.sessions().find(id).await?.map(|session| session.last_seen_at);
    must!(seen == Some(after(CROWD as u64)), "updates were lost: {seen:?}");
    Ok(())
}

/// Ending all sessions of a user but one leaves that one, and names it not.
pub async fn one_session_is_spared_when_the_others_end(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let spared = stored_session(&*store, &user).await?.id;
    let mut expected = vec![stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id];
    let mut unit = store.write().await?;
    let mut ended = unit.sessions().end_all(user.id, Some(spared), EndReason::PasswordChanged, after(1)).await?;
    unit.commit().await?;
    ended.sort_unstable();
    expected.sort_unstable();
    must!(ended == expected, "{ended:?} were named, {expected:?} had to be");
    let mut unit = store.read().await?;
    for id in ended {
        let found = unit.sessions().find(id).await?;
        must!(found.is_some_and(|session| session.ended_at == Some(after(1))), "a named session did not end");
    }
    let found = unit.sessions().find(spared).await?;
    must!(found.is_some_and(|session| session.ended_at.is_none()), "the spared session ended");
    Ok(())
}

/// A user's first device, a new one beside others, and one that was seen before are told apart, for each user.
pub async fn a_device_is_the_first_or_new_or_known(store: Arc<dyn Store>) -> Outcome {
    let (user, other) = (stored_user(&*store).await?, stored_user(&*store).await?);
    for (n, (owner, device, expected)) in (0..).zip([
        (user.id, 1, DeviceSeen::First),
        (user.id, 1, DeviceSeen::Known),
        (user.id, 2, DeviceSeen::New),
        (other.id, 1, DeviceSeen::First),
        (user.id, 1, DeviceSeen::Known),
        (user.id, 2, DeviceSeen::Known),
        (other.id, 2, DeviceSeen::New),
    ]) {
        let mut unit = store.write().await?;
        let seen = unit.sessions().note_device(owner, [device; 32], after(n)).await?;
        unit.commit().await?;
        must!(seen == expected, "device {device} of step {n} is {seen:?}, it had to be {expected:?}");
    }
    Ok(())
}

/// A device is trusted for its user and no other, until it is forgotten, and those longest not seen give way.
pub async fn a_device_is_trusted_by_its_user_alone_and_so_many_at_once(store: Arc<dyn Store>) -> Outcome {
    let (user, other) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut unit = store.write().await?;
    for device in 1..=4 {
        unit.sessions().trust_device(user.id, [device; 32], 3, after(device.into())).await?;
        unit.sessions().trust_device(other.id, [device; 32], 4, after(device.into())).await?;
    }
    // Seen again, so the second is the one longest not seen.
    unit.sessions().trust_device(user.id, [2; 32], 3, after(9)).await?;
    unit.sessions().trust_device(user.id, [5; 32], 3, after(10)).await?;
    unit.commit().await?;
    let mut unit = store.read().await?;
    for (device, trusted) in [(1, false), (2, true), (3, false), (4, true), (5, true), (6, false)] {
        let found = unit.sessions().trusts_device(user.id, [device; 32]).await?;
        must!(found == trusted, "device {device} is trusted: {found}");
    }
    drop(unit);
    let mut unit = store.write().await?;
    unit.sessions().forget_trusted_devices(user.id).await?;
    unit.commit().await?;
    let mut unit = store.read().await?;
    must!(!unit.sessions().trusts_device(user.id, [4; 32]).await?, "a forgotten device is trusted");
    must!(unit.sessions().trusts_device(other.id, [4; 32]).await?, "another user's device was forgotten");
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    must!(!unit.sessions().trusts_device(nobody, [4; 32]).await?, "nobody trusts a device");
    Ok(())
}
