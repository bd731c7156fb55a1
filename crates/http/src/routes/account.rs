//! The user's own account.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_auth::{Auth, ChangeEmail, ChangePassword, DeleteAccount, Rename};
use doorward_domain::{DisplayName, User};
use serde::Serialize;

use super::mailed::known_device;
use crate::body::{Body, Fields, FromFields};
use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::cookie;
use crate::current_user::CurrentUser;
use crate::fields::{device, email, name, password};
use crate::problem::Problem;

/// A user, as clients see one.
#[derive(Serialize)]
pub(crate) struct UserView<'a> {
    id: String,
    email: &'a str,
    email_verified: bool,
    name: Option<&'a str>,
    roles: &'a [String],
    created_at: String,
    updated_at: String,
}

impl<'a> From<&'a User> for UserView<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            email_verified: user.email_verified(),
            name: user.name.as_ref().map(DisplayName::as_str),
            roles: &user.roles,
            created_at: user.created_at.to_rfc3339(),
            updated_at: user.updated_at.to_rfc3339(),
        }
    }
}

pub(super) async fn me(State(auth): State<Auth>, user: CurrentUser) -> Result<Response, Problem> {
    Ok(Json(UserView::from(&auth.me(&user).await?)).into_response())
}

/// What changes; a field that is not there stays as it is.
pub(super) struct ChangeMeBody {
    rename: Option<Rename>,
}

impl FromFields for ChangeMeBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let named = fields.has("name");
        let name = name(fields);
        Some(Self { rename: named.then_some(Rename { name }) })
    }
}

pub(super) async fn change_me(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    user: CurrentUser,
    Body(body): Body<ChangeMeBody>,
) -> Result<Response, Problem> {
    let changed = match body.rename {
        Some(rename) => auth.rename(&user, rename, &client).await?,
        None => auth.me(&user).await?,
    };
    Ok(Json(UserView::from(&changed)).into_response())
}

pub(super) struct ChangePasswordBody(ChangePassword);

impl FromFields for ChangePasswordBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (current, new) = (password(fields, "current_password"), password(fields, "new_password"));
        Some(Self(ChangePassword { current: current?, new: new?, device: device(fields) }))
    }
}

pub(super) async fn change_password(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    headers: HeaderMap,
    user: CurrentUser,
    Body(ChangePasswordBody(request)): Body<ChangePasswordBody>,
) -> Result<Response, Problem> {
    let device = request.device.or_else(|| cookie::device_token(&headers, &config));
    let device = auth.change_password(&user, ChangePassword { device, ..request }, &client).await?;
    Ok(known_device(&auth, &device, &headers, &config))
}

pub(crate) struct ChangeEmailBody(pub(crate) ChangeEmail);

impl FromFields for ChangeEmailBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (email, password) = (email(fields), password(fields, "password"));
        Some(Self(ChangeEmail { email: email?, password: password? }))
    }
}

pub(super) async fn change_email(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    user: CurrentUser,
    Body(body): Body<ChangeEmailBody>,
) -> Result<Response, Problem> {
    auth.change_email(&user, body.0, &client).await?;
    Ok(verification_sent())
}

/// The answer to whatever sends a mail, whether or not there is anybody to send it to.
pub(super) fn verification_sent() -> Response {
    (StatusCode::ACCEPTED, Json(serde_json::json!({ "status": "verification_sent" }))).into_response()
}

pub(crate) struct DeleteMeBody(pub(crate) DeleteAccount);

impl FromFields for DeleteMeBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self(DeleteAccount { password: password(fields, "password")? }))
    }
}

pub(super) async fn delete_me(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    user: CurrentUser,
    Body(body): Body<DeleteMeBody>,
) -> Result<StatusCode, Problem> {
    auth.delete_account(&user, body.0, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
