use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use doorward_domain::EventReason;
use secrecy::SecretString;

use crate::AccessGuard;
use crate::owner::client;
use crate::problem::{Kind, Problem};

/// The user that the request's access token names, in any handler whose state holds an [`AccessGuard`].
///
/// A handler that takes it runs for authenticated requests alone; any other gets 401 and a challenge.
///
/// ```
/// use axum::{Router, extract::FromRef, routing::get};
/// use doorward_http::{AccessGuard, CurrentUser};
///
/// #[derive(Clone)]
/// struct App { guard: AccessGuard } // `auth.into()`, or `verifier.into()` in another service
///
/// impl FromRef<App> for AccessGuard {
///     fn from_ref(app: &App) -> Self { app.guard.clone() }
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

/// A role that [`RequireRole`] asks for. A type stands for it, since an extractor takes no argument.
pub trait RoleName {
    /// The role, as access tokens name it.
    const ROLE: &'static str;
}

/// The user that the request's access token names, who has the role `R`; without the role the request gets 403.
///
/// ```
/// use axum::{Router, routing::get};
/// use doorward_http::{AccessGuard, RequireRole, RoleName};
///
/// struct Admin;
///
/// impl RoleName for Admin {
///     const ROLE: &'static str = "admin";
/// }
///
/// async fn settings(admin: RequireRole<Admin>) -> String {
///     format!("as you please, {}", admin.id())
/// }
///
/// fn router(guard: AccessGuard) -> Router {
///     Router::new().route("/settings", get(settings)).with_state(guard)
/// }
/// ```
#[derive(Debug)]
pub struct RequireRole<R>(pub CurrentUser, PhantomData<fn() -> R>);

impl CurrentUser {
    /// The user of a request with these headers, `None` for one without a token.
    pub(crate) async fn of(headers: &HeaderMap, guard: &AccessGuard) -> Result<Option<Self>, Problem> {
        match bearer_token(headers)? {
            None => Ok(None),
            Some(token) => Ok(Some(Self(guard.authenticate(&token).await?))),
        }
    }
}

#[cfg(feature = "pages")]
impl From<doorward_auth::CurrentUser> for CurrentUser {
    fn from(user: doorward_auth::CurrentUser) -> Self {
        Self(user)
    }
}

impl Deref for CurrentUser {
    type Target = doorward_auth::CurrentUser;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<R> Deref for RequireRole<R> {
    type Target = CurrentUser;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S> FromRequestParts<S> for CurrentUser
where
    S: Send + Sync,
    AccessGuard: FromRef<S>,
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
    AccessGuard: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        CurrentUser::of(&parts.headers, &AccessGuard::from_ref(state)).await.map(Self)
    }
}

impl<S, R> FromRequestParts<S> for RequireRole<R>
where
    S: Send + Sync,
    AccessGuard: FromRef<S>,
    R: RoleName,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        if user.has_role(R::ROLE) {
            return Ok(Self(user, PhantomData));
        }
        let guard = AccessGuard::from_ref(state);
        match guard.note_refused_access(&user, EventReason::MissingRole, &client(parts)).await {
            Ok(()) => Err(Kind::Forbidden.into()),
            Err(fault) => Err(fault.into()),
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

#[cfg(test)]
#[cfg(feature = "verifier")]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;
    use crate::verifier::testing::SharedIssuer;

    struct Admin;

    impl RoleName for Admin {
        const ROLE: &'static str = "admin";
    }

    async fn admin(admin: RequireRole<Admin>) -> String {
        admin.id().to_string()
    }

    async fn anybody(OptionalUser(user): OptionalUser) -> &'static str {
        if user.is_some() { "somebody" } else { "nobody" }
    }

    async fn status(router: &Router, path: &str, token: Option<&str>) -> StatusCode {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_role_that_the_user_lacks_is_forbidden_and_no_user_is_unauthenticated() {
        let issuer = SharedIssuer::default();
        let guard = AccessGuard::from(issuer.verifier().await);
        let router = Router::new().route("/admin", get(admin)).with_state(guard);
        let (plain, privileged) = (issuer.token(&[]), issuer.token(&["auditor", "admin"]));
        for (token, expected) in [
            (None, StatusCode::UNAUTHORIZED),
            (Some("forged"), StatusCode::UNAUTHORIZED),
            (Some(plain.as_str()), StatusCode::FORBIDDEN),
            (Some(privileged.as_str()), StatusCode::OK),
        ] {
            assert_eq!(status(&router, "/admin", token).await, expected, "{token:?}");
        }
    }

    #[tokio::test]
    async fn a_user_is_optional_and_a_bad_token_is_refused() {
        let issuer = SharedIssuer::default();
        // A verifier is a router's whole state as well.
        let router = Router::new().route("/", get(anybody)).with_state(issuer.verifier().await);
        assert_eq!(status(&router, "/", None).await, StatusCode::OK);
        assert_eq!(status(&router, "/", Some(&issuer.token(&[]))).await, StatusCode::OK);
        assert_eq!(status(&router, "/", Some("forged")).await, StatusCode::UNAUTHORIZED);
    }
}
