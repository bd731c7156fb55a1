//! A client with verbs.

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{PASSWORD, keep};

/// Talks to a service as a careful person would.
#[derive(Clone)]
pub struct Client {
    pub base: String,
    pub http: reqwest::Client,
}

/// An answer, read in full.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    async fn read(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await?;
        keep::answer(status.as_u16(), &headers, &text);
        Ok(Self { status, headers, text })
    }

    /// Asserts the status alone.
    pub fn answered(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem's code.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_else(|| panic!("no problem: {self:?}")).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The grant of an answer that has to be one.
    pub fn grant(&self) -> Grant {
        assert!(self.status.is_success(), "{self:?}");
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        Grant {
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            session_id: text("session_id"),
            user_id: json["user"]["id"].as_str().unwrap().to_owned(),
        }
    }

    /// Asserts a problem's status and code.
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{self:?}");
    }
}

/// What a client got for logging in.
#[derive(Clone, Debug)]
pub struct Grant {
    pub access_token: String,
    pub refresh_token: String,
    pub session_id: String,
    pub user_id: String,
}

impl Client {
    pub async fn verify_email(&self, token: &str) -> Answer {
        self.post("/api/auth/verify-email", &json!({ "token": token })).await
    }

    pub async fn resend_verification(&self, email: &str) -> Answer {
        self.post("/api/auth/verify-email/resend", &json!({ "email": email })).await
    }

    pub async fn request_reset(&self, email: &str) -> Answer {
        self.post("/api/auth/reset-password", &json!({ "email": email })).await
    }

    pub async fn confirm_reset(&self, token: &str, password: &str) -> Answer {
        self.post("/api/auth/reset-password/confirm", &json!({ "token": token, "password": password })).await
    }

    pub async fn change_password(&self, access_token: &str, current: &str, new: &str) -> Answer {
        let body = json!({ "current_password": current, "new_password": new });
        self.with_token(Method::POST, "/api/auth/change-password", access_token, Some(&body)).await
    }

    pub async fn change_email(&self, access_token: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.with_token(Method::POST, "/api/auth/change-email", access_token, Some(&body)).await
    }

    pub async fn confirm_email_change(&self, token: &str) -> Answer {
        self.post("/api/auth/change-email/confirm", &json!({ "token": token })).await
    }

    pub async fn undo_email_change(&self, token: &str) -> Answer {
        self.post("/api/auth/change-email/undo", &json!({ "token": token })).await
    }

    pub async fn delete_me(&self, access_token: &str, password: &str) -> Answer {
        let body = json!({ "password": password });
        self.with_token(Method::DELETE, "/api/auth/me", access_token, Some(&body)).await
    }

    /// Sends a body as it is, of this type.
    pub async fn post_raw(&self, path: &str, headers: &[(&str, &str)], content_type: &str, body: String) -> Answer {
        keep::request(path, headers);
        keep::body(&body);
        let mut request = self.http.post(format!("{}{path}", self.base)).header("content-type", content_type);
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>().unwrap(), *value);
        }
        Answer::read(request.body(body).send().await.unwrap()).await.unwrap()
    }

    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(64)
            .build()
            .unwrap();
        Self { base: base.to_owned(), http }
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        keep::request(path, headers);
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name.parse::<HeaderName>().unwrap(), *value);
        }
        if let Some(body) = body {
            keep::fields(body);
            request = request.json(body);
        }
        Answer::read(request.send().await?).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[], Some(body)).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], None).await.unwrap()
    }

    pub async fn register(&self, email: &str) -> Answer {
        self.post("/api/auth/register", &json!({ "email": email, "password": PASSWORD })).await
    }

    pub async fn log_in(&self, email: &str) -> Answer {
        self.log_in_with(email, PASSWORD).await
    }

    pub async fn log_in_with(&self, email: &str, password: &str) -> Answer {
        self.post("/api/auth/login", &json!({ "email": email, "password": password })).await
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post("/api/auth/refresh", &json!({ "refresh_token": refresh_token })).await
    }

    pub async fn me(&self, access_token: &str) -> Answer {
        self.with_token(Method::GET, "/api/auth/me", access_token, None).await
    }

    pub async fn log_out(&self, access_token: &str) -> Answer {
        self.with_token(Method::POST, "/api/auth/logout", access_token, None).await
    }

    pub async fn with_token(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {token}");
        self.send(method, path, &[("authorization", &bearer)], body).await.unwrap()
    }
}
