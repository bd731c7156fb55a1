use doorward_domain::{EventId, EventRecord, Timestamp};
use uuid::Uuid;

/// An entry of the security log, with nothing in it but what is given.
pub(crate) fn record(number: u128, at: Timestamp, kind: &str) -> EventRecord {
    EventRecord {
        id: EventId::from_uuid(Uuid::from_u128(number)),
        at,
        kind: kind.to_owned(),
        reason: None,
        user_id: None,
        session_id: None,
        ip: None,
        user_agent: None,
        request_id: None,
        count: 1,
    }
}
