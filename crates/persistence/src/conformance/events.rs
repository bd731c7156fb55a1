//! Security events.

use std::sync::Arc;

use doorward_domain::{
    Client, Clock, EventId, EventKind, EventReason, RequestId, SecurityEvent, SessionId, Store, Timestamp, UserAgent,
    UserId,
};

use super::{Outcome, Surroundings, Violation, after, must};

/// Every field of an event comes back as it was written, newest first.
pub async fn events_survive_the_round_trip_newest_first(store: Arc<dyn Store>) -> Outcome {
    let event = |seconds: u64| -> Result<SecurityEvent, Violation> {
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
    };
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
