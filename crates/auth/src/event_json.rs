use doorward_domain::SecurityEvent;
use serde::Serialize;

/// An entry of the security log as services outside read it. A field without a value is `null`.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    r#type: &'static str,
    at: String,
    reason: Option<&'static str>,
    user_id: Option<String>,
    session_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<&'a str>,
    request_id: Option<&'a str>,
    count: u32,
}

/// An entry of the security log as one line of JSON: `id`, `type`, `at` (RFC 3339), `reason` (`null` for a success),
/// `user_id`, `session_id`, `ip`, `user_agent`, `request_id`, and `count`, which is above 1 for refusals that came in such
/// numbers that they were only counted.
#[must_use]
pub fn event_json(event: &SecurityEvent) -> String {
    let client = &event.client;
    let view = View {
        id: event.id.to_string(),
        r#type: event.kind.as_str(),
        at: event.at.to_rfc3339(),
        reason: event.reason.map(doorward_domain::EventReason::as_str),
        user_id: event.user_id.map(|id| id.to_string()),
        session_id: event.session_id.map(|id| id.to_string()),
        ip: client.ip.map(|ip| ip.to_string()),
        user_agent: client.user_agent.as_ref().map(doorward_domain::UserAgent::as_str),
        request_id: client.request_id.as_ref().map(doorward_domain::RequestId::as_str),
        count: event.count,
    };
    // Texts and nothing else: there is nothing in it that could not be written.
    serde_json::to_string(&view).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use doorward_domain::{Client, EventId, EventKind, EventReason, UserAgent};
    use uuid::Uuid;

    use super::*;
    use crate::testing::{NOW, SESSION_ID, USER_ID, client};

    fn event() -> SecurityEvent {
        SecurityEvent {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            at: NOW,
            kind: EventKind::Login,
            reason: None,
            user_id: None,
            session_id: None,
            client: Client::default(),
            count: 1,
        }
    }

    #[test]
    fn everything_that_is_known_is_said() {
        let event = SecurityEvent {
            reason: Some(EventReason::Replay),
            user_id: Some(USER_ID),
            session_id: Some(SESSION_ID),
            client: client(),
            ..event()
        };
        let expected = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000001","type":"login","at":"2027-01-15T08:00:00Z","#,
            r#""reason":"replay","user_id":"01900000-0000-7000-8000-000000000001","#,
            r#""session_id":"01900000-0000-7000-8000-000000000002","ip":"203.0.113.9","#,
            r#""user_agent":"a browser","request_id":"request-1","count":1}"#,
        );
        assert_eq!(event_json(&event), expected);
    }

    #[test]
    fn what_is_not_known_is_null_rather_than_missing() {
        let expected = concat!(
            r#"{"id":"00000000-0000-0000-0000-000000000001","type":"login","at":"2027-01-15T08:00:00Z","#,
            r#""reason":null,"user_id":null,"session_id":null,"ip":null,"user_agent":null,"request_id":null,"count":1}"#,
        );
        assert_eq!(event_json(&event()), expected);
    }

    #[test]
    fn a_user_agent_cannot_forge_a_line_or_a_field() {
        let forged = "curl\",\"reason\":null}\n{\"type\":\"login";
        let agent = UserAgent::sanitized(forged);
        let event = SecurityEvent { client: Client { user_agent: Some(agent.clone()), ..client() }, ..event() };
        let text = event_json(&event);
        assert_eq!(text.lines().count(), 1);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["user_agent"], agent.as_str());
    }
}
