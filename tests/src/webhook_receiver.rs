//! Another service, which is told of security events.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::is_genuine;
use crate::service::free_address;

/// What webhooks are signed with in the tests.
pub const WEBHOOK_SECRET: &str = "whsec_c4x1Yd0kq9tNf7b2Zr8mWvJ5uQe3LsGhTnPoKiAyRxE=";

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedWebhook {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
    pub at: Instant,
}

impl ReceivedWebhook {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn tells_of(&self, kind: &str) -> bool {
        self.event()["type"] == kind
    }

    pub fn verifies(&self, secret: &str, now: u64) -> bool {
        let [id, timestamp, signatures] =
            ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| self.header(name));
        is_genuine(secret, id, timestamp, signatures, self.body.as_bytes(), now)
    }
}

/// What a path does with webhooks.
#[derive(Clone, Copy)]
enum Manner {
    Answers(StatusCode),
    Holds,
}

struct Shared {
    received: Mutex<Vec<ReceivedWebhook>>,
    manners: Mutex<HashMap<String, Manner>>,
    released: watch::Sender<()>,
}

/// Receives webhooks on loopback, on a thread of its own. Takes them with 204 unless it is told otherwise.
pub struct WebhookReceiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl WebhookReceiver {
    pub fn start() -> Self {
        let shared = Shared { received: Mutex::default(), manners: Mutex::default(), released: watch::Sender::new(()) };
        let mut receiver = Self { address: free_address(), shared: Arc::new(shared), runtime: None };
        receiver.start_again();
        receiver
    }

    /// A table of the configuration for a path of this receiver, with further lines.
    pub fn endpoint(&self, name: &str, path: &str, lines: &str) -> String {
        let address = self.address;
        format!(
            "[[webhooks]]\nname = \"{name}\"\nurl = \"http://{address}{path}\"\nsecret = \"{WEBHOOK_SECRET}\"\n\
             allow_private = true\n{lines}\n"
        )
    }

    /// Closes every connection and listens no longer.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let started = Instant::now();
        while std::net::TcpStream::connect(self.address).is_ok() {
            assert!(started.elapsed() < Duration::from_secs(10), "the receiver still listens");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Listens on the same address again.
    pub fn start_again(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, shared) = (self.address, Arc::clone(&self.shared));
        let (listening, listens) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            listening.send(()).unwrap();
            let router = Router::new().fallback(receive).with_state(shared);
            axum::serve(listener, router).await.unwrap();
        });
        listens.recv().unwrap();
        self.runtime = Some(runtime);
    }

    /// Answers webhooks to this path with this status from now on.
    pub fn answer(&self, path: &str, status: u16) {
        let manner = Manner::Answers(StatusCode::from_u16(status).unwrap());
        self.shared.manners.lock().unwrap().insert(path.to_owned(), manner);
    }

    /// Answers webhooks to this path not at all, until it is told to.
    pub fn hold(&self, path: &str) {
        self.shared.manners.lock().unwrap().insert(path.to_owned(), Manner::Holds);
    }

    /// Takes webhooks to every path again, those that are held as well.
    pub fn release(&self) {
        self.shared.manners.lock().unwrap().clear();
        self.shared.released.send_replace(());
    }

    /// Everything that arrived, in its order.
    pub fn received(&self) -> Vec<ReceivedWebhook> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Waits until so many webhooks have arrived of which this is so, and returns them.
    pub async fn wait_for(
        &self,
        count: usize,
        wanted: impl Fn(&ReceivedWebhook) -> bool,
        patience: Duration,
    ) -> Vec<ReceivedWebhook> {
        let started = Instant::now();
        loop {
            let mut found = self.received();
            found.retain(&wanted);
            if found.len() >= count {
                return found;
            }
            assert!(started.elapsed() < patience, "{} of {count} arrived: {:#?}", found.len(), self.received());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for WebhookReceiver {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> StatusCode {
    let path = request.uri().path().to_owned();
    let headers = texts(request.headers());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut released = shared.released.subscribe();
    let manner = shared.manners.lock().unwrap().get(&path).copied();
    shared.received.lock().unwrap().push(ReceivedWebhook { path, headers, body, at: Instant::now() });
    match manner {
        None => StatusCode::NO_CONTENT,
        Some(Manner::Answers(status)) => status,
        Some(Manner::Holds) => {
            // The sender lives as long as the receiver.
            released.changed().await.unwrap_or_default();
            StatusCode::NO_CONTENT
        }
    }
}

fn texts(headers: &HeaderMap) -> HashMap<String, String> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}
