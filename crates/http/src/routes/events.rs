//! A user's own security events.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use doorward_auth::{Auth, EventPage, ListEvents};
use doorward_domain::{EventId, EventReason, SecurityEvent, UserAgent};
use serde::Serialize;

use crate::body::{Fields, FromFields, Query};
use crate::current_user::CurrentUser;
use crate::problem::Problem;
use crate::{cursor, device};

#[derive(Serialize)]
struct EventsView<'a> {
    events: Vec<EventView<'a>>,
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct EventView<'a> {
    id: String,
    at: String,
    kind: &'static str,
    /// Why it was refused; `null` for a success.
    reason: Option<&'static str>,
    session_id: Option<String>,
    ip: Option<String>,
    user_agent: Option<&'a str>,
    device: Option<String>,
}

impl<'a> From<&'a SecurityEvent> for EventView<'a> {
    fn from(event: &'a SecurityEvent) -> Self {
        let user_agent = event.client.user_agent.as_ref();
        Self {
            id: event.id.to_string(),
            at: event.at.to_rfc3339(),
            kind: event.kind.as_str(),
            reason: event.reason.map(EventReason::as_str),
            session_id: event.session_id.map(|id| id.to_string()),
            ip: event.client.ip.map(|ip| ip.to_string()),
            user_agent: user_agent.map(UserAgent::as_str),
            device: user_agent.and_then(device::describe),
        }
    }
}

pub(super) struct EventsQuery(ListEvents);

impl FromFields for EventsQuery {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let limit = fields.limit(ListEvents::LONGEST).unwrap_or(ListEvents::default().limit);
        Some(Self(ListEvents { before: fields.cursor().map(EventId::from_uuid), limit }))
    }
}

pub(super) async fn list(
    State(auth): State<Auth>,
    user: CurrentUser,
    Query(EventsQuery(list)): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let EventPage { events, next } = auth.events(&user, list).await?;
    let view = EventsView {
        events: events.iter().map(EventView::from).collect(),
        next_cursor: next.map(|next| cursor::of(next.uuid())),
    };
    Ok(Json(view).into_response())
}
