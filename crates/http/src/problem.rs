//! Problem responses (RFC 9457). What the error of a use case becomes is in `problem/use_cases.rs`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use doorward_auth::password::HashingError;
use doorward_auth::{AuthenticationError, Fault, TooOften, Unauthenticated};
use doorward_domain::StoreError;
use serde::Serialize;
use serde_json::Value;

#[cfg(feature = "server")]
mod use_cases;

#[cfg(feature = "server")]
pub(crate) use use_cases::{email_error, name_error, password_error};

/// What kind of problem it is: its stable code, its status and its title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body is not JSON.
    MalformedJson,
    /// The request cannot be read.
    BadRequest,
    /// A mailed token is unknown, used, expired, superseded, or of another purpose.
    InvalidToken,
    /// The address or the password is wrong.
    InvalidCredentials,
    /// There is no valid access token.
    Unauthenticated,
    /// There is no valid refresh token.
    InvalidRefreshToken,
    /// The address has to be verified first.
    EmailNotVerified,
    /// The account is disabled.
    AccountDisabled,
    /// A cookie came from a page of another origin.
    CsrfRejected,
    /// What was asked for is not allowed.
    Forbidden,
    /// There is no such thing here.
    NotFound,
    /// The path exists and does not take this method.
    MethodNotAllowed,
    /// The request did not arrive in time.
    RequestTimeout,
    /// The address has an account.
    EmailTaken,
    /// There is no room for more: the user has as many of these as one may have.
    QuotaExceeded,
    /// The form was made for another user than the one who is logged in by now.
    OtherUser,
    /// It has changed since the version that `If-Match` names.
    VersionConflict,
    /// The body is too long.
    PayloadTooLarge,
    /// The body is of another type than JSON.
    UnsupportedMediaType,
    /// A field does not satisfy its rules.
    ValidationFailed,
    /// It was done too often, for the account or by the client.
    RateLimited,
    /// A proof of work is asked for.
    ProofRequired,
    /// Something went wrong that nobody foresaw.
    Internal,
    /// Too much is being done already.
    Overloaded,
    /// A dependency is down.
    Unavailable,
}

impl Kind {
    /// Each of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 25] = [
        Self::OtherUser,
        Self::MalformedJson,
        Self::BadRequest,
        Self::InvalidToken,
        Self::InvalidCredentials,
        Self::Unauthenticated,
        Self::InvalidRefreshToken,
        Self::EmailNotVerified,
        Self::AccountDisabled,
        Self::CsrfRejected,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::EmailTaken,
        Self::QuotaExceeded,
        Self::VersionConflict,
        Self::PayloadTooLarge,
        Self::UnsupportedMediaType,
        Self::ValidationFailed,
        Self::RateLimited,
        Self::ProofRequired,
        Self::Internal,
        Self::Overloaded,
        Self::Unavailable,
    ];

    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedJson => (StatusCode::BAD_REQUEST, "malformed_json", "The body is not valid JSON"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request", "The request cannot be read"),
            Self::InvalidToken => (StatusCode::BAD_REQUEST, "invalid_token", "The link does not work, or no longer"),
            Self::InvalidCredentials => {
                (StatusCode::UNAUTHORIZED, "invalid_credentials", "The address or the password is wrong")
            }
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated", "A valid access token is needed"),
            Self::InvalidRefreshToken => {
                (StatusCode::UNAUTHORIZED, "invalid_refresh_token", "The refresh token is not valid")
            }
            Self::EmailNotVerified => {
                (StatusCode::FORBIDDEN, "email_not_verified", "The address has to be verified first")
            }
            Self::AccountDisabled => (StatusCode::FORBIDDEN, "account_disabled", "The account is disabled"),
            Self::CsrfRejected => {
                (StatusCode::FORBIDDEN, "csrf_rejected", "Cookies are taken from this service's own pages only")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This is not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is nothing here"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "request_timeout", "The request did not arrive in time")
            }
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken", "The address has an account already"),
            Self::QuotaExceeded => (StatusCode::CONFLICT, "quota_exceeded", "There is no room for more of these"),
            Self::OtherUser => (StatusCode::CONFLICT, "other_user", "The page was made for another user"),
            Self::VersionConflict => {
                (StatusCode::PRECONDITION_FAILED, "version_conflict", "It has changed since it was read")
            }
            Self::PayloadTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "The body is too long"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body has to be application/json")
            }
            Self::ValidationFailed => {
                (StatusCode::UNPROCESSABLE_ENTITY, "validation_failed", "A field does not satisfy its rules")
            }
            Self::RateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited", "It was done too often; wait, then try again")
            }
            Self::ProofRequired => (StatusCode::PRECONDITION_REQUIRED, "proof_required", "A proof of work is needed"),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong that nobody foresaw")
            }
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Too much is being done already"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "A dependency is down"),
        }
    }

    /// How long a client should wait before it tries again, where waiting helps.
    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Overloaded => Some(Duration::from_secs(1)),
            Self::Unavailable => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The field.
    pub field: String,
    /// The broken rule's stable name.
    pub code: &'static str,
    /// The broken rule in words.
    pub detail: String,
}

impl FieldError {
    /// The field, the broken rule's name and the rule in words. Never the value: it may be a secret.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }
}

/// A refused request, ready to be answered.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Option<&'static str>,
    errors: Vec<FieldError>,
    members: BTreeMap<&'static str, Value>,
    challenge: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        let challenge = matches!(kind, Kind::InvalidCredentials | Kind::InvalidRefreshToken).then_some("Bearer");
        let (errors, members) = (Vec::new(), BTreeMap::new());
        Self { kind, detail: None, errors, members, challenge, retry_after: kind.retry_after() }
    }
}

impl Problem {
    /// Fields that do not satisfy their rules.
    #[must_use]
    pub fn validation(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::from(Kind::ValidationFailed) }
    }

    /// A query that cannot be read, by parameter.
    #[must_use]
    pub fn bad_query(errors: Vec<FieldError>) -> Self {
        Self { errors, ..Self::from(Kind::BadRequest) }
    }

    /// No access token, or one that is not valid (RFC 6750 section 3).
    #[must_use]
    pub fn unauthenticated(token_presented: bool) -> Self {
        let challenge = if token_presented { r#"Bearer error="invalid_token""# } else { "Bearer" };
        Self { challenge: Some(challenge), ..Self::from(Kind::Unauthenticated) }
    }

    /// Says more than the title. Never what a table, a file or another user is called.
    #[must_use]
    pub fn with_detail(self, detail: &'static str) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Says more for programs, in a member of its own (RFC 9457 section 3.2).
    #[must_use]
    pub fn with_member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name, value.into());
        self
    }

    /// The same, told at a field.
    #[must_use]
    pub fn at_field(self, field: &str) -> Self {
        let (_, code, title) = self.kind.parts();
        Self { errors: vec![FieldError::new(field, code, title)], ..self }
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.parts().1
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    /// What is wrong with the fields, where it is about fields.
    #[must_use]
    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }

    /// How long a client should wait, as a header; `None` where waiting does not help.
    pub(crate) fn retry_after(&self) -> Option<HeaderValue> {
        self.retry_after.map(|wait| HeaderValue::from(wait.as_secs()))
    }

    /// What is said in a member of its own.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The response, which names the request where its id is known.
    pub(crate) fn into_response_for(self, request_id: Option<&str>) -> Response {
        #[derive(Serialize)]
        struct Wire<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            detail: &'static str,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            request_id: Option<&'a str>,
            #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
            errors: &'a [FieldError],
            #[serde(flatten)]
            members: &'a BTreeMap<&'static str, Value>,
        }
        let (status, code, title) = self.kind.parts();
        let wire = Wire {
            r#type: format!("urn:doorward:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.detail.unwrap_or(title),
            code,
            request_id,
            errors: &self.errors,
            members: &self.members,
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(wait) = self.retry_after() {
            headers.insert(RETRY_AFTER, wait);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    /// Leaves the problem in the response's extensions, where the middleware finds it to add the request's id.
    fn into_response(self) -> Response {
        self.into_response_for(None)
    }
}

impl From<Unauthenticated> for Problem {
    fn from(_: Unauthenticated) -> Self {
        Self::unauthenticated(true)
    }
}

impl From<AuthenticationError> for Problem {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Unauthenticated(error) => error.into(),
            AuthenticationError::Stale => Kind::Unavailable.into(),
        }
    }
}

impl From<TooOften> for Problem {
    fn from(refused: TooOften) -> Self {
        Self { retry_after: Some(refused.retry_after), ..Self::from(Kind::RateLimited) }
    }
}

impl From<Fault> for Problem {
    /// Logs the whole chain of causes, once; the client learns the kind alone.
    fn from(fault: Fault) -> Self {
        let kind = match &fault {
            Fault::Hashing(HashingError::Overloaded) => return Kind::Overloaded.into(),
            Fault::TooOften(refused) => return (*refused).into(),
            Fault::Store(StoreError::Unavailable(_) | StoreError::Retryable(_)) | Fault::Screen(_) => Kind::Unavailable,
            Fault::Store(_) | Fault::Hashing(_) | Fault::Token(_) | Fault::Entropy(_) => Kind::Internal,
        };
        tracing::error!(error = %chain(&fault), "request failed");
        kind.into()
    }
}

impl From<StoreError> for Problem {
    /// For handlers that use a repository of their own.
    fn from(error: StoreError) -> Self {
        Fault::from(error).into()
    }
}

/// An error and its causes in one line, for a log or an operator. Never for a client.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string does not fail.
        write!(text, ": {error}").unwrap_or_default();
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use doorward_auth::password::ScreenUnavailable;

    use super::*;

    #[test]
    fn codes_are_unique() {
        let kinds = Kind::ALL;
        let mut codes: Vec<_> = kinds.iter().map(|kind| kind.parts().1).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), kinds.len());
    }

    #[test]
    fn a_fault_says_whether_waiting_helps_and_nothing_of_its_cause() {
        let cause = || Box::<dyn Error + Send + Sync>::from("users_email_key in /var/lib");
        for (fault, kind) in [
            (Fault::Store(StoreError::Unavailable(cause())), Kind::Unavailable),
            (Fault::Store(StoreError::Retryable(cause())), Kind::Unavailable),
            (Fault::Store(StoreError::Corrupt { what: "user", source: cause() }), Kind::Internal),
            (Fault::Screen(ScreenUnavailable(cause())), Kind::Unavailable),
            (Fault::Hashing(HashingError::Overloaded), Kind::Overloaded),
            (Fault::Hashing(HashingError::Unreadable), Kind::Internal),
        ] {
            let problem = Problem::from(fault);
            assert_eq!(problem.kind, kind);
            assert_eq!(problem.detail, None);
            let response = problem.into_response();
            assert_eq!(response.headers().contains_key(RETRY_AFTER), kind != Kind::Internal);
        }
    }

    #[test]
    fn what_was_done_too_often_says_how_long_to_wait() {
        let refused = TooOften { retry_after: Duration::from_secs(77) };
        let response = Problem::from(Fault::from(refused)).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "77");
    }

    #[tokio::test]
    async fn a_member_stands_beside_the_others() {
        let problem = Problem::from(Kind::ProofRequired).with_member("challenge", "dwp_x").with_member("difficulty", 8);
        assert_eq!(problem.member("challenge"), Some(&Value::from("dwp_x")));
        assert_eq!(problem.member("nonsense"), None);
        let body = problem.into_response().into_body();
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&json["status"], &json["code"]), (&Value::from(428), &Value::from("proof_required")));
        assert_eq!((&json["challenge"], &json["difficulty"]), (&Value::from("dwp_x"), &Value::from(8)));
    }
}
