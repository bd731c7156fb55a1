use std::net::IpAddr;

use thiserror::Error;
use uuid::Uuid;

use crate::{
    Client, EventId, EventKind, EventReason, RequestId, SecurityEvent, SessionId, Timestamp, UserAgent, UserId,
};

/// An entry of the security log as it is stored, each field as it is and none of them understood: so a changed row can be
/// told from one that was not changed, whatever was put into it, and a later version's entry is no riddle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// Names the entry.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What was done or tried.
    pub kind: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// Whose account it concerns.
    pub user_id: Option<UserId>,
    /// Which session it concerns.
    pub session_id: Option<SessionId>,
    /// The client's address.
    pub ip: Option<String>,
    /// What the client says it is.
    pub user_agent: Option<String>,
    /// The request.
    pub request_id: Option<String>,
    /// How many times it happened.
    pub count: i64,
}

/// A stored entry is none that this version writes; names the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the {0} of a stored event is none that this version knows")]
pub struct UnknownRecord(pub &'static str);

impl EventRecord {
    /// Every field in one text of bytes, which no other record has.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { id, at, kind, reason, user_id, session_id, ip, user_agent, request_id, count } = self;
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(id.uuid().as_bytes());
        bytes.extend_from_slice(&at.unix_micros().to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for id in [user_id.map(UserId::uuid), session_id.map(SessionId::uuid)] {
            field(&mut bytes, id.as_ref().map(|id: &Uuid| id.as_bytes().as_slice()));
        }
        for text in [Some(kind), reason.as_ref(), ip.as_ref(), user_agent.as_ref(), request_id.as_ref()] {
            field(&mut bytes, text.map(String::as_bytes));
        }
        bytes
    }
}

/// A field with its length in front, so that no two lists of fields are the same bytes.
fn field(bytes: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(u64::MAX, |value| value.len() as u64);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(value.unwrap_or_default());
}

impl From<&SecurityEvent> for EventRecord {
    fn from(event: &SecurityEvent) -> Self {
        let SecurityEvent { id, at, kind, reason, user_id, session_id, client, count } = event;
        Self {
            id: *id,
            at: *at,
            kind: kind.as_str().to_owned(),
            reason: reason.map(|reason| reason.as_str().to_owned()),
            user_id: *user_id,
            session_id: *session_id,
            ip: client.ip.map(|ip| ip.to_string()),
            user_agent: client.user_agent.as_ref().map(|agent| agent.as_str().to_owned()),
            request_id: client.request_id.as_ref().map(|id| id.as_str().to_owned()),
            count: i64::from(*count),
        }
    }
}

impl TryFrom<EventRecord> for SecurityEvent {
    type Error = UnknownRecord;

    fn try_from(record: EventRecord) -> Result<Self, UnknownRecord> {
        let EventRecord { id, at, kind, reason, user_id, session_id, ip, user_agent, request_id, count } = record;
        let reason = reason.map(|name| EventReason::from_name(&name).ok_or(UnknownRecord("reason"))).transpose()?;
        let ip = ip.map(|ip| ip.parse::<IpAddr>().map_err(|_| UnknownRecord("address"))).transpose()?;
        Ok(Self {
            id,
            at,
            kind: EventKind::from_name(&kind).ok_or(UnknownRecord("kind"))?,
            reason,
            user_id,
            session_id,
            client: Client {
                ip,
                user_agent: user_agent.as_deref().map(UserAgent::sanitized),
                request_id: request_id.as_deref().and_then(RequestId::parse),
                locale: None,
            },
            count: u32::try_from(count).map_err(|_| UnknownRecord("count"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EventRecord {
        EventRecord {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            at: Timestamp::from_unix_micros(2),
            kind: "login".to_owned(),
            reason: Some("wrong_password".to_owned()),
            user_id: Some(UserId::from_uuid(Uuid::from_u128(3))),
            session_id: None,
            ip: Some("192.0.2.1".to_owned()),
            user_agent: Some("curl/8".to_owned()),
            request_id: Some("request-1".to_owned()),
            count: 1,
        }
    }

    #[test]
    fn a_change_of_any_field_is_another_text_of_bytes() {
        let changed = [
            EventRecord { id: EventId::from_uuid(Uuid::from_u128(2)), ..record() },
            EventRecord { at: Timestamp::from_unix_micros(3), ..record() },
            EventRecord { kind: "logout".to_owned(), ..record() },
            EventRecord { reason: None, ..record() },
            EventRecord { reason: Some(String::new()), ..record() },
            EventRecord { user_id: None, ..record() },
            EventRecord { user_id: None, session_id: Some(SessionId::from_uuid(Uuid::from_u128(3))), ..record() },
            EventRecord { ip: None, ..record() },
            EventRecord { user_agent: Some("curl/9".to_owned()), ..record() },
            EventRecord { user_agent: Some("curl/8request-1".to_owned()), request_id: Some(String::new()), ..record() },
            EventRecord { request_id: Some("request-1\n".to_owned()), ..record() },
            EventRecord { count: 2, ..record() },
        ];
        let mut all: Vec<_> = changed.iter().map(EventRecord::to_bytes).collect();
        all.push(record().to_bytes());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    #[test]
    fn an_event_goes_there_and_back_and_what_is_none_is_refused() {
        let event = SecurityEvent::try_from(record()).unwrap();
        assert_eq!(EventRecord::from(&event), record());
        for (unknown, what) in [
            (EventRecord { kind: "Login".to_owned(), ..record() }, "kind"),
            (EventRecord { reason: Some("x".to_owned()), ..record() }, "reason"),
            (EventRecord { ip: Some("192.0.2".to_owned()), ..record() }, "address"),
            (EventRecord { count: -1, ..record() }, "count"),
        ] {
            assert_eq!(SecurityEvent::try_from(unknown), Err(UnknownRecord(what)));
        }
    }
}
