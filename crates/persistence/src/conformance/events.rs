//! Security events.

use std::sync::Arc;

use doorward_domain::{
    Client, Clock, EventId, EventKind, EventReason, RequestId, SecurityEvent, SessionId, Store, Timestamp, UserAgent,
    UserId,
};

use super::{Outcome, Surroundings, Violation, after, must};

/// A log-in of nobody, so many seconds after the others.
fn event(seconds: u64) -> Result<SecurityEvent, Violation> {
    struct At(Timestamp);
    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }
    Ok(SecurityEvent {
        id: EventId::new(&At(after(seconds)), &Surroundings)?,
        at: after(seconds),
        kind: EventKind::Login,
        reason: None,
        user_id: None,
        session_id: None,
        client: Client::default(),
    })
}

/// Every field of an event comes back as it was written, newest first.
pub async fn events_survive_the_round_trip_newest_first(store: Arc<dyn Store>) -> Outcome {
    let older = event(1)?;
    let newer = SecurityEvent {
        kind: EventKind::Refresh,
        reason: Some(EventReason::Replay),
        user_id: Some(UserId::new(&Surroundings, &Surroundings)?),
        session_id: Some(SessionId::new(&Surroundings, &Surroundings)?),
        client: Client {
            ip: "192.0.2.1".parse().ok(),
            user_agent: Some(UserAgent::sanitized("curl/8")),
            request_id: RequestId::parse("request-1"),
            locale: None,
        },
        ..event(2)?
    };
    let mut unit = store.write().await?;
    unit.events().append(&older).await?;
    unit.events().append(&newer).await?;
    unit.commit().await?;
    let newest = store.read().await?.events().newest(10).await?;
    must!(newest == [newer.clone(), older], "the events came back changed: {newest:?}");
    let newest = store.read().await?.events().newest(1).await?;
    must!(newest == [newer], "one event was asked for: {newest:?}");
    Ok(())
}

/// A user's events are those that concern the user, newest first and page by page, without refreshes that succeeded.
pub async fn a_user_s_events_are_their_own_and_without_refreshes(store: Arc<dyn Store>) -> Outcome {
    let own = UserId::new(&Surroundings, &Surroundings)?;
    let user_id = Some(own);
    let other = Some(UserId::new(&Surroundings, &Surroundings)?);
    let (refresh, replay) = (EventKind::Refresh, Some(EventReason::Replay));
    let first = SecurityEvent { user_id, ..event(1)? };
    let second = SecurityEvent { user_id, kind: refresh, reason: replay, ..event(3)? };
    let third = SecurityEvent { user_id, kind: EventKind::Logout, ..event(6)? };
    let mut unit = store.write().await?;
    for event in [
        &first,
        &SecurityEvent { user_id: other, ..event(2)? },
        &second,
        &SecurityEvent { user_id, kind: refresh, ..event(4)? },
        &event(5)?,
        &third,
    ] {
        unit.events().append(event).await?;
    }
    unit.commit().await?;
    let all = store.read().await?.events().of_user(own, None, 10).await?;
    must!(all == [third.clone(), second.clone(), first.clone()], "not the user's events: {all:?}");
    let page = store.read().await?.events().of_user(own, None, 1).await?;
    must!(page == [third.clone()], "one event was asked for: {page:?}");
    let page = store.read().await?.events().of_user(own, Some(third.id), 1).await?;
    must!(page == [second.clone()], "not the next event: {page:?}");
    let page = store.read().await?.events().of_user(own, Some(second.id), 10).await?;
    must!(page == [first], "not the last event: {page:?}");
    Ok(())
}
