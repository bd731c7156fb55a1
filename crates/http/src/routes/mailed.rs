//! What is done with a mailed token, and asking for the mails.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use doorward_auth::{
    Auth, ConfirmEmailChange, RequestPasswordReset, ResendVerification, ResetPassword, UndoEmailChange, VerifyEmail,
};

use super::account::verification_sent;
use crate::body::{Body, Fields, FromFields};
use crate::client::ComesFrom;
use crate::fields::{Address, MailedToken, password};
use crate::problem::Problem;
use crate::proof::Presented;

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
        let (token, password) = (fields.secret("token"), password(fields, "password"));
        Some(Self(ResetPassword { token: token?, password: password? }))
    }
}

pub(super) async fn reset_password(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    Body(ResetPasswordBody(request)): Body<ResetPasswordBody>,
) -> Result<StatusCode, Problem> {
    auth.reset_password(request, &client).await?;
    Ok(StatusCode::NO_CONTENT)
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
