//! Registering, logging in, staying logged in, logging out.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_auth::{Auth, Login, Logout, LogoutError, Register, Registration, RotateRefresh, SessionGrant};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::account::{UserView, verification_sent};
use crate::body::{Body, Fields, FromFields};
use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::current_user::{CurrentUser, bearer_token};
use crate::fields::{device, email, name, password};
use crate::problem::{FieldError, Problem};
use crate::proof::Presented;
use crate::{cookie, origin};

/// How a client wants to keep its refresh token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// In the answer, for the client to store.
    Token,
    /// In a cookie that no script can read.
    Cookie,
}

impl Delivery {
    fn from_fields(fields: &mut Fields) -> Self {
        match fields.optional_text("session").as_deref() {
            None | Some("token") => Self::Token,
            Some("cookie") => Self::Cookie,
            Some(_) => {
                fields.refuse(FieldError::new("session", "invalid_choice", "must be `token` or `cookie`"));
                Self::Token
            }
        }
    }

    /// A cookie is only handed to this service's own pages: elsewhere it would log a visitor in as somebody
    /// else.
    fn check(self, headers: &HeaderMap, config: &HttpConfig) -> Result<(), Problem> {
        match self {
            Self::Token => Ok(()),
            Self::Cookie => origin::check(headers, config),
        }
    }
}

pub(super) struct RegisterBody {
    request: Register,
    delivery: Delivery,
}

impl FromFields for RegisterBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (email, password, name) = (email(fields), password(fields, "password"), name(fields));
        let (device, delivery) = (device(fields), Delivery::from_fields(fields));
        let request = Register { email: email?, password: password?, name, device, proof: None };
        Some(Self { request, delivery })
    }
}

pub(super) async fn register(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    Presented(proof): Presented,
    headers: HeaderMap,
    Body(body): Body<RegisterBody>,
) -> Result<Response, Problem> {
    body.delivery.check(&headers, &config)?;
    let device = body.request.device.or_else(|| cookie::device_token(&headers, &config));
    match auth.register(Register { device, proof, ..body.request }, &client).await? {
        Registration::SessionStarted(grant) => {
            Ok((StatusCode::CREATED, grant_response(&auth, &grant, body.delivery, &config)).into_response())
        }
        Registration::VerificationPending => Ok(verification_sent()),
    }
}

pub(super) struct LoginBody {
    request: Login,
    delivery: Delivery,
}

impl FromFields for LoginBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (email, password) = (email(fields), password(fields, "password"));
        let (device, delivery) = (device(fields), Delivery::from_fields(fields));
        Some(Self { request: Login { email: email?, password: password?, device, proof: None }, delivery })
    }
}

pub(super) async fn login(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    Presented(proof): Presented,
    headers: HeaderMap,
    Body(body): Body<LoginBody>,
) -> Result<Response, Problem> {
    body.delivery.check(&headers, &config)?;
    let device = body.request.device.or_else(|| cookie::device_token(&headers, &config));
    let grant = auth.login(Login { device, proof, ..body.request }, &client).await?;
    Ok(grant_response(&auth, &grant, body.delivery, &config))
}

/// A refresh token in the body, or none where the cookie brings it.
pub(super) struct RefreshTokenBody {
    refresh_token: Option<SecretString>,
}

impl FromFields for RefreshTokenBody {
    const MAY_BE_ABSENT: bool = true;

    fn from_fields(fields: &mut Fields) -> Option<Self> {
        Some(Self { refresh_token: fields.optional_text("refresh_token").map(SecretString::from) })
    }
}

pub(super) async fn refresh(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    headers: HeaderMap,
    Body(body): Body<RefreshTokenBody>,
) -> Result<Response, Problem> {
    let (refresh_token, delivery) = match (body.refresh_token, cookie::refresh_token(&headers, &config)) {
        (Some(token), _) => (token, Delivery::Token),
        (None, Some(token)) => {
            origin::check(&headers, &config)?;
            (token, Delivery::Cookie)
        }
        (None, None) => {
            let missing = FieldError::new("refresh_token", "required", "is required where there is no cookie");
            return Err(Problem::validation(vec![missing]));
        }
    };
    let grant = auth.refresh(RotateRefresh { refresh_token }, &client).await?;
    Ok(grant_response(&auth, &grant, delivery, &config))
}

pub(super) async fn logout(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    headers: HeaderMap,
    Body(body): Body<RefreshTokenBody>,
) -> Result<Response, Problem> {
    let bearer = bearer_token(&headers)?.map(Logout::AccessToken);
    let mut requests: Vec<Logout> = bearer.into_iter().chain(body.refresh_token.map(Logout::RefreshToken)).collect();
    // The cookie counts, and is taken back, only for own pages; elsewhere it is as if it had not come.
    let mut by_cookie = false;
    if let Some(token) = cookie::refresh_token(&headers, &config) {
        match origin::check(&headers, &config) {
            Ok(()) => {
                requests.push(Logout::RefreshToken(token));
                by_cookie = true;
            }
            Err(problem) if requests.is_empty() => return Err(problem),
            Err(_) => {}
        }
    }
    // Every session that the request proves to be its own ends; a stale access token does not keep the cookie's
    // session alive.
    let mut outcome = Err(Problem::unauthenticated(false));
    for request in requests {
        match auth.logout(request, &client).await {
            Ok(()) => outcome = Ok(()),
            Err(LogoutError::Unauthenticated(error)) if outcome.is_err() => outcome = Err(error.into()),
            Err(LogoutError::Unauthenticated(_)) => {}
            Err(error @ LogoutError::Fault(_)) => return Err(error.into()),
        }
    }
    outcome?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if by_cookie {
        set_cookie(&mut response, cookie::take_back(&config));
    }
    Ok(response)
}

pub(super) async fn logout_all(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    user: CurrentUser,
) -> Result<StatusCode, Problem> {
    auth.logout_all(&user, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn grant_response(auth: &Auth, grant: &SessionGrant, delivery: Delivery, config: &HttpConfig) -> Response {
    #[derive(Serialize)]
    struct GrantView<'a> {
        access_token: &'a str,
        token_type: &'static str,
        expires_in: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        device_token: Option<&'a str>,
        refresh_expires_in: u64,
        session_id: String,
        user: UserView<'a>,
    }
    let refresh_token = grant.refresh_token.to_text();
    let device_token = grant.device_token.as_ref().map(|device| auth.device_token_text(device));
    let mut response = Json(GrantView {
        access_token: grant.access_token.text.expose_secret(),
        token_type: "Bearer",
        expires_in: grant.access_token.expires_in.as_secs(),
        refresh_token: (delivery == Delivery::Token).then(|| refresh_token.expose_secret()),
        device_token: device_token.as_ref().filter(|_| delivery == Delivery::Token).map(ExposeSecret::expose_secret),
        refresh_expires_in: grant.refresh_expires_in.as_secs(),
        session_id: grant.session_id.to_string(),
        user: UserView::from(&grant.user),
    })
    .into_response();
    if delivery == Delivery::Cookie {
        set_cookie(&mut response, cookie::hand_out(&grant.refresh_token, grant.refresh_expires_in, config));
        set_cookie(&mut response, device_token.and_then(|device| cookie::know_device(&device, config)));
    }
    response
}

pub(super) fn set_cookie(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
}
