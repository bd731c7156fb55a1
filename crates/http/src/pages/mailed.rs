//! The pages that the links of mails open, and those that ask for such mails. Opening one changes nothing, since mail
//! scanners open links as well; its button does.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use doorward_auth::{
    ConfirmEmailChange, OneTimeTokens, RequestPasswordReset, ResendVerification, ResetPassword, UndoEmailChange,
    VerifyEmail,
};
use doorward_domain::OneTimePurpose;

use super::Page;
use super::form::Form;
use super::visitor::Visitor;
use crate::fields::{Address, MailedToken};
use crate::problem::{Kind, Problem};
use crate::proof::Presented;
use crate::routes::Shared;
use crate::routes::mailed::ResetPasswordBody;

/// The pages, each at the path that mails name.
pub(super) fn routes() -> Router<Shared> {
    let at = OneTimePurpose::page;
    Router::new()
        .route(at(OneTimePurpose::VerifyEmail), get(verify_page).post(verify))
        .route(at(OneTimePurpose::ResetPassword), get(reset_page).post(reset))
        .route(at(OneTimePurpose::ChangeEmail), get(change_page).post(change))
        .route(at(OneTimePurpose::UndoEmailChange), get(undo_page).post(undo))
}

/// The page with the button, for the token in the address.
fn ask(visitor: &Visitor, purpose: OneTimePurpose) -> Page {
    match visitor.query("token").filter(|token| is_sane(token)) {
        Some(token) => confirm(visitor, purpose, token),
        None => broken(visitor, purpose),
    }
}

fn confirm(visitor: &Visitor, purpose: OneTimePurpose, token: &str) -> Page {
    let say = |what| visitor.text(&["confirm", purpose.as_str(), what]);
    visitor
        .page("confirm")
        .with("title", say("title"))
        .with("text", say("text"))
        .with("button", say("button"))
        .with("token", token)
        .with("with_password", purpose == OneTimePurpose::ResetPassword)
}

/// Whether a text looks like a token. Whether it is one is told when it is used.
fn is_sane(token: &str) -> bool {
    token.starts_with(OneTimeTokens::PREFIX)
        && token.len() <= 128
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The page for a link that does not work, or no longer.
fn broken(visitor: &Visitor, purpose: OneTimePurpose) -> Page {
    let problem = Problem::from(Kind::InvalidToken);
    visitor
        .page("message")
        .with("title", visitor.text(&["confirm", purpose.as_str(), "title"]))
        .with("alert", visitor.text(&["problem", problem.code(), "title"]))
        .with("text", visitor.text(&["problem", problem.code(), "text"]))
        .with("link", visitor.way_on())
        .status(problem.status())
}

/// What came of the button.
fn answer(
    visitor: &Visitor,
    purpose: OneTimePurpose,
    done: &'static str,
    outcome: Result<(), impl Into<Problem>>,
) -> Response {
    match outcome.map_err(Into::into) {
        Ok(()) => visitor
            .page("message")
            .with("title", visitor.text(&["confirm", purpose.as_str(), "title"]))
            .with("text", ())
            .with("link", visitor.way_on())
            .done(Some(done))
            .into_response(),
        Err(problem) if problem.is(Kind::InvalidToken) => broken(visitor, purpose).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The same where the button ends every session of its user, who may be the one that looks, or somebody else.
async fn finish(
    visitor: &mut Visitor,
    headers: &HeaderMap,
    purpose: OneTimePurpose,
    done: &'static str,
    outcome: Result<(), impl Into<Problem>>,
) -> Response {
    if outcome.is_ok()
        && let Err(problem) = visitor.look_again(headers).await
    {
        return problem.into_response();
    }
    answer(visitor, purpose, done, outcome)
}

async fn verify_page(visitor: Visitor) -> Response {
    if visitor.query("token").is_none() && visitor.pages().enabled() {
        return visitor.page("verify_email").into_response();
    }
    ask(&visitor, OneTimePurpose::VerifyEmail).into_response()
}

async fn verify(visitor: Visitor, Presented(proof): Presented, form: Form) -> Response {
    if form.value("token").is_none() && visitor.pages().enabled() {
        let email = match form.read::<Address>() {
            Ok(form) => form.0,
            Err(errors) => return again(&visitor, "verify_email", &Problem::validation(errors), &form),
        };
        let request = ResendVerification { email, proof };
        return match visitor.auth().resend_verification(request, visitor.client()).await {
            Ok(()) => visitor.sent("verify_email").into_response(),
            Err(error) => again(&visitor, "verify_email", &error.into(), &form),
        };
    }
    let Ok(MailedToken(token)) = form.read() else {
        return broken(&visitor, OneTimePurpose::VerifyEmail).into_response();
    };
    let outcome = visitor.auth().verify_email(VerifyEmail { token }, visitor.client()).await;
    answer(&visitor, OneTimePurpose::VerifyEmail, "email_verified", outcome)
}

pub(super) async fn forgot_page(visitor: Visitor) -> Page {
    visitor.page("forgot_password")
}

pub(super) async fn forgot(visitor: Visitor, Presented(proof): Presented, form: Form) -> Response {
    let email = match form.read::<Address>() {
        Ok(form) => form.0,
        Err(errors) => return again(&visitor, "forgot_password", &Problem::validation(errors), &form),
    };
    match visitor.auth().request_password_reset(RequestPasswordReset { email, proof }, visitor.client()).await {
        Ok(()) => visitor.sent("forgot_password").into_response(),
        Err(error) => again(&visitor, "forgot_password", &error.into(), &form),
    }
}

fn again(visitor: &Visitor, template: &'static str, problem: &Problem, form: &Form) -> Response {
    visitor.page(template).refused(problem, form).into_response()
}

async fn reset_page(visitor: Visitor) -> Response {
    if visitor.query("token").is_none() && visitor.pages().enabled() {
        return visitor.redirect("/forgot-password");
    }
    ask(&visitor, OneTimePurpose::ResetPassword).into_response()
}

async fn reset(mut visitor: Visitor, headers: HeaderMap, form: Form) -> Response {
    let purpose = OneTimePurpose::ResetPassword;
    let Some(token) = form.value("token").filter(|token| is_sane(token)) else {
        return broken(&visitor, purpose).into_response();
    };
    let again = |problem: &Problem| confirm(&visitor, purpose, token).refused(problem, &form).into_response();
    let request = match form.read::<ResetPasswordBody>() {
        Ok(ResetPasswordBody(request)) => ResetPassword { device: visitor.device_token(&headers), ..request },
        Err(errors) => return again(&Problem::validation(errors)),
    };
    let outcome = visitor.auth().reset_password(request, visitor.client()).await.map_err(Problem::from);
    let outcome = match outcome {
        Err(problem) if !problem.is(Kind::InvalidToken) => return again(&problem),
        outcome => outcome.map(|device| visitor.know_device(&device)),
    };
    finish(&mut visitor, &headers, purpose, "password_set", outcome).await
}

async fn change_page(visitor: Visitor) -> Response {
    if visitor.query("token").is_none() && visitor.pages().enabled() {
        return visitor.redirect("/account#email");
    }
    ask(&visitor, OneTimePurpose::ChangeEmail).into_response()
}

async fn change(mut visitor: Visitor, headers: HeaderMap, form: Form) -> Response {
    let purpose = OneTimePurpose::ChangeEmail;
    let Ok(MailedToken(token)) = form.read() else { return broken(&visitor, purpose).into_response() };
    let outcome = visitor.auth().confirm_email_change(ConfirmEmailChange { token }, visitor.client()).await;
    finish(&mut visitor, &headers, purpose, "email_changed", outcome).await
}

async fn undo_page(visitor: Visitor) -> Response {
    ask(&visitor, OneTimePurpose::UndoEmailChange).into_response()
}

async fn undo(mut visitor: Visitor, headers: HeaderMap, form: Form) -> Response {
    let purpose = OneTimePurpose::UndoEmailChange;
    let Ok(MailedToken(token)) = form.read() else { return broken(&visitor, purpose).into_response() };
    let outcome = visitor.auth().undo_email_change(UndoEmailChange { token }, visitor.client()).await;
    finish(&mut visitor, &headers, purpose, "email_restored", outcome).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_token_is_not_shown_a_button_for() {
        assert!(is_sane("dwo_AZaz09-_"));
        for token in ["", "AZaz", "dwo_\"><script>", "dwo_a b", "dwo_é", &format!("dwo_{}", "a".repeat(125))] {
            assert!(!is_sane(token), "{token}");
        }
    }
}
