//! Another service checks Doorward's tokens with the verifier alone, against the running binary.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_tests::service::{free_address, target_folder};
use doorward_tests::{Client, Credentials, Database, IssuerProxy, Service};
use reqwest::Method;

use crate::forged_tokens::{decode, with};
use crate::introspection::new_client;

/// How soon a service with the feed has to know what has ended.
const BOUND: Duration = Duration::from_secs(2);
const JWKS: &str = "/.well-known/jwks.json";
/// For how long an unknown key makes no service ask again.
const COOL_DOWN: Duration = Duration::from_secs(10);

/// The built example, running.
struct ResourceServer {
    client: Client,
    child: Child,
}

impl Drop for ResourceServer {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}

impl ResourceServer {
    /// Starts one that trusts this issuer; with credentials it follows the feed of what has ended.
    async fn start(issuer: &str, credentials: Option<&Credentials>) -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| {
            let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
            // With the service's package named beside it, both are built on the same dependencies.
            let packages = ["--package", "doorward", "--package", "resource-server"];
            let build = ["build", "--quiet", "--bin", "resource-server"];
            let built = Command::new(cargo).args(build).args(packages).status();
            assert!(built.unwrap().success());
        });
        let address = free_address();
        let mut command = Command::new(target_folder().with_file_name("debug").join("resource-server"));
        command.env("LISTEN", address.to_string()).env("ISSUER", issuer).stdout(Stdio::null());
        if let Some(Credentials { id, secret }) = credentials {
            command.env("CLIENT_ID", id).env("CLIENT_SECRET", secret);
        }
        let server = Self { client: Client::new(&format!("http://{address}")), child: command.spawn().unwrap() };
        wait_for(address).await;
        server
    }

    async fn answer(&self, path: &str, token: &str) -> u16 {
        self.client.with_token(Method::GET, path, token, None).await.status.as_u16()
    }

    /// What a handler for users says.
    async fn whoami(&self, token: &str) -> u16 {
        self.answer("/hello", token).await
    }
}

async fn wait_for(address: SocketAddr) {
    let started = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "the resource server did not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An issuer behind a proxy, and a client of it.
struct Issuer {
    proxy: IssuerProxy,
    service: Service,
    client: Client,
    credentials: Credentials,
}

impl Issuer {
    async fn start() -> Self {
        let proxy = IssuerProxy::start().await;
        let (credentials, hash) = new_client("resource-server");
        let service = Service::start(Database::Sqlite, &[("PUBLIC_URL", &proxy.url()), ("CLIENTS", &hash)]);
        proxy.lead_to(&service.url());
        let client = Client::new(&service.url());
        Self { proxy, service, client, credentials }
    }
}

/// Asks until this is the answer; returns how long that took.
async fn until(expected: u16, ask: impl AsyncFn() -> u16) -> Duration {
    let began = Instant::now();
    loop {
        let answer = ask().await;
        if answer == expected {
            return began.elapsed();
        }
        assert!(began.elapsed() < BOUND, "still {answer} and not {expected} after {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_example_is_small_and_knows_no_database() {
    let source = include_str!("../../../examples/resource-server/src/main.rs");
    assert!(source.lines().count() < 40, "the example has grown to {} lines", source.lines().count());

    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = ["tree", "--package", "resource-server", "--prefix", "none", "--format", "{p}", "--offline"];
    let output = Command::new(cargo).args(arguments).args(["--edges", "normal,build"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"doorward-http"), "{names:?}");
    for unwanted in ["sqlx", "libsqlite3-sys", "lettre", "doorward", "doorward-persistence", "doorward-mail"] {
        let found = names.iter().any(|name| *name == unwanted || name.starts_with(&format!("{unwanted}-core")));
        assert!(!found, "{unwanted} is among {names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_what_ends_when_it_has_the_feed_and_else_the_tokens_lifetime() {
    let issuer = Issuer::start().await;
    let following = ResourceServer::start(&issuer.proxy.url(), Some(&issuer.credentials)).await;
    let alone = ResourceServer::start(&issuer.proxy.url(), None).await;
    let mut slowest = Duration::ZERO;
    for n in 0..5 {
        let email = format!("ada{n}@example.com");
        issuer.client.register(&email).await.answered(201);
        let (left, live) = (issuer.client.log_in(&email).await.grant(), issuer.client.log_in(&email).await.grant());
        for server in [&following, &alone] {
            assert_eq!(server.whoami("x.y.z").await, 401);
            for _ in 0..2 {
                assert_eq!(server.whoami(&left.access_token).await, 200, "once verified, and once from memory");
            }
        }
        issuer.client.log_out(&left.access_token).await.answered(204);
        slowest = until(401, async || following.whoami(&left.access_token).await).await.max(slowest);
        assert_eq!(alone.whoami(&left.access_token).await, 200, "without the feed it cannot know");
        assert_eq!(following.whoami(&live.access_token).await, 200);
        // Whoever looks in for the first time learns what ended before.
        if n == 0 {
            let late = ResourceServer::start(&issuer.proxy.url(), Some(&issuer.credentials)).await;
            until(401, async || late.whoami(&left.access_token).await).await;
        }
    }
    println!("a service with the feed knew of a logout after {slowest:?} at most");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_given_and_taken_within_the_bound() {
    let issuer = Issuer::start().await;
    let server = ResourceServer::start(&issuer.proxy.url(), Some(&issuer.credentials)).await;
    let token = issuer.client.register("ada@example.com").await.grant().access_token;
    let admin = async || server.answer("/admin", &token).await;
    assert_eq!(admin().await, 403);
    issuer.service.succeed(&["users", "set-roles", "ada@example.com", "admin"]);
    until(200, &admin).await;
    let newer = issuer.client.log_in("ada@example.com").await.grant().access_token;
    issuer.service.succeed(&["users", "set-roles", "ada@example.com"]);
    until(403, &admin).await;
    until(403, async || server.answer("/admin", &newer).await).await;
    assert_eq!(server.whoami(&token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_its_issuer_for_a_while() {
    let issuer = Issuer::start().await;
    let server = ResourceServer::start(&issuer.proxy.url(), None).await;
    let known = issuer.client.register("ada@example.com").await.grant().access_token;
    assert_eq!(server.whoami(&known).await, 200);
    let unseen = issuer.client.log_in("ada@example.com").await.grant().access_token;
    issuer.proxy.block(true);
    for token in [&known, &unseen] {
        assert_eq!(server.whoami(token).await, 200, "the last good key set is forgotten");
    }
    assert_eq!(server.whoami("x.y.z").await, 401);
    issuer.proxy.block(false);
}

/// A real token under the id of another key.
fn with_key_id(token: &str, key_id: String) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let header = with(&decode(header), "kid", Some(key_id.into()));
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_keys_fetch_next_to_nothing_and_hold_nobody_up() {
    const FORGERIES: u64 = 10_000;
    const FORGERS: usize = 16;
    let issuer = Issuer::start().await;
    let server = Arc::new(ResourceServer::start(&issuer.proxy.url(), None).await);
    let token = issuer.client.register("ada@example.com").await.grant().access_token;
    assert_eq!(server.whoami(&token).await, 200);
    let before = issuer.proxy.count_of(JWKS);
    assert!(before >= 1, "the keys did not come through the proxy");

    let began = Instant::now();
    let sent = Arc::new(AtomicU64::new(0));
    let forging: Vec<_> = (0..FORGERS)
        .map(|_| {
            let (server, sent, token) = (Arc::clone(&server), Arc::clone(&sent), token.clone());
            tokio::spawn(async move {
                loop {
                    let n = sent.fetch_add(1, Ordering::SeqCst);
                    if n >= FORGERIES {
                        break;
                    }
                    // Looks like the digests that real ids are, and is the same in every run.
                    let key_id = format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(3);
                    assert_eq!(server.whoami(&with_key_id(&token, key_id)).await, 401);
                }
            })
        })
        .collect();
    let (mut passed, mut slowest) = (0, Duration::ZERO);
    while forging.iter().any(|forger| !forger.is_finished()) {
        let asked = Instant::now();
        assert_eq!(server.whoami(&token).await, 200, "a valid token was refused");
        slowest = slowest.max(asked.elapsed());
        passed += 1;
    }
    for forger in forging {
        forger.await.unwrap();
    }
    let fetches = issuer.proxy.count_of(JWKS) - before;
    let allowed = 1 + usize::try_from(began.elapsed().as_secs() / COOL_DOWN.as_secs()).unwrap();
    println!("{FORGERIES} unknown keys: {fetches} fetches; {passed} valid tokens passed, in {slowest:?} at most");
    assert!(fetches <= allowed, "{fetches} fetches within {:?}", began.elapsed());
    assert!(passed > 10 && slowest < Duration::from_secs(1), "{passed} passed, in {slowest:?} at most");
}
