//! The client's verbs for sessions, for tasks and for other services.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

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

    /// A page of one's own security events; the query is such as `limit=10`, or nothing.
    pub async fn events(&self, access_token: &str, query: &str) -> Answer {
        self.with_token(Method::GET, &format!("/api/auth/events?{query}"), access_token, None).await
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

/// The tasks of whoever asks.
pub const MY_TASKS: &str = "/api/users/me/tasks";

impl Client {
    pub async fn add_task(&self, access_token: &str, title: &str) -> Answer {
        self.with_token(Method::POST, MY_TASKS, access_token, Some(&json!({ "title": title }))).await
    }

    /// A page of one's tasks; the query is such as `completed=true&limit=10`, or nothing.
    pub async fn tasks(&self, access_token: &str, query: &str) -> Answer {
        self.with_token(Method::GET, &format!("{MY_TASKS}?{query}"), access_token, None).await
    }

    pub async fn task(&self, access_token: &str, id: &str) -> Answer {
        self.on_task(Method::GET, access_token, id, None, None).await
    }

    pub async fn replace_task(&self, access_token: &str, id: &str, title: &str, if_match: Option<&str>) -> Answer {
        self.write_task(access_token, id, &json!({ "title": title }), if_match).await
    }

    /// Replaces a task by more than a title.
    pub async fn write_task(&self, access_token: &str, id: &str, content: &Value, if_match: Option<&str>) -> Answer {
        self.on_task(Method::PUT, access_token, id, if_match, Some(content)).await
    }

    pub async fn complete_task(&self, access_token: &str, id: &str, completed: bool, if_match: Option<&str>) -> Answer {
        let body = json!({ "completed": completed });
        self.on_task(Method::PATCH, access_token, &format!("{id}/complete"), if_match, Some(&body)).await
    }

    pub async fn delete_task(&self, access_token: &str, id: &str, if_match: Option<&str>) -> Answer {
        self.on_task(Method::DELETE, access_token, id, if_match, None).await
    }

    async fn on_task(
        &self,
        method: Method,
        access_token: &str,
        path: &str,
        if_match: Option<&str>,
        body: Option<&Value>,
    ) -> Answer {
        let bearer = format!("Bearer {access_token}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(if_match.map(|tags| ("if-match", tags)));
        self.send(method, &format!("{MY_TASKS}/{path}"), &headers, body).await.unwrap()
    }
}
