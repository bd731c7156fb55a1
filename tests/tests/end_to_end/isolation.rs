//! Nobody sees or touches what is another user's, whatever id a request names and whoever sends it.

use std::fs;
use std::path::Path;

use doorward::{Doorward, MailSettings, MasterKey, RegistrationMode, SharedSecret, SystemEntropy};
use doorward_domain::KeyAlgorithm;
use doorward_tests::isolation::{Make, Resource, Route, SECRET, run};
use doorward_tests::{Client, Database, Service, postgres};
use notes::{App, Notes};
use reqwest::Method;
use serde_json::json;

const SETTINGS: [(&str, &str); 2] = [("TOKENS__ALGORITHM", "HS256"), ("TOKENS__SECRET", SECRET)];

const TASKS: &str = "/api/users/{user_id}/tasks";
const TASK: &str = "/api/users/{user_id}/tasks/{id}";
const COMPLETE: &str = "/api/users/{user_id}/tasks/{id}/complete";
const SESSION: &str = "/api/auth/sessions/{id}";

fn tasks() -> Resource {
    let content = json!({ "title": "title {n}", "description": "more about it" });
    Resource {
        make: Make::Request(Route::new(Method::POST, TASKS).with_body(content.clone())),
        show: TASK,
        delete: TASK,
        deleted_is_unknown: true,
        routes: vec![
            Route::new(Method::GET, TASKS),
            Route::new(Method::POST, TASKS).with_body(content.clone()),
            Route::new(Method::GET, TASK),
            Route::new(Method::PUT, TASK).with_body(content),
            Route::new(Method::DELETE, TASK),
            Route::new(Method::PATCH, COMPLETE).with_body(json!({ "completed": true })),
        ],
    }
}

fn notes_resource() -> Resource {
    let text = json!({ "text": "a note" });
    let (all, one) = ("/users/{user_id}/notes", "/users/{user_id}/notes/{id}");
    Resource {
        make: Make::Request(Route::new(Method::POST, all).with_body(text.clone())),
        show: one,
        delete: one,
        deleted_is_unknown: true,
        routes: vec![
            Route::new(Method::GET, all),
            Route::new(Method::POST, all).with_body(text),
            Route::new(Method::GET, one),
            Route::new(Method::PUT, one).with_body(json!({ "text": "note {n}" })),
            Route::new(Method::DELETE, one),
        ],
    }
}

fn sessions() -> Resource {
    Resource {
        make: Make::LogIn,
        show: "/api/auth/sessions",
        delete: SESSION,
        // To end a session twice is no error.
        deleted_is_unknown: false,
        routes: vec![Route::new(Method::DELETE, SESSION)],
    }
}

/// Every path with an id that a crate routes, from its source.
fn routed() -> Vec<String> {
    fn collect(folder: &Path, paths: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, paths);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let routes = text.split(".route(").skip(1);
                let first = routes.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
                // Examples in comments are no routes of the program, and everybody may have the assets.
                let examples = ["/users/", "/notes/", "/assets/"];
                let is_example = |path: &str| examples.iter().any(|example| path.starts_with(example));
                paths.extend(first.filter(|path| path.contains('{') && !is_example(path)).map(str::to_owned));
            }
        }
    }
    let mut paths = Vec::new();
    collect(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")), &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

#[test]
fn the_matrix_knows_every_route_that_takes_an_id() {
    let mut known = [TASKS, TASK, COMPLETE, SESSION].map(str::to_owned).to_vec();
    // These have a matrix of their own: a cookie says who asks, and the answer is a page.
    known.extend(crate::pages::WITH_AN_ID.map(str::to_owned));
    known.sort();
    assert_eq!(routed(), known);
}

#[tokio::test]
async fn nobody_reaches_another_s_tasks() {
    for database in Database::BOTH {
        let service = Service::start(database, &SETTINGS);
        let client = Client::new(&service.url());
        let report = run(&client, &client, &tasks()).await;
        println!("{database:?}: {report:?}");
        assert!(report.succeeded > 40 && report.not_found > 700 && report.unauthenticated > 1_000, "{report:?}");
    }
}

#[tokio::test]
async fn a_role_opens_nobody_s_tasks() {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        let ada = client.register("ada@example.com").await.grant();
        let task = client.add_task(&ada.access_token, "hers").await.json()["id"].as_str().unwrap().to_owned();
        client.register("root@example.com").await.grant();
        service.succeed(&["users", "set-roles", "root@example.com", "admin", "superuser", "tasks:read"]);
        let root = client.log_in("root@example.com").await.grant();
        let me = client.me(&root.access_token).await.json();
        assert_eq!(me["roles"].as_array().unwrap().len(), 3, "{me}");
        for path in [
            format!("/api/users/{}/tasks", ada.user_id),
            format!("/api/users/{}/tasks/{task}", ada.user_id),
            format!("/api/users/me/tasks/{task}"),
        ] {
            client.with_token(Method::GET, &path, &root.access_token, None).await.refused(404, "not_found");
        }
    }
}

#[tokio::test]
async fn who_has_no_business_there_is_not_told_what_is_wrong_with_the_request() {
    let service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    let ada = client.register("ada@example.com").await.grant();
    let eve = client.register("eve@example.com").await.grant();
    let bearer = format!("Bearer {}", eve.access_token);
    let headers = [("authorization", bearer.as_str()), ("x-request-id", "same")];
    let path = format!("/api/users/{}/tasks", ada.user_id);
    let mut answers = Vec::new();
    for (content_type, body) in [
        ("application/json", r#"{"title":"a title"}"#.to_owned()),
        ("application/json", r#"{"title":""}"#.to_owned()),
        ("application/json", r#"{"owner":"eve"}"#.to_owned()),
        ("application/json", "{".to_owned()),
        ("text/plain", "a title".to_owned()),
        ("application/json", "x".repeat(4 * 1024)),
    ] {
        let answer = client.post_raw(&path, &headers, content_type, body).await;
        answer.refused(404, "not_found");
        answers.push(answer.text);
    }
    let query = client.send(Method::GET, &format!("{path}?limit=nonsense"), &headers, None).await.unwrap();
    query.refused(404, "not_found");
    answers.push(query.text);
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn nobody_ends_another_s_session() {
    for database in Database::BOTH {
        let service = Service::start(database, &SETTINGS);
        let client = Client::new(&service.url());
        let report = run(&client, &client, &sessions()).await;
        println!("{database:?}: {report:?}");
        assert!(report.succeeded == 3 && report.not_found > 20, "{report:?}");
    }
}

/// The example that was written by following the documentation alone.
#[tokio::test]
async fn nobody_reaches_another_s_notes() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = doorward::settings::Settings::new(
        "http://localhost:3000".parse().unwrap(),
        postgres::url().to_owned().into(),
        MasterKey::generate(&SystemEntropy).unwrap(),
        MailSettings::directory(folder.path(), "Notes <notes@example.com>".parse().unwrap()),
    );
    settings.database.schema = postgres::fresh_schema().parse().unwrap();
    settings.registration = RegistrationMode::Open;
    settings.tokens.algorithm = KeyAlgorithm::Hs256;
    settings.tokens.shared_secret = Some(SharedSecret::parse(&SECRET.to_owned().into()).unwrap());
    let doorward = Doorward::start(settings).await.unwrap();
    let store = doorward.owned_tables().postgres().unwrap().clone();
    let notes = Notes::open(store.clone()).await.unwrap();
    let router = doorward.routes_with(notes::routes(App { guard: doorward.guard(), notes }));
    tokio::spawn(doorward.background());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let report = run(&client, &client, &notes_resource()).await;
    println!("{report:?}");
    assert!(report.succeeded > 30 && report.not_found > 500, "{report:?}");
    store.check_protection(&["notes"]).await.unwrap();
}
