//! The user's own account.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use doorward_auth::{ChangePassword, EventPage, ListEvents, Rename};
use doorward_domain::{EventId, SecurityEvent, SessionId};
use serde::Serialize;
use uuid::Uuid;

use super::Page;
use super::form::Form;
use super::visitor::PageUser;
use crate::body::{Fields, FromFields};
use crate::fields::{name, password};
use crate::problem::{FieldError, Kind, Problem};
use crate::routes::account::{ChangeEmailBody, DeleteMeBody, UserView};
use crate::routes::sessions::SessionView;
use crate::{cursor, device};

#[derive(Serialize)]
struct EventView {
    at: String,
    text: String,
    refused: bool,
    device: Option<String>,
    ip: Option<String>,
}

impl EventView {
    fn new(event: &SecurityEvent, user: &PageUser) -> Self {
        let refused = event.reason.is_some();
        let section = if refused { "event_refused" } else { "event" };
        let text = user.find_text(&[section, event.kind.as_str()]);
        Self {
            at: event.at.to_rfc3339(),
            text: text.unwrap_or_else(|| user.text(&["event", event.kind.as_str()])),
            refused,
            device: event.client.user_agent.as_ref().and_then(device::describe),
            ip: event.client.ip.map(|ip| ip.to_string()),
        }
    }
}

/// The page, with everything that it shows.
async fn shown(user: &PageUser) -> Result<Page, Problem> {
    let before = user.query("events").and_then(cursor::parse).map(EventId::from_uuid);
    let auth = user.auth();
    let sessions = auth.sessions(user.user()).await?;
    let EventPage { events, next } = auth.events(user.user(), ListEvents { before, limit: 20 }).await?;
    // Read anew, since the form that was sent may have changed it.
    let account = auth.me(user.user()).await?;
    let sessions: Vec<_> = sessions.iter().map(|session| SessionView::new(session, user.user().session_id())).collect();
    let events: Vec<_> = events.iter().map(|event| EventView::new(event, user)).collect();
    Ok(user
        .page("account")
        .with("user", UserView::from(&account))
        .with("sessions", sessions)
        .with("events", events)
        .with("more_events", next.map(|next| format!("?events={}", cursor::of(next.uuid()))))
        .with("form", ()))
}

pub(super) async fn page(user: PageUser) -> Result<Page, Problem> {
    shown(&user).await
}

/// The page again, with what is wrong with one of its forms.
async fn refused(user: &PageUser, name: &'static str, problem: Problem, form: &Form) -> Response {
    if problem.is(Kind::Unauthenticated) {
        return user.redirect("/login");
    }
    match shown(user).await {
        Ok(page) => page.with("form", name).refused(&problem, form).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// A wrong password stands at its field: who is logged in has not mistyped their address.
fn at_field(problem: Problem, field: &'static str) -> Problem {
    if problem.is(Kind::InvalidCredentials) {
        return Problem::validation(vec![FieldError::new(field, "wrong_password", "is wrong")]);
    }
    problem
}

struct RenameForm(Rename);

impl FromFields for RenameForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(Rename { name: name(fields) }))
    }
}

pub(super) async fn rename(user: PageUser, form: Form) -> Response {
    let request = match form.read::<RenameForm>() {
        Ok(form) => form.0,
        Err(errors) => return refused(&user, "profile", Problem::validation(errors), &form).await,
    };
    match user.auth().rename(user.user(), request, user.client()).await {
        Ok(_) => user.redirect("/account?done=profile_saved#profile"),
        Err(error) => refused(&user, "profile", error.into(), &form).await,
    }
}

pub(super) async fn change_email(user: PageUser, form: Form) -> Response {
    let request = match form.read::<ChangeEmailBody>() {
        Ok(form) => form.0,
        Err(errors) => return refused(&user, "email", Problem::validation(errors), &form).await,
    };
    match user.auth().change_email(user.user(), request, user.client()).await {
        Ok(()) => user.sent("change_email").into_response(),
        Err(error) => refused(&user, "email", at_field(error.into(), "password"), &form).await,
    }
}

struct PasswordForm(ChangePassword);

impl FromFields for PasswordForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        // The address is there for password managers.
        fields.optional_text("username");
        let (current, new) = (password(fields, "current_password"), password(fields, "new_password"));
        Some(Self(ChangePassword { current: current?, new: new?, device: None }))
    }
}

pub(super) async fn change_password(user: PageUser, headers: HeaderMap, form: Form) -> Response {
    let request = match form.read::<PasswordForm>() {
        Ok(PasswordForm(request)) => ChangePassword { device: user.device_token(&headers), ..request },
        Err(errors) => return refused(&user, "password", Problem::validation(errors), &form).await,
    };
    match user.auth().change_password(user.user(), request, user.client()).await {
        Ok(device) => {
            user.know_device(&device);
            user.redirect("/account?done=password_changed#password")
        }
        Err(error) => refused(&user, "password", at_field(error.into(), "current_password"), &form).await,
    }
}

struct EndSessionForm(Option<SessionId>);

impl FromFields for EndSessionForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let id = fields.text("id")?;
        Some(Self(Uuid::try_parse(&id).ok().map(SessionId::from_uuid)))
    }
}

pub(super) async fn end_session(user: PageUser, form: Form) -> Response {
    // What is no id names no session.
    let Ok(EndSessionForm(Some(id))) = form.read() else { return Problem::from(Kind::NotFound).into_response() };
    match user.auth().end_session(user.user(), id, user.client()).await.map_err(Problem::from) {
        Ok(()) if id == user.user().session_id() => {
            user.forget();
            user.redirect("/login?done=logged_out")
        }
        Ok(()) => user.redirect("/account?done=session_ended#sessions"),
        Err(problem) => problem.into_response(),
    }
}

pub(super) async fn end_all(user: PageUser, _: Form) -> Response {
    match user.auth().logout_all(user.user(), user.client()).await.map_err(Problem::from) {
        Ok(()) => {
            user.forget();
            user.redirect("/login?done=sessions_ended")
        }
        Err(problem) => problem.into_response(),
    }
}

pub(super) async fn delete(user: PageUser, form: Form) -> Response {
    let request = match form.read::<DeleteMeBody>() {
        Ok(form) => form.0,
        Err(errors) => return refused(&user, "delete", Problem::validation(errors), &form).await,
    };
    match user.auth().delete_account(user.user(), request, user.client()).await {
        Ok(()) => {
            user.forget();
            user.redirect("/login?done=account_deleted")
        }
        Err(error) => refused(&user, "delete", at_field(error.into(), "password"), &form).await,
    }
}
