//! A service that speaks the range protocol of Have I Been Pwned, or fails to.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha1::{Digest, Sha1};

/// A running service, on a thread of its own until the test ends.
pub struct RangeServer {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    counts: HashMap<String, u64>,
    mood: Mood,
    asked: Vec<String>,
}

/// How it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Sound,
    /// With 500.
    Broken,
    /// Never.
    Silent,
}

impl RangeServer {
    /// Starts one that lists these passwords with these counts.
    pub fn start(listed: &[(&str, u64)]) -> Self {
        let counts = listed.iter().map(|(password, count)| (sha1(password), *count)).collect();
        let shared = Arc::new(Mutex::new(Shared { counts, ..Shared::default() }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/range/{prefix}", get(range)).with_state(Arc::clone(&shared));
        // A test may wait for a command of the binary meanwhile, so it runs beside the test's own runtime.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
            });
        });
        Self { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers like this from now on.
    pub fn be(&self, mood: Mood) {
        self.shared.lock().unwrap().mood = mood;
    }

    /// The prefixes that it was asked for.
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().unwrap().asked.clone()
    }
}

async fn range(State(shared): State<Arc<Mutex<Shared>>>, Path(prefix): Path<String>, headers: HeaderMap) -> Response {
    let (mood, range) = {
        let mut shared = shared.lock().unwrap();
        shared.asked.push(prefix.clone());
        let mut range = "0018A45C4D1DEF81644B54AB7F969B88D65:0\r\n".to_owned();
        for (hash, count) in &shared.counts {
            if let Some(suffix) = hash.strip_prefix(&prefix) {
                write!(range, "{suffix}:{count}\r\n").unwrap();
            }
        }
        (shared.mood, range)
    };
    if prefix.len() != 5 || headers.get("add-padding").is_none_or(|value| value != "true") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match mood {
        Mood::Sound => range.into_response(),
        Mood::Broken => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Mood::Silent => std::future::pending().await,
    }
}

/// The 40 digits of a text's SHA-1, as published lists have them.
pub fn sha1(text: &str) -> String {
    Sha1::digest(text).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02X}").unwrap();
        hex
    })
}
