use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use doorward_auth::Auth;
use secrecy::SecretString;

use crate::problem::Problem;

/// The user that the request's access token names, in any handler whose state holds an [`Auth`].
///
/// A handler that takes it runs for authenticated requests alone; any other gets 401 and a challenge.
///
/// ```
/// use axum::{Router, extract::FromRef, routing::get};
/// use doorward_auth::Auth;
/// use doorward_http::CurrentUser;
///
/// #[derive(Clone)]
/// struct App { auth: Auth }
///
/// impl FromRef<App> for Auth {
///     fn from_ref(app: &App) -> Self { app.auth.clone() }
/// }
///
/// async fn hello(user: CurrentUser) -> String {
///     format!("hello, {}", user.id())
/// }
///
/// fn router(app: App) -> Router {
///     Router::new().route("/hello", get(hello)).with_state(app)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CurrentUser(doorward_auth::CurrentUser);

/// The user that the request's access token names, or `None` for a request without one. A token that is not
/// valid is refused all the same: a client that presents one believes to be somebody.
#[derive(Clone, Debug)]
pub struct OptionalUser(pub Option<CurrentUser>);

impl Deref for CurrentUser {
    type Target = doorward_auth::CurrentUser;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OptionalUser(user) = OptionalUser::from_request_parts(parts, state).await?;
        user.ok_or_else(|| Problem::unauthenticated(false))
    }
}

impl<S> FromRequestParts<S> for OptionalUser
where
    S: Send + Sync,
    Auth: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match bearer_token(&parts.headers)? {
            None => Ok(Self(None)),
            Some(token) => Ok(Self(Some(CurrentUser(Auth::from_ref(state).authenticate(&token)?)))),
        }
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 section 2.1), `None` without the header. Other
/// places (query, form) are not looked at: they end up in logs (RFC 9700 section 2.4).
pub(crate) fn bearer_token(headers: &HeaderMap) -> Result<Option<SecretString>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(Problem::unauthenticated(true)),
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("Bearer").then(|| SecretString::from(token.trim_start_matches(' ').to_owned()))
    });
    token.map(Some).ok_or_else(|| Problem::unauthenticated(true))
}
