//! A way to a service that counts what is fetched and can be blocked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::response::{IntoResponse, Response};

/// A reverse proxy. It listens before there is anything behind it, so that its URL can be the service's public one.
pub struct IssuerProxy {
    pub address: SocketAddr,
    line: Arc<Line>,
}

struct Line {
    http: reqwest::Client,
    target: Mutex<String>,
    blocked: AtomicBool,
    fetched: Mutex<HashMap<String, usize>>,
}

impl IssuerProxy {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let line = Arc::new(Line {
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            target: Mutex::default(),
            blocked: AtomicBool::new(false),
            fetched: Mutex::default(),
        });
        let router = Router::new().fallback(forward).with_state(Arc::clone(&line));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, line }
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Leads here from now on.
    pub fn lead_to(&self, url: &str) {
        url.clone_into(&mut self.line.target.lock().unwrap());
    }

    /// Answers nothing but 502 from now on, or no longer.
    pub fn block(&self, blocked: bool) {
        self.line.blocked.store(blocked, Ordering::SeqCst);
    }

    /// How often this path was asked for.
    pub fn count_of(&self, path: &str) -> usize {
        self.line.fetched.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

async fn forward(State(line): State<Arc<Line>>, request: Request) -> Response {
    *line.fetched.lock().unwrap().entry(request.uri().path().to_owned()).or_default() += 1;
    if line.blocked.load(Ordering::SeqCst) {
        return StatusCode::BAD_GATEWAY.into_response();
    }
    let (mut parts, body) = request.into_parts();
    for own in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        parts.headers.remove(own);
    }
    let url = format!("{}{}", line.target.lock().unwrap(), parts.uri);
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let answer = line.http.request(parts.method, url).headers(parts.headers).body(body).send().await;
    let Ok(answer) = answer else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for own in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(own);
    }
    match answer.bytes().await {
        Ok(bytes) => (status, headers, Body::from(bytes)).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
