//! Doorward inside another service, and two of them in one process.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use doorward::settings::TaskSettings;
use doorward::{CurrentUser, Doorward, MailSettings, MemoryTransport, OptionalUser, RegistrationMode};
use doorward_tests::service::{free_address, target_folder};
use doorward_tests::{Client, Database, PASSWORD, postgres};
use reqwest::Method;
use serde_json::json;

struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.wait().map(|_| ()).unwrap_or_default();
    }
}

#[tokio::test]
async fn the_example_registers_users_and_keeps_their_notes() {
    let source = include_str!("../../../examples/embed/src/main.rs");
    assert!(source.lines().count() < 40, "the example has grown to {} lines", source.lines().count());

    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let built = Command::new(cargo).args(["build", "--quiet", "--package", "embed"]).status().unwrap();
    assert!(built.success());
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let child = Command::new(target_folder().with_file_name("debug").join("embed"))
        .env("LISTEN", address.to_string())
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _example = Example(child);
    wait_for(address).await;

    let client = Client::new(&format!("http://{address}"));
    let note = async |token: &str| {
        let request = client.http.post(format!("{}/notes", client.base)).bearer_auth(token).body("a note");
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(note("x.y.z").await.0, 401);
    let nested = Client::new(&format!("http://{address}/auth"));
    let grant = nested.register("ada@example.com").await.grant();
    assert_eq!(note(&grant.access_token).await, (200, "you have 1 notes".to_owned()));
    assert_eq!(note(&grant.access_token).await, (200, "you have 2 notes".to_owned()));
    let other = nested.register("eve@example.com").await.grant();
    assert_eq!(note(&other.access_token).await, (200, "you have 1 notes".to_owned()));
    nested.log_out(&grant.access_token).await;
    assert_eq!(note(&grant.access_token).await.0, 401);
    nested.get("/nothing").await.refused(404, "not_found");
}

async fn wait_for(address: SocketAddr) {
    let started = Instant::now();
    while tokio::net::TcpStream::connect(address).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(30), "the example did not start");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A host with a route for users and one for anybody.
async fn host(doorward: &Doorward) -> Client {
    let handlers: Router = Router::new()
        .route("/whoami", get(async |user: CurrentUser| user.id().to_string()))
        .route(
            "/greet",
            get(async |OptionalUser(user): OptionalUser| match user {
                Some(user) => format!("hello {}", user.id()),
                None => "hello stranger".to_owned(),
            }),
        )
        .with_state(doorward.auth());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = handlers.nest("/auth", doorward.routes());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Client::new(&format!("http://{address}"))
}

async fn start(database: Database, folder: &std::path::Path) -> Doorward {
    let url = match database {
        Database::Sqlite => format!("sqlite:{}", folder.join("users.db").display()),
        // Doorward's own schema, which this test has to itself: every other names one.
        Database::Postgres => postgres::url().to_owned(),
    };
    Doorward::builder("https://host.example/auth", &url)
        .master_key_file(folder.join("master.key"))
        .mail(MailSettings::transport(Arc::new(MemoryTransport::new())))
        .registration(RegistrationMode::Open)
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn two_doorwards_in_one_process_know_nothing_of_each_other() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let one = start(Database::Sqlite, folders[0].path()).await;
    let other = start(Database::Postgres, folders[1].path()).await;
    let (here, there) = (host(&one).await, host(&other).await);
    let auth = |client: &Client| Client { base: format!("{}/auth", client.base), ..client.clone() };

    let grant_here = auth(&here).register("ada@example.com").await.grant();
    auth(&there).log_in("ada@example.com").await.refused(401, "invalid_credentials");
    let grant_there = auth(&there).register("ada@example.com").await.grant();

    let whoami = async |client: &Client, token: &str| client.with_token(Method::GET, "/whoami", token, None).await;
    assert_eq!(whoami(&here, &grant_here.access_token).await.text, grant_here.user_id);
    assert_eq!(whoami(&there, &grant_there.access_token).await.text, grant_there.user_id);
    whoami(&here, &grant_there.access_token).await.refused(401, "unauthenticated");
    whoami(&there, &grant_here.access_token).await.refused(401, "unauthenticated");
    auth(&there).refresh(&grant_here.refresh_token).await.refused(401, "invalid_refresh_token");

    auth(&here).log_out(&grant_here.access_token).await;
    whoami(&here, &grant_here.access_token).await.refused(401, "unauthenticated");
    assert!(whoami(&there, &grant_there.access_token).await.status.is_success());
}

#[tokio::test]
async fn an_optional_user_is_somebody_or_nobody_and_never_a_forgery() {
    let folder = tempfile::tempdir().unwrap();
    let doorward = start(Database::Sqlite, folder.path()).await;
    let client = host(&doorward).await;
    assert_eq!(client.get("/greet").await.text, "hello stranger");
    let body = json!({ "email": "ada@example.com", "password": PASSWORD });
    let grant = client.post("/auth/api/auth/register", &body).await.grant();
    let greet = async |token: &str| client.with_token(Method::GET, "/greet", token, None).await;
    assert_eq!(greet(&grant.access_token).await.text, format!("hello {}", grant.user_id));
    greet("x.y.z").await.refused(401, "unauthenticated");
    for header in ["Basic eDp5", "Bearer", "bearer ", ""] {
        let answer = client.send(Method::GET, "/greet", &[("authorization", header)], None).await.unwrap();
        answer.refused(401, "unauthenticated");
    }
    let bearer = format!("Bearer {}", grant.access_token);
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    client.send(Method::GET, "/greet", &twice, None).await.unwrap().refused(401, "unauthenticated");
    let in_query = format!("/greet?access_token={}", grant.access_token);
    assert_eq!(client.get(&in_query).await.text, "hello stranger");
}

#[tokio::test]
async fn an_embedding_service_has_tasks_when_it_asks_for_them() {
    for tasks in [None, Some(TaskSettings { most_per_user: 1 })] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("users.db").display());
        let mut builder = Doorward::builder("https://host.example", &url)
            .master_key_file(folder.path().join("master.key"))
            .mail(MailSettings::transport(Arc::new(MemoryTransport::new())))
            .registration(RegistrationMode::Open);
        if let Some(tasks) = tasks {
            builder = builder.tasks(tasks);
        }
        let doorward = builder.start().await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
        tokio::spawn(async move { axum::serve(listener, doorward.routes()).await.unwrap() });
        let ada = client.register("ada@example.com").await.grant();
        let first = client.add_task(&ada.access_token, "the first").await;
        if tasks.is_none() {
            first.refused(404, "not_found");
        } else {
            first.answered(201);
            client.add_task(&ada.access_token, "one too many").await.refused(409, "quota_exceeded");
        }
    }
}
