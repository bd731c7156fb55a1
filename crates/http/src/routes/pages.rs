//! The pages that the links of mails open. Opening one changes nothing, since mail scanners open links as well; its
//! button does.

use std::fmt::Display;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, FromRequest, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use doorward_auth::{
    Auth, ConfirmEmailChange, Fault, OneTimeTokenError, OneTimeTokens, ResetPassword, ResetPasswordError,
    UndoEmailChange, VerifyEmail,
};
use doorward_domain::{Client, OneTimePurpose, Password};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded;

use super::Shared;
use crate::body;
use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::problem::{Kind, Problem};

const STYLE: &str = include_str!("../../assets/doorward.css");
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// What a page says about its act.
struct Words {
    title: &'static str,
    text: &'static str,
    button: &'static str,
    done: &'static str,
}

const VERIFY: Words = Words {
    title: "Confirm your address",
    text: "Confirm that this mail address is yours.",
    button: "Confirm address",
    done: "Your address is confirmed.",
};
const RESET: Words = Words {
    title: "Set a new password",
    text: "All your sessions end, and you log in again with the new password.",
    button: "Set password",
    done: "Your password is set. You can log in with it now.",
};
const CHANGE: Words = Words {
    title: "Confirm your new address",
    text: "From now on you log in with this mail address. All your sessions end.",
    button: "Use this address",
    done: "Your address is changed. You can log in with it now.",
};
const UNDO: Words = Words {
    title: "Take your address back",
    text: "Your account gets its former mail address back. All sessions end, the password stops working, and we mail you a link to set a new one.",
    button: "Take it back",
    done: "Your address is back. A mail with a link to set a new password is on its way.",
};

/// The pages, each at the path that mails name.
pub(super) fn routes() -> Router<Shared> {
    let at = OneTimePurpose::page;
    Router::new()
        .route(
            at(OneTimePurpose::VerifyEmail),
            get(async |uri: Uri| open(&VERIFY, &uri, Fields::Token)).post(
                async |State(auth): State<Auth>, ComesFrom(client): ComesFrom, form: Form| {
                    answer(&VERIFY, auth.verify_email(VerifyEmail { token: form.token }, &client).await)
                },
            ),
        )
        .route(
            at(OneTimePurpose::ChangeEmail),
            get(async |uri: Uri| open(&CHANGE, &uri, Fields::Token)).post(
                async |State(auth): State<Auth>, ComesFrom(client): ComesFrom, form: Form| {
                    answer(&CHANGE, auth.confirm_email_change(ConfirmEmailChange { token: form.token }, &client).await)
                },
            ),
        )
        .route(
            at(OneTimePurpose::UndoEmailChange),
            get(async |uri: Uri| open(&UNDO, &uri, Fields::Token)).post(
                async |State(auth): State<Auth>, ComesFrom(client): ComesFrom, form: Form| {
                    answer(&UNDO, auth.undo_email_change(UndoEmailChange { token: form.token }, &client).await)
                },
            ),
        )
        .route(
            at(OneTimePurpose::ResetPassword),
            get(async |uri: Uri| open(&RESET, &uri, Fields::TokenAndPassword)).post(
                async |State(auth): State<Auth>, ComesFrom(client): ComesFrom, form: Form| {
                    reset(&auth, &client, form).await
                },
            ),
        )
        .route("/assets/doorward.css", get(style))
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")], STYLE).into_response()
}

/// What a form asks for.
#[derive(Clone, Copy)]
enum Fields {
    Token,
    TokenAndPassword,
}

/// What a form sends.
struct Form {
    token: SecretString,
    password: Option<SecretString>,
}

impl<S> FromRequest<S> for Form
where
    S: Send + Sync,
    Arc<HttpConfig>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let config = Arc::<HttpConfig>::from_ref(state);
        let (parts, body) = request.into_parts();
        let is_form = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        if !is_form {
            return Err(Problem::from(Kind::UnsupportedMediaType).into_response());
        }
        let bytes = body::read(body, &config.limits).await.map_err(IntoResponse::into_response)?;
        let field = |name: &str| {
            let mut fields = form_urlencoded::parse(&bytes);
            fields.find(|(field, _)| field == name).map(|(_, value)| SecretString::from(value.into_owned()))
        };
        Ok(Self { token: field("token").unwrap_or_default(), password: field("password") })
    }
}

/// The page with the button.
fn open(words: &Words, uri: &Uri, fields: Fields) -> Response {
    let query = uri.query().unwrap_or_default();
    let token = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
    match token {
        Some((_, token)) if is_sane(&token) => ask(words, &token, fields, StatusCode::OK, None),
        _ => broken(words),
    }
}

/// Whether a text can stand in a page as it is. Every token can; whether it is one is told when it is used.
fn is_sane(token: &str) -> bool {
    token.starts_with(OneTimeTokens::PREFIX)
        && token.len() <= 128
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn ask(words: &Words, token: &str, fields: Fields, status: StatusCode, complaint: Option<&dyn Display>) -> Response {
    let complaint = complaint.map(|text| format!("<p role=\"alert\">{}</p>", escaped(&text.to_string())));
    let password = match fields {
        Fields::Token => "",
        Fields::TokenAndPassword => {
            "<label for=\"password\">New password</label>\
             <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"new-password\" required autofocus>"
        }
    };
    let Words { title, text, button, .. } = words;
    let complaint = complaint.unwrap_or_default();
    // Without an action the form goes to the page's own address, which would repeat the token in it.
    let content = format!(
        "<p>{text}</p>{complaint}<form method=\"post\" action=\"?\">\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">{password}<button>{button}</button></form>"
    );
    page(title, &content, status)
}

async fn reset(auth: &Auth, client: &Client, form: Form) -> Response {
    let Form { token, password } = form;
    if !is_sane(token.expose_secret()) {
        return broken(&RESET);
    }
    let again = |complaint: &dyn Display| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        ask(&RESET, token.expose_secret(), Fields::TokenAndPassword, status, Some(complaint))
    };
    let password = match Password::parse(&password.unwrap_or_default()) {
        Ok(password) => password,
        Err(refused) => return again(&format!("The password {refused}.")),
    };
    match auth.reset_password(ResetPassword { token: token.clone(), password }, client).await {
        Ok(()) => done(&RESET),
        Err(ResetPasswordError::InvalidToken) => broken(&RESET),
        Err(ResetPasswordError::PasswordRefused(refused)) => again(&format!("The password {refused}.")),
        Err(ResetPasswordError::Fault(fault)) => later(&RESET, fault),
    }
}

fn answer(words: &Words, outcome: Result<(), OneTimeTokenError>) -> Response {
    match outcome {
        Ok(()) => done(words),
        Err(OneTimeTokenError::InvalidToken) => broken(words),
        Err(OneTimeTokenError::Fault(fault)) => later(words, fault),
    }
}

fn done(words: &Words) -> Response {
    page(words.title, &format!("<p role=\"status\">{}</p>", words.done), StatusCode::OK)
}

fn broken(words: &Words) -> Response {
    let content = "<p role=\"alert\">This link does not work, or no longer.</p>\
                   <p>It may have been used already, be too old, or a newer mail has taken its place.</p>";
    page(words.title, content, StatusCode::BAD_REQUEST)
}

/// The problem's status and headers, with a page in place of its body.
fn later(words: &Words, fault: Fault) -> Response {
    let content = "<p role=\"alert\">This cannot be done right now. Please try again in a moment.</p>";
    let mut problem = Problem::from(fault).into_response();
    let mut response = page(words.title, content, problem.status());
    if let Some(wait) = problem.headers_mut().remove(axum::http::header::RETRY_AFTER) {
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, wait);
    }
    response
}

fn page(title: &str, content: &str, status: StatusCode) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"assets/doorward.css\"></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>"
    );
    let mut response = (status, Html(html)).into_response();
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_break_out_stands_in_a_page() {
        assert!(is_sane("dwo_AZaz09-_"));
        for token in ["", "AZaz", "dwo_\"><script>", "dwo_a b", "dwo_é", &format!("dwo_{}", "a".repeat(125))] {
            assert!(!is_sane(token), "{token}");
        }
        assert_eq!(escaped("<a href=\"'&\">"), "&lt;a href=&quot;&#39;&amp;&quot;&gt;");
    }
}
