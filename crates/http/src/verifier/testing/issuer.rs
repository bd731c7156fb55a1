use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use doorward_domain::Clock;
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::JwkSet;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::form_urlencoded;

use super::{SESSION, TestKey, Time, USER, claims, sign};
use crate::verifier::{Verifier, VerifierBuilder};

pub(crate) const CLIENT_ID: &str = "orders";
pub(crate) const CLIENT_SECRET: &str = "dwc_of-the-tests";
/// The two, as Basic writes them.
const CREDENTIALS: &str = "Basic b3JkZXJzOmR3Y19vZi10aGUtdGVzdHM=";

/// What the issuer does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Serve,
    Fail,
    Garbage,
    Redirect,
    TooLong,
    TooLongUnannounced,
}

/// An issuer that answers over HTTP, with a clock of its own.
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) time: Arc<Time>,
    site: Arc<Site>,
    server: JoinHandle<()>,
}

struct Site {
    behaviour: Mutex<Behaviour>,
    jwks: Mutex<String>,
    fetches: AtomicUsize,
    redirected: AtomicUsize,
    polls: AtomicUsize,
    feed: watch::Sender<Value>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let site = Arc::new(Site {
            behaviour: Mutex::new(Behaviour::Serve),
            jwks: Mutex::new(r#"{"keys":[]}"#.to_owned()),
            fetches: AtomicUsize::new(0),
            redirected: AtomicUsize::new(0),
            polls: AtomicUsize::new(0),
            feed: watch::Sender::new(json!({ "cursor": "0", "ended": [], "roles": [] })),
        });
        let router = Router::new()
            .route("/.well-known/jwks.json", get(jwks))
            .route("/elsewhere", get(elsewhere))
            .route("/api/auth/revocations", get(revocations))
            .with_state(Arc::clone(&site));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, time: Arc::default(), site, server }
    }

    pub(crate) fn verifier(&self) -> VerifierBuilder {
        Verifier::builder(&self.url).clock(Arc::clone(&self.time) as Arc<dyn Clock>)
    }

    /// A token of this moment.
    pub(crate) fn token(&self, key: &TestKey) -> SecretString {
        let claims = claims(&self.url, self.time.now(), &[]);
        sign(Algorithm::EdDSA, &key.id, &key.encoding, &claims).into()
    }

    pub(crate) fn publish(&self, keys: &[&TestKey]) {
        let set = JwkSet { keys: keys.iter().map(|key| key.jwk.clone()).collect() };
        *self.site.jwks.lock().unwrap() = serde_json::to_string(&set).unwrap();
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.site.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) fn end_session(&self) {
        let ended = json!({ "session": SESSION, "until": self.soon() });
        self.change(|feed| feed["ended"].as_array_mut().unwrap().push(ended));
    }

    pub(crate) fn change_roles(&self, roles: &[&str]) {
        let changed = json!({ "user": USER, "roles": roles, "until": self.soon() });
        self.change(|feed| feed["roles"] = json!([changed]));
    }

    pub(crate) fn fetches(&self) -> usize {
        self.site.fetches.load(Ordering::SeqCst)
    }

    pub(crate) fn redirected(&self) -> usize {
        self.site.redirected.load(Ordering::SeqCst)
    }

    pub(crate) fn polls(&self) -> usize {
        self.site.polls.load(Ordering::SeqCst)
    }

    fn soon(&self) -> String {
        self.time.now().plus(Duration::from_secs(660)).to_rfc3339()
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        self.site.feed.send_modify(|feed| {
            change(feed);
            let cursor: usize = feed["cursor"].as_str().unwrap().parse().unwrap();
            feed["cursor"] = json!((cursor + 1).to_string());
        });
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn jwks(State(site): State<Arc<Site>>) -> Response {
    site.fetches.fetch_add(1, Ordering::SeqCst);
    // Long enough for requests to pile up behind the fetch.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let (behaviour, jwks) = (*site.behaviour.lock().unwrap(), site.jwks.lock().unwrap().clone());
    // Still a key set: it is the length that is refused.
    let long = format!("{}{jwks}", " ".repeat(256 * 1024));
    match behaviour {
        Behaviour::Serve => jwks.into_response(),
        Behaviour::Fail => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Behaviour::Garbage => "<html>".into_response(),
        Behaviour::Redirect => Redirect::temporary("/elsewhere").into_response(),
        Behaviour::TooLong => long.into_response(),
        // Mapped, it no longer knows its length, and goes out in chunks.
        Behaviour::TooLongUnannounced => {
            Body::new(Full::new(Bytes::from(long)).map_frame(|frame| frame)).into_response()
        }
    }
}

async fn elsewhere(State(site): State<Arc<Site>>) -> String {
    site.redirected.fetch_add(1, Ordering::SeqCst);
    site.jwks.lock().unwrap().clone()
}

async fn revocations(State(site): State<Arc<Site>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    site.polls.fetch_add(1, Ordering::SeqCst);
    if headers.get(AUTHORIZATION).is_none_or(|value| value != CREDENTIALS) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if *site.behaviour.lock().unwrap() == Behaviour::Fail {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let query: HashMap<_, _> = form_urlencoded::parse(query.unwrap().as_bytes()).into_owned().collect();
    let wait = Duration::from_secs(query["wait"].parse().unwrap());
    let mut feed = site.feed.subscribe();
    let is_known = feed.borrow_and_update()["cursor"].as_str() == query.get("after").map(String::as_str);
    if is_known {
        tokio::time::timeout(wait, feed.changed()).await.ok();
    }
    let answer = feed.borrow().clone();
    Json(answer).into_response()
}
