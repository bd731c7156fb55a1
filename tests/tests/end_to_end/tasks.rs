//! The contract of tasks, against the running binary on both databases.

use doorward_tests::task_rows::{Rows, rows, tables};
use doorward_tests::verbs::MY_TASKS;
use doorward_tests::{Answer, Client, Database, Grant, PASSWORD, Service};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::task_steps::{added, at_once, count, ids, masked};

const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

async fn on_both(settings: &[(&str, &str)], story: impl AsyncFn(&Service, Client)) {
    for database in Database::BOTH {
        let service = Service::start(database, settings);
        let client = Client::new(&service.url());
        story(&service, client).await;
    }
}

/// Every request that names a task: the method, what its path ends in, and a body that is right.
fn requests() -> [(Method, &'static str, Value); 4] {
    [
        (Method::GET, "", Value::Null),
        (Method::PUT, "", json!({ "title": "after" })),
        (Method::PATCH, "/complete", json!({ "completed": true })),
        (Method::DELETE, "", Value::Null),
    ]
}

async fn send(client: &Client, token: &str, (method, path): (&Method, &str), tags: &[&str], body: &Value) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(tags.iter().map(|&tags| ("if-match", tags)));
    client.send(method.clone(), path, &headers, Some(body).filter(|body| !body.is_null())).await.unwrap()
}

/// Each field's error code, by field.
fn field_codes(answer: &Answer) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let json = answer.json();
    let errors = json["errors"].as_array().unwrap();
    errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
}

#[tokio::test]
async fn a_task_is_made_read_replaced_completed_listed_and_deleted() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let token = ada.access_token.as_str();
        let content = json!({ "title": " Milk ", "description": "Two\n\tlitres" });

        let made = client.with_token(Method::POST, MY_TASKS, token, Some(&content)).await;
        let first = made.answered(201).json();
        let id = first["id"].as_str().unwrap();
        assert_eq!(made.header("etag"), Some("\"1\""));
        assert_eq!(made.header("location"), Some(format!("{MY_TASKS}/{id}").as_str()));
        assert_eq!(made.header("cache-control"), Some("no-store"));
        let mut told: Vec<&String> = first.as_object().unwrap().keys().collect();
        told.sort();
        assert_eq!(told, ["completed", "created_at", "description", "id", "title", "updated_at", "version"]);
        assert_eq!((&first["title"], &first["description"]), (&content["title"], &content["description"]));
        assert_eq!((&first["completed"], &first["version"]), (&json!(false), &json!(1)));
        assert_eq!(first["created_at"], first["updated_at"]);
        assert!(first["created_at"].as_str().unwrap().ends_with('Z'), "{first}");
        assert_eq!(Uuid::try_parse(id).unwrap().get_version_num(), 7, "{id}");

        let read = client.with_token(Method::GET, made.header("location").unwrap(), token, None).await;
        assert_eq!((read.answered(200).json(), read.header("etag")), (first.clone(), Some("\"1\"")));

        let completed = client.complete_task(token, id, true, None).await;
        assert_eq!(completed.answered(200).header("etag"), Some("\"2\""));
        let second = completed.json();
        assert_eq!((&second["completed"], &second["version"]), (&json!(true), &json!(2)));
        assert_eq!(second["description"], first["description"], "completing takes the description away");

        let replaced = client.replace_task(token, id, "Oat milk", Some("\"2\"")).await;
        assert_eq!(replaced.answered(200).header("etag"), Some("\"3\""));
        let third = replaced.json();
        assert_eq!((&third["title"], &third["description"]), (&json!("Oat milk"), &json!(null)));
        assert_eq!((&third["completed"], &third["version"]), (&json!(true), &json!(3)));
        assert_eq!((&third["id"], &third["created_at"]), (&first["id"], &first["created_at"]));
        assert_ne!(third["updated_at"], first["updated_at"]);
        assert_eq!(client.task(token, id).await.json(), third, "another task is read than was answered");

        let open = added(&client, token, "Bread").await;
        for (query, expected) in [
            ("", vec![open.as_str(), id]),
            ("completed=true", vec![id]),
            ("completed=false", vec![open.as_str()]),
            ("completed=true&limit=100", vec![id]),
        ] {
            let page = client.tasks(token, query).await;
            assert_eq!(page.answered(200).header("cache-control"), Some("no-store"));
            let (mut listed, mut expected) = (ids(&page.json()), expected);
            // Two tasks of one millisecond are in either order.
            listed.sort();
            expected.sort_unstable();
            assert_eq!(listed, expected, "{query}");
            assert_eq!(page.json()["next_cursor"], json!(null), "{query}");
        }
        let opened = client.complete_task(token, id, false, None).await;
        assert_eq!((&opened.json()["completed"], &opened.json()["version"]), (&json!(false), &json!(4)));

        let deleted = client.delete_task(token, id, None).await;
        assert_eq!(deleted.answered(204).text, "");
        for (method, end, body) in requests() {
            let answer = send(&client, token, (&method, &format!("{MY_TASKS}/{id}{end}")), &[], &body).await;
            answer.refused(404, "not_found");
        }
        assert_eq!(ids(&client.tasks(token, "").await.json()), [open]);
    })
    .await;
}

#[tokio::test]
async fn the_own_id_stands_for_me() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let tasks = format!("/api/users/{}/tasks", ada.user_id);
        let made = client.with_token(Method::POST, &tasks, &ada.access_token, Some(&json!({ "title": "by id" }))).await;
        let location = made.answered(201).header("location").unwrap();
        assert_eq!(location, format!("{tasks}/{}", made.json()["id"].as_str().unwrap()));
        let read = client.with_token(Method::GET, location, &ada.access_token, None).await;
        assert_eq!(read.answered(200).json(), made.json());
        let listed = client.with_token(Method::GET, &tasks, &ada.access_token, None).await.json();
        assert_eq!(listed, client.tasks(&ada.access_token, "").await.json());
    })
    .await;
}

#[tokio::test]
async fn pages_are_as_long_as_asked_for_and_lead_from_the_newest_to_the_oldest() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let token = ada.access_token.as_str();
        let mut made = Vec::new();
        for n in 0..53 {
            made.push(added(&client, token, &format!("task {n}")).await);
        }
        made.sort();
        made.reverse();

        let usual = client.tasks(token, "").await.json();
        assert_eq!(ids(&usual), made[..50], "the usual page");
        for (limit, lengths) in [("1", vec![1; 53]), ("50", vec![50, 3]), ("53", vec![53]), ("100", vec![53])] {
            let (mut pages, mut query) = (Vec::new(), format!("limit={limit}"));
            loop {
                let page = client.tasks(token, &query).await.answered(200).json();
                pages.push(ids(&page));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                query = format!("limit={limit}&cursor={cursor}");
            }
            assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), lengths, "limit={limit}");
            assert_eq!(pages.concat(), made, "limit={limit}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_by_field_and_changes_nothing() {
    let contents = [
        (json!({}), vec![("title", "required")]),
        (json!({ "title": null }), vec![("title", "required")]),
        (json!({ "title": "" }), vec![("title", "too_short")]),
        (json!({ "title": " \t\u{a0}" }), vec![("title", "too_short")]),
        (json!({ "title": "é".repeat(201) }), vec![("title", "too_long")]),
        (json!({ "title": "two\nlines" }), vec![("title", "invalid_character")]),
        (json!({ "title": "a\0b" }), vec![("title", "invalid_character")]),
        (json!({ "title": 7 }), vec![("title", "wrong_type")]),
        (json!({ "title": ["x"] }), vec![("title", "wrong_type")]),
        (json!({ "title": "x", "description": "é".repeat(2_001) }), vec![("description", "too_long")]),
        (json!({ "title": "x", "description": "\u{1b}[2J" }), vec![("description", "invalid_character")]),
        (json!({ "title": "x", "description": "a\0b" }), vec![("description", "invalid_character")]),
        (json!({ "title": "x", "description": false }), vec![("description", "wrong_type")]),
        (json!({ "title": "x", "completed": true }), vec![("completed", "unknown_field")]),
        (json!({ "title": "x", "owner_id": UNKNOWN }), vec![("owner_id", "unknown_field")]),
        (json!({ "title": "x", "version": 9 }), vec![("version", "unknown_field")]),
        (
            json!({ "title": "", "description": 7, "id": UNKNOWN }),
            vec![("title", "too_short"), ("description", "wrong_type"), ("id", "unknown_field")],
        ),
    ];
    let completions = [
        (json!({}), vec![("completed", "required")]),
        (json!({ "completed": null }), vec![("completed", "required")]),
        (json!({ "completed": "true" }), vec![("completed", "wrong_type")]),
        (json!({ "completed": 1 }), vec![("completed", "wrong_type")]),
        (json!({ "completed": true, "title": "x" }), vec![("title", "unknown_field")]),
    ];
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let token = ada.access_token.as_str();
        let id = added(&client, token, "before").await;
        let before = client.tasks(token, "").await.json();
        let (task, complete) = (format!("{MY_TASKS}/{id}"), format!("{MY_TASKS}/{id}/complete"));

        for (method, path, cases) in [
            (Method::POST, MY_TASKS, &contents[..]),
            (Method::PUT, &task, &contents[..]),
            (Method::PATCH, &complete, &completions[..]),
        ] {
            for (body, codes) in cases {
                let answer = client.with_token(method.clone(), path, token, Some(body)).await;
                answer.refused(422, "validation_failed");
                let expected: Vec<_> = codes.iter().map(|(f, c)| ((*f).to_owned(), (*c).to_owned())).collect();
                assert_eq!(field_codes(&answer), expected, "{method} {path}: {body}");
            }
        }
        assert_eq!(client.tasks(token, "").await.json(), before, "a refused request changed something");
    })
    .await;
}

#[tokio::test]
async fn texts_up_to_their_limits_are_kept_as_they_are() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        for content in [
            json!({ "title": "é".repeat(200), "description": "é".repeat(2_000) }),
            json!({ "title": " '; DROP TABLE tasks; -- ", "description": "" }),
            json!({ "title": "\u{1f9fa}", "description": "a\r\n\tb\n" }),
            json!({ "title": "no description", "description": null }),
        ] {
            let made = client.with_token(Method::POST, MY_TASKS, &ada.access_token, Some(&content)).await;
            made.answered(201);
            let read = client.task(&ada.access_token, made.json()["id"].as_str().unwrap()).await.json();
            assert_eq!((&read["title"], &read["description"]), (&content["title"], &content["description"]));
        }
    })
    .await;
}

#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        added(&client, &ada.access_token, "a task").await;
        for query in [
            "limit=0",
            "limit=101",
            "limit=-1",
            "limit=abc",
            "limit=",
            "limit=+5",
            "limit=%2B5",
            "limit=5.0",
            "limit=99999999999999999999",
            "completed=yes",
            "completed=1",
            "completed=TRUE",
            "completed=",
            "cursor=",
            "cursor=garbage",
            "cursor=%00",
            "cursor=AAAAAAAAAAAAAAAAAAAAAA==",
            // An id as it stands in the list is no cursor.
            &format!("cursor={UNKNOWN}"),
            "limit=5&limit=5",
            "completed=true&completed=false",
            "sort=title",
            "user_id=me",
        ] {
            let answer = client.tasks(&ada.access_token, query).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "bad_request"), "{query}: {answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_change_goes_by_the_version_that_it_names() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let token = ada.access_token.as_str();
        for (method, end, body) in requests() {
            for (tags, status, code) in [
                (vec![], 200, ""),
                (vec!["\"1\""], 200, ""),
                (vec!["*"], 200, ""),
                (vec!["\"9\", \"1\""], 200, ""),
                (vec!["\"9\"", "\"1\""], 200, ""),
                (vec!["\"2\""], 412, "version_conflict"),
                (vec!["\"0\", \"2\""], 412, "version_conflict"),
                (vec!["W/\"1\""], 412, "version_conflict"),
                (vec!["\"01\""], 412, "version_conflict"),
                (vec!["\"+1\""], 412, "version_conflict"),
                (vec!["\"\""], 412, "version_conflict"),
                (vec!["\"99999999999999999999\""], 412, "version_conflict"),
                (vec!["1"], 400, "bad_request"),
                (vec!["\"1"], 400, "bad_request"),
                (vec!["\"1\" \"2\""], 400, "bad_request"),
                (vec!["*, \"1\""], 400, "bad_request"),
                (vec![""], 400, "bad_request"),
                (vec!["\"1\"", "*"], 400, "bad_request"),
            ] {
                let id = added(&client, token, "before").await;
                let before = client.task(token, &id).await.json();
                let answer = send(&client, token, (&method, &format!("{MY_TASKS}/{id}{end}")), &tags, &body).await;
                let case = format!("{method} {end}, {tags:?}: {answer:?}");
                let succeeded = if method == Method::DELETE { 204 } else { status };
                if status == 200 {
                    assert_eq!(answer.status.as_u16(), succeeded, "{case}");
                    continue;
                }
                assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{case}");
                assert_eq!(client.task(token, &id).await.json(), before, "refused and done: {case}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_version_of_a_task_that_is_gone_is_not_found() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let token = ada.access_token.as_str();
        let id = added(&client, token, "short-lived").await;
        client.delete_task(token, &id, Some("\"1\"")).await.answered(204);
        for (method, end, body) in requests() {
            for tags in ["\"1\"", "*", "\"1\", \"2\""] {
                let path = format!("{MY_TASKS}/{id}{end}");
                send(&client, token, (&method, &path), &[tags], &body).await.refused(404, "not_found");
            }
        }
    })
    .await;
}

/// How often a user's session was refused something for this reason, as the security log has it.
async fn refusals(service: &Service, user: &Grant, reason: &str) -> i64 {
    const COUNT: &str = "SELECT count(*) FROM events WHERE kind = 'resource_access' AND reason = $1 \
         AND user_id = $2 AND session_id = $3";
    let (id, session): (Uuid, Uuid) = (user.user_id.parse().unwrap(), user.session_id.parse().unwrap());
    if service.schema.is_empty() {
        let mut connection = SqliteConnection::connect(&service.database_url).await.unwrap();
        let counted = sqlx::query_scalar(COUNT).bind(reason.to_owned()).bind(id).bind(session);
        counted.fetch_one(&mut connection).await.unwrap()
    } else {
        let mut connection = doorward_tests::task_rows::postgres(service).await;
        let counted = sqlx::query_scalar(COUNT).bind(reason.to_owned()).bind(id).bind(session);
        counted.fetch_one(&mut connection).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_another_s_is_as_if_it_were_not_there_and_the_attempt_is_on_record() {
    on_both(&[], async |service, client| {
        let ada = client.register("ada@example.com").await.grant();
        let eve = client.register("eve@example.com").await.grant();
        let own = added(&client, &eve.access_token, "Eve's").await;
        let task = added(&client, &ada.access_token, "Ada's").await;
        let before = client.task(&ada.access_token, &task).await.json();
        let refusal = client.task(&eve.access_token, UNKNOWN).await;
        refusal.refused(404, "not_found");

        let (mut other_owner, mut unknown_resource) = (0, 1);
        for (method, end, body) in requests() {
            for owner in [ada.user_id.as_str(), UNKNOWN, "ME", "*"] {
                for id in [task.as_str(), &own, UNKNOWN] {
                    let path = format!("/api/users/{owner}/tasks/{id}{end}");
                    let answer = send(&client, &eve.access_token, (&method, &path), &[], &body).await;
                    assert_eq!((answer.status, masked(&answer)), (refusal.status, masked(&refusal)), "{method} {path}");
                    other_owner += 1;
                }
            }
            for owner in [eve.user_id.as_str(), "me"] {
                for id in [task.as_str(), UNKNOWN, "1", &task.replace('-', "")] {
                    let path = format!("/api/users/{owner}/tasks/{id}{end}");
                    let answer = send(&client, &eve.access_token, (&method, &path), &[], &body).await;
                    assert_eq!((answer.status, masked(&answer)), (refusal.status, masked(&refusal)), "{method} {path}");
                    unknown_resource += 1;
                }
            }
        }
        for (method, body) in [(Method::GET, Value::Null), (Method::POST, json!({ "title": "planted" }))] {
            for owner in [ada.user_id.as_str(), UNKNOWN] {
                let path = format!("/api/users/{owner}/tasks");
                let answer = send(&client, &eve.access_token, (&method, &path), &[], &body).await;
                assert_eq!((answer.status, masked(&answer)), (refusal.status, masked(&refusal)), "{method} {path}");
                other_owner += 1;
            }
        }

        assert_eq!(client.tasks(&ada.access_token, "").await.json()["tasks"], json!([before]));
        assert_eq!(ids(&client.tasks(&eve.access_token, "").await.json()), [own]);
        // What comes in a crowd within seconds is written in full up to 50 times, and counted then.
        let in_full = refusals(service, &eve, "other_owner").await;
        assert!((50..=other_owner).contains(&in_full), "{in_full} of {other_owner}");
        assert_eq!(refusals(service, &eve, "unknown_resource").await, unknown_resource);
        assert_eq!(refusals(service, &ada, "unknown_resource").await, 0);
    })
    .await;
}

#[tokio::test]
async fn without_a_good_access_token_there_is_no_answer() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let id = added(&client, &ada.access_token, "a task").await;
        client.get(MY_TASKS).await.refused(401, "unauthenticated");
        client.get(&format!("{MY_TASKS}/{id}")).await.refused(401, "unauthenticated");
        client.tasks("x.y.z", "").await.refused(401, "unauthenticated");
        client.log_out(&ada.access_token).await.answered(204);
        client.task(&ada.access_token, &id).await.refused(401, "unauthenticated");
        client.add_task(&ada.access_token, "too late").await.refused(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn a_body_is_json_of_bounded_length_and_a_path_takes_its_own_methods() {
    on_both(&[], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        let (token, bearer) = (ada.access_token.as_str(), format!("Bearer {}", ada.access_token));
        let post = async |content_type: &str, body: String| {
            client.post_raw(MY_TASKS, &[("authorization", &bearer)], content_type, body).await
        };
        let right = json!({ "title": "x" }).to_string();
        for other in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            post(other, right.clone()).await.refused(415, "unsupported_media_type");
        }
        post("application/json", " ".repeat(64 * 1024 + 1)).await.refused(413, "payload_too_large");
        post("application/json", "{".to_owned()).await.refused(400, "malformed_json");
        post("application/json", "[]".to_owned()).await.refused(400, "bad_request");
        post("application/json", r#"{"title":"a","title":"b"}"#.to_owned()).await.refused(400, "bad_request");
        let longest = format!("{right}{}", " ".repeat(64 * 1024 - right.len()));
        post("application/json; charset=utf-8", longest).await.answered(201);
        assert_eq!(ids(&client.tasks(token, "").await.json()).len(), 1);

        let item = format!("{MY_TASKS}/{UNKNOWN}");
        for (method, path, allowed) in [
            (Method::DELETE, MY_TASKS, vec!["GET", "HEAD", "POST"]),
            (Method::PATCH, MY_TASKS, vec!["GET", "HEAD", "POST"]),
            (Method::POST, &item, vec!["DELETE", "GET", "HEAD", "PUT"]),
            (Method::PATCH, &item, vec!["DELETE", "GET", "HEAD", "PUT"]),
            (Method::POST, &format!("{item}/complete"), vec!["PATCH"]),
        ] {
            let answer = client.with_token(method.clone(), path, token, None).await;
            answer.refused(405, "method_not_allowed");
            let mut allow: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(allow, allowed, "{method} {path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_deleted_account_leaves_no_task_behind() {
    on_both(&[], async |service, client| {
        let ada = client.register("ada@example.com").await.grant();
        let eve = client.register("eve@example.com").await.grant();
        for n in 0..3 {
            added(&client, &ada.access_token, &format!("Ada's {n}")).await;
        }
        added(&client, &eve.access_token, "Eve's").await;
        assert_eq!(rows(service, &ada.user_id).await, Rows { tasks: 3, counted: Some(3) });

        client.delete_me(&ada.access_token, PASSWORD).await.answered(204);
        assert_eq!(rows(service, &ada.user_id).await, Rows { tasks: 0, counted: None });
        assert_eq!(rows(service, &eve.user_id).await, Rows { tasks: 1, counted: Some(1) }, "not the account's own");
        client.tasks(&ada.access_token, "").await.refused(401, "unauthenticated");

        let again = client.register("ada@example.com").await.grant();
        assert_eq!(ids(&client.tasks(&again.access_token, "").await.json()), Vec::<String>::new());
    })
    .await;
}

#[tokio::test]
async fn switched_off_there_are_neither_routes_nor_tables() {
    on_both(&[], async |service, _| assert_eq!(tables(service).await, 3)).await;
    on_both(&[("TASKS__ENABLED", "false")], async |service, client| {
        let ada = client.register("ada@example.com").await.grant();
        for path in [MY_TASKS.to_owned(), format!("{MY_TASKS}/{UNKNOWN}"), format!("{MY_TASKS}/{UNKNOWN}/complete")] {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let answer = client.with_token(method, &path, &ada.access_token, None).await;
                answer.refused(404, "not_found");
            }
        }
        assert_eq!(tables(service).await, 0);
    })
    .await;
}

/// Adds fifty tasks at once.
async fn fifty(client: &Client, token: &str) -> Vec<Answer> {
    at_once((0..50).map(|n| {
        let (client, token) = (client.clone(), token.to_owned());
        async move { client.add_task(&token, &format!("task {n}")).await }
    }))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_no_more_tasks_than_one_user_may_have() {
    on_both(&[("TASKS__MOST_PER_USER", "5")], async |service, client| {
        let ada = client.register("ada@example.com").await.grant();
        let eve = client.register("eve@example.com").await.grant();
        let token = ada.access_token.as_str();

        let answers = fifty(&client, token).await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (5, 45));
        for answer in answers.iter().filter(|answer| answer.status.as_u16() == 409) {
            answer.refused(409, "quota_exceeded");
        }
        let listed = ids(&client.tasks(token, "").await.json());
        assert_eq!(listed.len(), 5);
        client.replace_task(token, &listed[1], "still mine to change", None).await.answered(200);

        client.delete_task(token, &listed[0], None).await.answered(204);
        client.delete_task(token, &listed[0], None).await.refused(404, "not_found");
        let answers = fifty(&client, token).await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (1, 49), "one was deleted");
        assert_eq!(rows(service, &ada.user_id).await, Rows { tasks: 5, counted: Some(5) });
        client.add_task(&eve.access_token, "not Ada's limit").await.answered(201);
    })
    .await;
}

#[tokio::test]
async fn the_limit_is_what_the_configuration_says() {
    on_both(&[("TASKS__MOST_PER_USER", "2")], async |_, client| {
        let ada = client.register("ada@example.com").await.grant();
        for n in 0..2 {
            added(&client, &ada.access_token, &format!("task {n}")).await;
        }
        client.add_task(&ada.access_token, "one too many").await.refused(409, "quota_exceeded");
    })
    .await;
}
