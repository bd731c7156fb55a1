//! The user's own account.

use axum::Json;
use axum::extract::State;
use doorward_auth::{Auth, Rename};
use doorward_domain::{DisplayName, User};
use serde::Serialize;

use axum::response::{IntoResponse, Response};

use super::session::name;
use crate::body::{Body, Fields, FromFields};
use crate::client::From as ComesFrom;
use crate::current_user::CurrentUser;
use crate::problem::Problem;

/// A user, as clients see one.
#[derive(Serialize)]
pub(super) struct UserView<'a> {
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
