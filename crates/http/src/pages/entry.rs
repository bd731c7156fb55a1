//! Registering, logging in, logging out.

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use doorward_auth::{Login, LoginError, Logout, Register, RegisterError, Registration, RegistrationMode};
use doorward_domain::Password;
use secrecy::SecretString;

use super::form::Form;
use super::visitor::{PageUser, Visitor};
use crate::body::{Fields, FromFields};
use crate::fields::{email, name, password};
use crate::problem::{Kind, Problem};
use crate::proof::Presented;

/// Where to go afterwards is part of these forms, and is checked when it is gone to.
fn with_next<T>(fields: &mut Fields, request: Option<T>) -> Option<T> {
    fields.optional_text("next");
    request
}

struct LoginForm(Login);

impl FromFields for LoginForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let email = email(fields);
        // A password that breaks the rules is nobody's, and not what is wrong with the form.
        let password = fields.secret("password").map(|text| Password::parse(&text).ok());
        let request = email.zip(password);
        with_next(fields, request)
            .and_then(|(email, password)| Some(Self(Login { email, password: password?, device: None, proof: None })))
    }
}

pub(super) async fn login_page(visitor: Visitor) -> Response {
    if visitor.account().is_some() {
        return visitor.onward(visitor.query("next"));
    }
    login_form(&visitor, visitor.query("next")).into_response()
}

fn login_form(visitor: &Visitor, next: Option<&str>) -> super::Page {
    visitor.page("login").with("next", visitor.next(next)).with("unverified", false)
}

pub(super) async fn login(visitor: Visitor, headers: HeaderMap, Presented(proof): Presented, form: Form) -> Response {
    let next = form.value("next");
    let again = |problem: Problem| login_form(&visitor, next).refused(&problem, &form);
    let request = match form.read::<LoginForm>() {
        Ok(LoginForm(request)) => Login { device: visitor.device_token(&headers), proof, ..request },
        Err(errors) if errors.is_empty() => return again(Kind::InvalidCredentials.into()).into_response(),
        Err(errors) => return again(Problem::validation(errors)).into_response(),
    };
    match visitor.auth().login(request, visitor.client()).await {
        Ok(grant) => {
            visitor.keep(&grant);
            visitor.onward(next)
        }
        Err(error) => {
            let unverified = matches!(error, LoginError::EmailNotVerified);
            again(error.into()).with("unverified", unverified).into_response()
        }
    }
}

struct RegisterForm(Register);

impl FromFields for RegisterForm {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let (email, password, name) = (email(fields), password(fields, "password"), name(fields));
        let request =
            email.zip(password).map(|(email, password)| Register { email, password, name, device: None, proof: None });
        with_next(fields, request).map(Self)
    }
}

pub(super) async fn register_page(visitor: Visitor) -> Response {
    if visitor.account().is_some() {
        return visitor.onward(visitor.query("next"));
    }
    register_form(&visitor, visitor.query("next")).into_response()
}

fn register_form(visitor: &Visitor, next: Option<&str>) -> super::Page {
    visitor
        .page("register")
        .with("next", visitor.next(next))
        .with("closed", visitor.auth().registration_mode() == RegistrationMode::Closed)
}

pub(super) async fn register(
    visitor: Visitor,
    headers: HeaderMap,
    Presented(proof): Presented,
    form: Form,
) -> Response {
    let next = form.value("next");
    let again = |problem: &Problem| register_form(&visitor, next).refused(problem, &form).into_response();
    let request = match form.read::<RegisterForm>() {
        Ok(RegisterForm(request)) => Register { device: visitor.device_token(&headers), proof, ..request },
        Err(errors) => return again(&Problem::validation(errors)),
    };
    match visitor.auth().register(request, visitor.client()).await {
        Ok(Registration::SessionStarted(grant)) => {
            visitor.keep(&grant);
            visitor.onward(next)
        }
        Ok(Registration::VerificationPending) => visitor.sent("register").into_response(),
        Err(RegisterError::EmailTaken) => again(&Problem::from(RegisterError::EmailTaken).at_field("email")),
        Err(error) => again(&error.into()),
    }
}

pub(super) async fn logout_page(user: PageUser) -> Response {
    user.page("logout").into_response()
}

pub(super) async fn logout(visitor: Visitor, headers: HeaderMap, _: Form) -> Response {
    if let Some(token) = visitor.refresh_token(&headers) {
        if let Err(error) = end(&visitor, token).await {
            return error.into_response();
        }
        visitor.forget();
    }
    visitor.redirect("/login?done=logged_out")
}

async fn end(visitor: &Visitor, token: SecretString) -> Result<(), Problem> {
    Ok(visitor.auth().logout(Logout::RefreshToken(token), visitor.client()).await?)
}
