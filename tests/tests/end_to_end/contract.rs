//! The wire contract, against the running binary on both databases.

use doorward_tests::{Client, Database, PASSWORD, Service};
use reqwest::Method;
use serde_json::{Value, json};

async fn on_both(settings: &[(&str, &str)], test: impl AsyncFn(&mut Service, Client)) {
    for database in Database::BOTH {
        let mut service = Service::start(database, settings);
        let client = Client::new(&service.url());
        test(&mut service, client).await;
    }
}

/// Each field's error code, by field.
fn field_codes(problem: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let errors = problem["errors"].as_array().unwrap();
    errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect()
}

#[tokio::test]
async fn a_user_registers_logs_in_stays_and_leaves() {
    on_both(&[], async |_, client| {
        let registered = client.register("Ada@Example.com").await;
        assert_eq!(registered.status.as_u16(), 201);
        let user = &registered.json()["user"];
        assert_eq!(user["email"], "Ada@example.com");
        assert_eq!(user["email_verified"], false);
        assert_eq!(user["name"], json!(null));
        assert_eq!(user["roles"], json!([]));
        assert!(user["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(registered.json()["token_type"], "Bearer");
        assert_eq!(registered.json()["expires_in"], 600);
        assert_eq!(registered.json()["refresh_expires_in"], 30 * 24 * 3600);
        assert_eq!(registered.header("cache-control"), Some("no-store"));

        let grant = client.log_in("ADA@EXAMPLE.COM").await.grant();
        let me = client.me(&grant.access_token).await;
        assert_eq!(me.json()["id"].as_str(), Some(grant.user_id.as_str()));
        assert_eq!(me.header("cache-control"), Some("no-store"));

        let next = client.refresh(&grant.refresh_token).await.grant();
        assert_eq!(next.session_id, grant.session_id);
        assert_ne!(next.refresh_token, grant.refresh_token);

        assert_eq!(client.log_out(&next.access_token).await.status.as_u16(), 204);
        for token in [&grant.access_token, &next.access_token] {
            client.me(token).await.refused(401, "unauthenticated");
        }
        client.refresh(&next.refresh_token).await.refused(401, "invalid_refresh_token");
        assert_eq!(client.log_out(&next.access_token).await.status.as_u16(), 204, "ending twice is no error");
        // The session of the registration goes on.
        assert!(client.me(&registered.grant().access_token).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session_and_nobody_elses() {
    on_both(&[], async |_, client| {
        let first = client.register("ada@example.com").await.grant();
        let second = client.log_in("ada@example.com").await.grant();
        let stranger = client.register("eve@example.com").await.grant();
        let answer = client.with_token(Method::POST, "/api/auth/logout-all", &second.access_token, None).await;
        assert_eq!(answer.status.as_u16(), 204);
        for grant in [&first, &second] {
            client.me(&grant.access_token).await.refused(401, "unauthenticated");
            client.refresh(&grant.refresh_token).await.refused(401, "invalid_refresh_token");
        }
        assert!(client.me(&stranger.access_token).await.status.is_success());
        assert!(client.refresh(&stranger.refresh_token).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn an_ended_session_stays_ended_after_a_restart() {
    on_both(&[("SESSIONS__REUSE_WINDOW", "0s")], async |service, client| {
        let left = client.register("ada@example.com").await.grant();
        client.log_out(&left.access_token).await;
        let replayed = client.log_in("ada@example.com").await.grant();
        let second = client.refresh(&replayed.refresh_token).await.grant();
        let third = client.refresh(&second.refresh_token).await.grant();
        client.refresh(&replayed.refresh_token).await.refused(401, "invalid_refresh_token");
        let live = client.log_in("ada@example.com").await.grant();

        service.kill();
        service.start_again();
        let client = Client::new(&service.url());
        for token in [&left.access_token, &replayed.access_token, &third.access_token] {
            client.me(token).await.refused(401, "unauthenticated");
        }
        for token in [&left.refresh_token, &second.refresh_token, &third.refresh_token] {
            client.refresh(token).await.refused(401, "invalid_refresh_token");
        }
        assert!(client.me(&live.access_token).await.status.is_success());
        assert!(client.refresh(&live.refresh_token).await.status.is_success());
    })
    .await;
}

#[tokio::test]
async fn logging_out_with_a_refresh_token_ends_its_session() {
    on_both(&[], async |_, client| {
        let grant = client.register("ada@example.com").await.grant();
        let body = json!({ "refresh_token": grant.refresh_token });
        for _ in 0..2 {
            assert_eq!(client.post("/api/auth/logout", &body).await.status.as_u16(), 204);
        }
        client.me(&grant.access_token).await.refused(401, "unauthenticated");
        let unknown = json!({ "refresh_token": "dwr_unknown" });
        assert_eq!(client.post("/api/auth/logout", &unknown).await.status.as_u16(), 204);
        client.post("/api/auth/logout", &json!({})).await.refused(401, "unauthenticated");
    })
    .await;
}

#[tokio::test]
async fn the_profile_is_the_users_own_to_change() {
    on_both(&[], async |_, client| {
        let token = client.register("ada@example.com").await.grant().access_token;
        let patch = async |body: &Value| client.with_token(Method::PATCH, "/api/auth/me", &token, Some(body)).await;
        assert_eq!(patch(&json!({ "name": "Ada Löveläce" })).await.json()["name"], "Ada Löveläce");
        assert_eq!(client.me(&token).await.json()["name"], "Ada Löveläce");
        assert_eq!(patch(&json!({})).await.json()["name"], "Ada Löveläce", "what is not named stays");
        assert_eq!(patch(&json!({ "name": null })).await.json()["name"], json!(null));
        for field in ["roles", "email_verified", "id", "email"] {
            let refused = patch(&json!({ "name": "x", field: true })).await;
            refused.refused(422, "validation_failed");
            assert_eq!(field_codes(&refused.json()), [(field.to_owned(), "unknown_field".to_owned())]);
        }
        assert_eq!(client.me(&token).await.json()["name"], json!(null), "a refused change changed something");
        patch(&json!({ "name": "a\r\nb" })).await.refused(422, "validation_failed");
    })
    .await;
}

#[tokio::test]
async fn refusals_say_what_the_contract_says() {
    on_both(&[], async |_, client| {
        client.register("ada@example.com").await.grant();
        client.register("ADA@example.com").await.refused(409, "email_taken");
        let unknown = client.log_in("nobody@example.com").await;
        let wrong = client.log_in_with("ada@example.com", "not the password").await;
        for answer in [&unknown, &wrong] {
            answer.refused(401, "invalid_credentials");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        }
        let masked = |answer: &doorward_tests::Answer| {
            let mut json = answer.json();
            json["request_id"] = json!("");
            json
        };
        assert_eq!(masked(&unknown), masked(&wrong), "the two tell who has an account");

        let none = client.get("/api/auth/me").await;
        none.refused(401, "unauthenticated");
        assert_eq!(none.header("www-authenticate"), Some("Bearer"));
        let bad = client.me("x.y.z").await;
        assert_eq!(bad.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
        assert_eq!(bad.header("content-type"), Some("application/problem+json"));
        assert_eq!(bad.json()["type"], "urn:doorward:problem:unauthenticated");
        assert_eq!(bad.json()["request_id"].as_str(), bad.header("x-request-id"));

        client.get("/api/auth/nothing").await.refused(404, "not_found");
        let method = client.get("/api/auth/login").await;
        method.refused(405, "method_not_allowed");
        assert_eq!(method.header("allow"), Some("POST"));
    })
    .await;
}

#[tokio::test]
async fn every_error_of_a_body_is_told_at_once() {
    let service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    for (body, codes) in [
        (json!({}), vec![("email", "required"), ("password", "required")]),
        (json!({ "email": " a@b.cc", "password": "short" }), vec![("email", "invalid_email")]),
        (json!({ "email": "a@b.cc", "password": "short" }), vec![("password", "too_short")]),
        (json!({ "email": "a@b.cc", "password": "x".repeat(257) }), vec![("password", "too_long")]),
        (json!({ "email": "a@b.cc", "password": "Password1" }), vec![("password", "too_common")]),
        (json!({ "email": "longlocal@b.cc", "password": "longlocal" }), vec![("password", "contains_context")]),
        (json!({ "email": "a@b.cc", "password": "Doorward" }), vec![("password", "contains_context")]),
        (
            json!({ "email": 7, "password": ["x"], "name": {}, "session": "both", "admin": true }),
            vec![
                ("email", "wrong_type"),
                ("password", "wrong_type"),
                ("name", "wrong_type"),
                ("session", "invalid_choice"),
                ("admin", "unknown_field"),
            ],
        ),
    ] {
        let answer = client.post("/api/auth/register", &body).await;
        answer.refused(422, "validation_failed");
        let expected: Vec<_> = codes.iter().map(|(f, c)| ((*f).to_owned(), (*c).to_owned())).collect();
        assert_eq!(field_codes(&answer.json()), expected, "{body}");
    }
}

#[tokio::test]
async fn a_body_is_json_once_and_of_bounded_length() {
    let service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    let send = async |content_type: Option<&str>, body: Vec<u8>| {
        let mut request = client.http.post(format!("{}/api/auth/login", client.base)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        doorward_tests::Answer { status, headers, text: response.text().await.unwrap() }
    };
    let json = Some("application/json");
    send(json, b"{".to_vec()).await.refused(400, "malformed_json");
    send(json, b"".to_vec()).await.refused(400, "malformed_json");
    send(json, b"{\"email\":\"\xff\"}".to_vec()).await.refused(400, "malformed_json");
    send(json, b"[]".to_vec()).await.refused(400, "bad_request");
    send(json, b"{\"email\":\"a\",\"email\":\"b\"}".to_vec()).await.refused(400, "bad_request");
    send(json, b"{} {}".to_vec()).await.refused(400, "malformed_json");
    send(json, [b"[".repeat(10_000), b"]".repeat(10_000)].concat()).await.refused(400, "bad_request");
    send(json, b"{\"a\":".repeat(10_000)).await.refused(400, "malformed_json");
    send(json, vec![b' '; 64 * 1024 + 1]).await.refused(413, "payload_too_large");
    for other in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")] {
        send(other, b"{}".to_vec()).await.refused(415, "unsupported_media_type");
    }
    send(Some("Application/JSON; charset=utf-8"), b"{}".to_vec()).await.refused(422, "validation_failed");
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_replaced() {
    let service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    let id_for = async |own: &str| {
        let answer = client.send(Method::GET, "/healthz", &[("x-request-id", own)], None).await.unwrap();
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id_for("abc-123_X.y").await, "abc-123_X.y");
    for insane in ["a b", "<script>", &"x".repeat(65)] {
        assert_ne!(id_for(insane).await, insane);
    }
}

#[tokio::test]
async fn machines_find_keys_metadata_and_health() {
    on_both(&[], async |service, client| {
        let jwks = client.get("/.well-known/jwks.json").await;
        assert_eq!(jwks.header("cache-control"), Some("public, max-age=300"));
        let key = &jwks.json()["keys"][0];
        assert_eq!((&key["kty"], &key["crv"], &key["use"]), (&json!("OKP"), &json!("Ed25519"), &json!("sig")));
        assert!(key.get("d").is_none(), "the private key is published");
        let metadata = client.get("/.well-known/oauth-authorization-server").await.json();
        let issuer = format!("http://localhost:{}", service.address.port());
        assert_eq!(metadata["issuer"], issuer);
        assert_eq!(metadata["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(client.get(path).await.json(), json!({ "status": "ok" }));
        }
        for path in ["/healthz", "/api/auth/me", "/nothing"] {
            let answer = client.get(path).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("referrer-policy", "no-referrer"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path}");
            }
            assert!(answer.header("content-security-policy").unwrap().contains("default-src 'none'"));
        }
    })
    .await;
}

#[tokio::test]
async fn all_nodes_on_one_database_are_one_service() {
    let one = Service::start(Database::Postgres, &[]);
    let other = one.another_node();
    let (here, there) = (Client::new(&one.url()), Client::new(&other.url()));
    let grant = here.register("ada@example.com").await.grant();
    // The other node has another public URL, so it is asked about the session and not about the token.
    let next = there.refresh(&grant.refresh_token).await.grant();
    assert_eq!(next.session_id, grant.session_id);
    assert_eq!(here.get("/.well-known/jwks.json").await.text, there.get("/.well-known/jwks.json").await.text);
    there.log_out(&next.access_token).await;
    here.refresh(&next.refresh_token).await.refused(401, "invalid_refresh_token");
}

#[tokio::test]
async fn secrets_stay_out_of_logs_and_of_the_database() {
    let service = Service::start(Database::Sqlite, &[("LOG__LEVEL", "trace")]);
    let client = Client::new(&service.url());
    let grant = client.register("ada@example.com").await.grant();
    let next = client.refresh(&grant.refresh_token).await.grant();
    client.me(&next.access_token).await;
    client.log_in_with("ada@example.com", "a wrong password of mine").await;
    client.log_out(&next.access_token).await;
    let mut places = vec![("log", service.log().into_bytes())];
    for file in ["doorward.db", "doorward.db-wal"] {
        places.push((file, std::fs::read(service.folder().join(file)).unwrap()));
    }
    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let secrets = [
        PASSWORD.to_owned(),
        "a wrong password of mine".to_owned(),
        grant.refresh_token.clone(),
        next.refresh_token.clone(),
        signature(&grant.access_token),
        signature(&next.access_token),
        doorward_tests::service::MASTER_KEY.to_owned(),
    ];
    for (place, bytes) in &places {
        assert!(bytes.len() > 1_000, "{place} is empty");
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{place} holds {secret}");
        }
    }
}
