//! Requests a second through `CurrentUser`: with the memory of verified tokens against a constant handler's request,
//! without it against such a request and one bare signature verification together.
//!
//! The server runs on one thread in a process of its own, and the client sends requests in batches, so that the
//! server is what limits both.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward::settings::{ConnectionLimits, Settings};
use doorward::{CurrentUser, Doorward, MailSettings, MemoryTransport, RegistrationMode, server};
use doorward_auth::AccessTokens;
use doorward_tests::Client;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::{SPAN, figure, runtime};

/// The argument with which the benchmark runs the server, before the number of tokens that it remembers.
pub(crate) const SERVER: &str = "serve-tokens";

/// As long as a user's id, so that both answers are of one length.
const CONSTANT: &str = "00000000-0000-0000-0000-000000000000";

pub(crate) fn serve(remembered: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
        let mail = MailSettings::transport(Arc::new(MemoryTransport::new()));
        let master_key = doorward::master_key_from_file(&folder.path().join("key")).unwrap();
        let mut settings = Settings::new("http://localhost".parse().unwrap(), url.into(), master_key, mail);
        settings.registration = RegistrationMode::Open;
        settings.remembered_tokens = remembered.parse().unwrap();
        let doorward = Doorward::start(settings).await.unwrap();
        tokio::spawn(doorward.background());
        let router = Router::new()
            .route("/constant", get(async || CONSTANT))
            .route("/user", get(async |user: CurrentUser| user.id().to_string()))
            .with_state(doorward.guard())
            .merge(doorward.routes());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        server::serve(listener, router, ConnectionLimits::default(), std::future::pending()).await;
    });
}

/// A server in a process of its own, and a token that it takes.
struct Server {
    process: Child,
    address: String,
    token: String,
    jwks: Value,
}

impl Server {
    fn start(remembered: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([SERVER, &remembered.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let client = Client::new(&format!("http://{address}"));
        let (token, jwks) = runtime().block_on(async {
            let token = client.register("ada@example.com").await.grant().access_token;
            (token, client.get("/.well-known/jwks.json").await.json())
        });
        Self { process, address, token, jwks }
    }

    fn cost(&self, path: &str) -> f64 {
        cost(&self.address, path, &self.token)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

pub(crate) fn run() {
    let (remembering, forgetful) = (Server::start(AccessTokens::REMEMBERED), Server::start(0));
    let (mut constant, mut remembered, mut verified, mut verification) = (0.0, 0.0, 0.0, 0.0);
    for _ in 0..3 {
        constant += remembering.cost("/constant") / 3.0;
        remembered += remembering.cost("/user") / 3.0;
        verified += forgetful.cost("/user") / 3.0;
        verification += verification_cost(&forgetful.jwks, &forgetful.token) / 3.0;
    }
    println!("a constant handler's request: {:.1} us", constant * 1e6);
    println!("a bare EdDSA verification: {:.1} us", verification * 1e6);
    println!(
        "a request through CurrentUser, verified before: {:.1} us, {:.0} a second",
        remembered * 1e6,
        1.0 / remembered
    );
    println!(
        "a request through CurrentUser, verified each time: {:.1} us, {:.0} a second",
        verified * 1e6,
        1.0 / verified
    );
    println!("share of pure signature verification without the cache: {:.2}", verification / verified);
    figure(
        "(constant + verification) / CurrentUser without the cache",
        (constant + verification) / verified,
        "",
        "at least 0.70",
    );
    figure("constant / CurrentUser with the cache", constant / remembered, "", "at least 0.85");
}

/// Seconds of the server for each request.
fn cost(address: &str, path: &str, token: &str) -> f64 {
    const BATCH: usize = 32;
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let batch = request.repeat(BATCH);
    let mut connections: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    let answer_length = {
        let connection = &mut connections[0];
        connection.write_all(request.as_bytes()).unwrap();
        let mut buffer = [0; 4096];
        let mut length = 0;
        while !buffer[..length].windows(4).any(|w| w == b"\r\n\r\n") || !complete(&buffer[..length]) {
            length += connection.read(&mut buffer[length..]).unwrap();
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..length]));
        length
    };
    let mut answers = vec![0; answer_length * BATCH];
    let mut done = 0;
    let started = Instant::now();
    while started.elapsed() < SPAN {
        for connection in &mut connections {
            connection.write_all(batch.as_bytes()).unwrap();
        }
        for connection in &mut connections {
            connection.read_exact(&mut answers).unwrap();
            done += BATCH;
        }
    }
    started.elapsed().as_secs_f64() / done as f64
}

fn complete(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length == Some(body.len())
}

/// Seconds for one verification of the token's signature, the key being ready.
fn verification_cost(jwks: &Value, token: &str) -> f64 {
    let x = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
    let key = DecodingKey::from_ed_der(&x);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut done = 0;
    let started = Instant::now();
    while started.elapsed() < SPAN.min(Duration::from_secs(2)) {
        assert!(jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key, Algorithm::EdDSA).unwrap());
        done += 1;
    }
    started.elapsed().as_secs_f64() / f64::from(done)
}
