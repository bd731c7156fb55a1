//! The sessions of a user, as that user sees and ends them.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use doorward_auth::Auth;
use doorward_domain::{Session, SessionId, UserAgent};
use serde::Serialize;
use uuid::Uuid;

use crate::client::ComesFrom;
use crate::current_user::CurrentUser;
use crate::device;
use crate::problem::{Kind, Problem};

#[derive(Serialize)]
struct SessionsView<'a> {
    sessions: Vec<SessionView<'a>>,
}

/// A session, as its user sees it.
#[derive(Serialize)]
pub(crate) struct SessionView<'a> {
    id: String,
    created_at: String,
    last_seen_at: String,
    /// When it ends unless it is refreshed before.
    expires_at: String,
    ip: Option<String>,
    user_agent: Option<&'a str>,
    device: Option<String>,
    current: bool,
    amr: &'a [String],
}

impl<'a> SessionView<'a> {
    pub(crate) fn new(session: &'a Session, current: SessionId) -> Self {
        let user_agent = session.client.user_agent.as_ref();
        Self {
            id: session.id.to_string(),
            // A session begins with the proof of who somebody is.
            created_at: session.authenticated_at.to_rfc3339(),
            last_seen_at: session.last_seen_at.to_rfc3339(),
            expires_at: session.idle_expires_at.min(session.expires_at).to_rfc3339(),
            ip: session.client.ip.map(|ip| ip.to_string()),
            user_agent: user_agent.map(UserAgent::as_str),
            device: user_agent.and_then(device::describe),
            current: session.id == current,
            amr: &session.amr,
        }
    }
}

pub(super) async fn list(State(auth): State<Auth>, user: CurrentUser) -> Result<Response, Problem> {
    let sessions = auth.sessions(&user).await?;
    let sessions = sessions.iter().map(|session| SessionView::new(session, user.session_id())).collect();
    Ok(Json(SessionsView { sessions }).into_response())
}

pub(super) async fn end(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    user: CurrentUser,
    id: Result<Path<Uuid>, PathRejection>,
) -> Result<StatusCode, Problem> {
    // What is no id names no session.
    let Ok(Path(id)) = id else { return Err(Kind::NotFound.into()) };
    auth.end_session(&user, SessionId::from_uuid(id), &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
