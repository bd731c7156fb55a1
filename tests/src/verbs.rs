//! The client's verbs for sessions and for other services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;

use crate::{Answer, Client};

/// What a service says to an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accepted,
    Refused,
    /// The service has not heard from its database for too long to tell.
    Stale,
}

/// Another service, as Doorward's configuration knows it.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub id: String,
    pub secret: String,
}

impl Credentials {
    /// The value of an `Authorization` header.
    pub fn basic(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret)))
    }
}

impl Client {
    pub async fn log_out_everywhere(&self, access_token: &str) -> Answer {
        self.with_token(Method::POST, "/api/auth/logout-all", access_token, None).await
    }

    pub async fn sessions(&self, access_token: &str) -> Answer {
        self.with_token(Method::GET, "/api/auth/sessions", access_token, None).await
    }

    pub async fn end_session(&self, access_token: &str, id: &str) -> Answer {
        self.with_token(Method::DELETE, &format!("/api/auth/sessions/{id}"), access_token, None).await
    }

    /// What the service says to an access token, asked without any use of its database: the token is checked
    /// before the body is looked at, and a body of no type is refused unread. `None` when nobody answers.
    pub async fn try_judge(&self, access_token: &str) -> Option<Verdict> {
        let bearer = format!("Bearer {access_token}");
        let answer = self.send(Method::PATCH, "/api/auth/me", &[("authorization", &bearer)], None).await.ok()?;
        match (answer.status.as_u16(), answer.code().as_str()) {
            (415, "unsupported_media_type") => Some(Verdict::Accepted),
            (401, "unauthenticated") => Some(Verdict::Refused),
            (503, "unavailable") => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                Some(Verdict::Stale)
            }
            _ => panic!("{answer:?}"),
        }
    }

    /// As [`try_judge`](Self::try_judge), from a service that answers.
    pub async fn judge(&self, access_token: &str) -> Verdict {
        self.try_judge(access_token).await.expect("nobody answers")
    }

    /// Asks as another service whether a token is good (RFC 7662).
    pub async fn introspect(&self, service: &Credentials, token: &str) -> Answer {
        self.post_form("/api/auth/introspect", Some(service), &[("token", token)]).await
    }

    /// Revokes a token as another service (RFC 7009).
    pub async fn revoke(&self, service: &Credentials, token: &str) -> Answer {
        self.post_form("/api/auth/revoke", Some(service), &[("token", token)]).await
    }

    pub async fn post_form(&self, path: &str, service: Option<&Credentials>, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let basic = service.map(Credentials::basic);
        let headers: Vec<(&str, &str)> = basic.iter().map(|basic| ("authorization", basic.as_str())).collect();
        self.post_raw(path, &headers, "application/x-www-form-urlencoded", body.join("&")).await
    }
}

fn escaped(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
