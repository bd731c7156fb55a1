//! What is done with a mailed token, and asking for the mails.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_auth::{
    Auth, ConfirmEmailChange, DeviceToken, RequestPasswordReset, ResendVerification, ResetPassword, UndoEmailChange,
    VerifyEmail,
};

use super::account::verification_sent;
use super::session::set_cookie;
use crate::body::{Body, Fields, FromFields};
use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::fields::{Address, MailedToken, device, password};
use crate::problem::Problem;
use crate::proof::Presented;
use crate::{cookie, origin};

pub(super) async fn resend_verification(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Presented(proof): Presented,
    Body(Address(email)): Body<Address>,
) -> Result<Response, Problem> {
    auth.resend_verification(ResendVerification { email, proof }, &client).await?;
    Ok(verification_sent())
}

pub(super) async fn verify_email(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Body(MailedToken(token)): Body<MailedToken>,
) -> Result<StatusCode, Problem> {
    auth.verify_email(VerifyEmail { token }, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn request_password_reset(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Presented(proof): Presented,
    Body(Address(email)): Body<Address>,
) -> Result<Response, Problem> {
    auth.request_password_reset(RequestPasswordReset { email, proof }, &client).await?;
    Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "status": "reset_sent" }))).into_response())
}

pub(crate) struct ResetPasswordBody(pub(crate) ResetPassword);

impl FromFields for ResetPasswordBody {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (token, password, device) = (fields.secret("token"), password(fields, "password"), device(fields));
        Some(Self(ResetPassword { token: token?, password: password?, device }))
    }
}

pub(super) async fn reset_password(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ComesFrom(client): ComesFrom,
    headers: HeaderMap,
    Body(ResetPasswordBody(request)): Body<ResetPasswordBody>,
) -> Result<Response, Problem> {
    let device = request.device.or_else(|| cookie::device_token(&headers, &config));
    let device = auth.reset_password(ResetPassword { device, ..request }, &client).await?;
    Ok(known_device(&auth, &device, &headers, &config))
}

/// The answer to a new password: a browser with a page of the service's own is known by its cookie from now on.
pub(super) fn known_device(auth: &Auth, device: &DeviceToken, headers: &HeaderMap, config: &HttpConfig) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if origin::check(headers, config).is_ok() {
        set_cookie(&mut response, cookie::know_device(&auth.device_token_text(device), config));
    }
    response
}

pub(super) async fn confirm_email_change(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Body(MailedToken(token)): Body<MailedToken>,
) -> Result<StatusCode, Problem> {
    auth.confirm_email_change(ConfirmEmailChange { token }, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn undo_email_change(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Body(MailedToken(token)): Body<MailedToken>,
) -> Result<StatusCode, Problem> {
    auth.undo_email_change(UndoEmailChange { token }, &client).await?;
    Ok(StatusCode::NO_CONTENT)
}
