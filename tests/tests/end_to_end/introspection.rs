//! Other services ask about tokens and revoke them (RFC 7662, RFC 7009).

use std::process::Command;
use std::time::Duration;

use doorward_auth::RotateRefresh;
use doorward_tests::in_process::InProcess;
use doorward_tests::service::binary;
use doorward_tests::{Answer, Client, Credentials, Database, Service, Verdict};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::forged_tokens::{SECRET, decode, install_cryptography, signed, with};
use crate::in_process_steps::register;

const INACTIVE: &str = r#"{"active":false}"#;

/// A new client, and the hash by which the configuration knows it.
pub(crate) fn new_client(id: &str) -> (Credentials, String) {
    let output = Command::new(binary()).arg("client-secret").env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let word = |is_it: &dyn Fn(&str) -> bool| said.split_whitespace().find(|word| is_it(word)).unwrap().to_owned();
    let secret = word(&|word| word.starts_with("dwc_"));
    let hash = word(&|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (Credentials { id: id.to_owned(), secret }, format!("{id}:{hash}"))
}

/// Tells the story on both databases with two clients, to services that sign with a secret that the forger holds.
async fn on_both(story: impl AsyncFn(&Service, Client, [Credentials; 2])) {
    install_cryptography();
    for database in Database::BOTH {
        let ((api, api_hash), (other, other_hash)) = (new_client("api"), new_client("reports"));
        let clients = format!("{api_hash},{other_hash}");
        let settings = [("TOKENS__ALGORITHM", "HS256"), ("TOKENS__SECRET", SECRET), ("CLIENTS", clients.as_str())];
        let service = Service::start(database, &settings);
        let client = Client::new(&service.url());
        story(&service, client, [api, other]).await;
    }
}

/// Everything of an answer that two of a kind must have in common.
fn comparable(answer: &Answer) -> (u16, Vec<(String, Vec<u8>)>, String) {
    let names = |name: &str| !matches!(name, "date" | "x-request-id");
    let headers = answer.headers.iter().filter(|(name, _)| names(name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    (answer.status.as_u16(), headers, answer.text.clone())
}

#[test]
fn every_new_client_has_a_secret_of_its_own() {
    let ((one, one_hash), (other, other_hash)) = (new_client("a"), new_client("a"));
    assert!(one.secret != other.secret && one_hash != other_hash);
    // 32 bytes in base64url.
    assert_eq!(one.secret.len(), "dwc_".len() + 43);
}

#[tokio::test]
async fn a_good_token_is_described() {
    on_both(async |service, client, [api, other]| {
        let grant = client.register("ada@example.com").await.grant();
        let issuer = format!("http://localhost:{}", service.address.port());
        for asking in [&api, &other] {
            let access = client.introspect(asking, &grant.access_token).await;
            assert_eq!(access.answered(200).header("cache-control"), Some("no-store"));
            let claims = decode(grant.access_token.split('.').nth(1).unwrap());
            let said = access.json();
            assert_eq!((&said["active"], &said["token_type"]), (&json!(true), &json!("Bearer")));
            for name in ["sub", "iss", "aud", "exp", "iat", "nbf", "jti"] {
                assert_eq!(said[name], claims[name], "{name}: {said}");
            }
            assert_eq!((&said["sub"], &said["iss"]), (&json!(grant.user_id), &json!(issuer)));
            let refresh = client.introspect(asking, &grant.refresh_token).await.json();
            assert_eq!((&refresh["active"], &refresh["sub"]), (&json!(true), &json!(grant.user_id)));
            assert!(refresh["exp"].as_i64().unwrap() > claims["exp"].as_i64().unwrap(), "{refresh}");
        }
        // A hint that is wrong costs nothing (RFC 7662 section 2.1); a form may bring the client's secret.
        for (token, hint) in [(&grant.access_token, "refresh_token"), (&grant.refresh_token, "access_token")] {
            let fields = [
                ("token", token.as_str()),
                ("token_type_hint", hint),
                ("client_id", api.id.as_str()),
                ("client_secret", api.secret.as_str()),
            ];
            let answer = client.post_form("/api/auth/introspect", None, &fields).await;
            assert_eq!(answer.json()["active"], true, "{hint}: {answer:?}");
        }
        assert!(client.refresh(&grant.refresh_token).await.status.is_success(), "asking used the token up");
    })
    .await;
}

#[tokio::test]
async fn all_that_is_no_good_is_the_same() {
    on_both(async |service, client, [api, _]| {
        let live = client.register("ada@example.com").await.grant();
        let left = client.log_in("ada@example.com").await.grant();
        client.log_out(&left.access_token).await.answered(204);
        let second = client.refresh(&live.refresh_token).await.grant();
        let third = client.refresh(&second.refresh_token).await.grant();
        let disabled = client.register("eve@example.com").await.grant();
        service.succeed(&["users", "disable", "eve@example.com"]);
        let deleted = client.register("zoe@example.com").await.grant();
        client.delete_me(&deleted.access_token, doorward_tests::PASSWORD).await.answered(204);
        // What a command did has to be heard of.
        tokio::time::sleep(Duration::from_secs(1)).await;

        let parts: Vec<&str> = live.access_token.split('.').collect();
        let (header, claims) = (decode(parts[0]), decode(parts[1]));
        let forged = |name: &str, value: Value| signed(&header, &with(&claims, name, Some(value)), SECRET.as_bytes());
        let past = claims["iat"].as_i64().unwrap() - 100;
        let cases = [
            ("expired", forged("exp", json!(past))),
            ("of another issuer", forged("iss", json!("https://other.example"))),
            ("for somebody else", forged("aud", json!("https://other.example"))),
            ("signed by somebody else", signed(&header, &claims, &[7; 32])),
            ("unsigned", format!("{}.{}.", parts[0], parts[1])),
            ("of an ended session", left.access_token.clone()),
            ("of an ended session, to refresh", left.refresh_token.clone()),
            ("of a disabled user", disabled.access_token.clone()),
            ("of a disabled user, to refresh", disabled.refresh_token.clone()),
            ("of a deleted user", deleted.access_token.clone()),
            ("of a deleted user, to refresh", deleted.refresh_token.clone()),
            ("used up", live.refresh_token.clone()),
            ("garbage", "x.y.z".to_owned()),
            ("garbage that says what it is", "dwr_garbage".to_owned()),
            ("binary", "\u{0}\u{ff}".to_owned()),
            ("an id", live.session_id.clone()),
        ];
        let pattern = client.introspect(&api, "unknown").await;
        assert_eq!(pattern.answered(200).text, INACTIVE);
        assert_eq!(pattern.header("content-type"), Some("application/json"));
        for (what, token) in &cases {
            let answer = client.introspect(&api, token).await;
            assert_eq!(comparable(&answer), comparable(&pattern), "a token {what} differs");
        }
        let newest = client.introspect(&api, &third.refresh_token).await;
        assert_eq!(newest.json()["active"], true, "nothing is good any more");
    })
    .await;
}

#[tokio::test]
async fn what_time_makes_no_good_is_inactive() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        let grant = register(&doorward, "ada@example.com").await;
        let refresh_token = grant.refresh_token.to_text();
        let is_active = async |token: &SecretString| doorward.auth.introspect(token).await.unwrap().is_some();
        assert!(is_active(&grant.access_token.text).await && is_active(&refresh_token).await);
        doorward.clock.advance(Duration::from_mins(11));
        assert!(!is_active(&grant.access_token.text).await && is_active(&refresh_token).await, "{database:?}");
        let request = RotateRefresh { refresh_token: refresh_token.clone() };
        let next = doorward.auth.refresh(request, &doorward_domain::Client::default()).await.unwrap();
        doorward.clock.advance(Duration::from_hours(31 * 24));
        assert!(!is_active(&next.refresh_token.to_text()).await, "{database:?}: idle for too long");
        assert!(!is_active(&refresh_token).await, "{database:?}");
    }
}

/// RFC 6749 section 5.2.
fn refused_as_client(answer: &Answer) {
    assert_eq!(answer.status.as_u16(), 401, "{answer:?}");
    assert_eq!(answer.json(), serde_json::json!({ "error": "invalid_client" }));
}

#[tokio::test]
async fn only_configured_clients_are_answered() {
    on_both(async |_, client, [api, other]| {
        let grant = client.register("ada@example.com").await.grant();
        let wrong = [
            Credentials { id: api.id.clone(), secret: other.secret.clone() },
            Credentials { id: "nobody".to_owned(), secret: api.secret.clone() },
            Credentials { id: api.id.clone(), secret: String::new() },
            Credentials { id: String::new(), secret: api.secret.clone() },
            Credentials { id: api.id.clone(), secret: format!("{} ", api.secret) },
        ];
        let mut refusals = Vec::new();
        for path in ["/api/auth/introspect", "/api/auth/revoke"] {
            let token = ("token", grant.access_token.as_str());
            refusals.push(client.post_form(path, None, &[token]).await);
            for credentials in &wrong {
                refusals.push(client.post_form(path, Some(credentials), &[token]).await);
                let (id, secret) = (credentials.id.as_str(), credentials.secret.as_str());
                let fields = [token, ("client_id", id), ("client_secret", secret)];
                refusals.push(client.post_form(path, None, &fields).await);
            }
        }
        refusals.push(client.get("/api/auth/revocations").await);
        for refusal in &refusals {
            refused_as_client(refusal);
            assert!(refusal.header("www-authenticate").unwrap().starts_with("Basic"), "{refusal:?}");
        }
        // A user's token is no client's.
        let headers = [("authorization", format!("Bearer {}", grant.access_token))];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let form = "application/x-www-form-urlencoded";
        let answer = client.post_raw("/api/auth/introspect", &headers, form, "token=x".to_owned()).await;
        refused_as_client(&answer);
        assert_eq!(client.judge(&grant.access_token).await, Verdict::Accepted, "a stranger revoked a token");
    })
    .await;
}

#[tokio::test]
async fn revoking_either_token_ends_the_session() {
    on_both(async |_, client, [api, _]| {
        let bystander = client.register("ada@example.com").await.grant();
        for by_refresh_token in [false, true] {
            let grant = client.log_in("ada@example.com").await.grant();
            let token = if by_refresh_token { &grant.refresh_token } else { &grant.access_token };
            // Once more is no error (RFC 7009 section 2.2), and neither is what was never a token.
            for token in [token, token, "unknown", "x.y.z", "dwr_unknown"] {
                client.revoke(&api, token).await.answered(200);
            }
            assert_eq!(client.judge(&grant.access_token).await, Verdict::Refused);
            client.refresh(&grant.refresh_token).await.refused(401, "invalid_refresh_token");
            for token in [&grant.access_token, &grant.refresh_token] {
                assert_eq!(client.introspect(&api, token).await.text, INACTIVE);
            }
        }
        assert_eq!(client.judge(&bystander.access_token).await, Verdict::Accepted);
    })
    .await;
}
