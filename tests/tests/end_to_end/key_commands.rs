//! Signing keys by hand: what the commands do is heard by running nodes within a second.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_auth::token::key_id_of;
use doorward_tests::smtp::SmtpSink;
use doorward_tests::{Client, Database, Service, Verdict};
use serde_json::Value;

use crate::forged_tokens::decode;
use crate::mail_steps::{logged_in, unverified};
use crate::other_verifiers::verifies_elsewhere;

const BOUND: Duration = Duration::from_secs(1);

/// Ids and states, as `keys list` gives them.
fn listed(service: &Service) -> Vec<(String, String)> {
    let keys: Value = serde_json::from_str(&service.succeed(&["keys", "list", "--json"])).unwrap();
    let text = |key: &Value, name: &str| key[name].as_str().unwrap_or_else(|| panic!("no {name}: {key}")).to_owned();
    keys.as_array().unwrap().iter().map(|key| (text(key, "id"), text(key, "state"))).collect()
}

fn in_state(service: &Service, state: &str) -> Vec<String> {
    listed(service).into_iter().filter(|(_, other)| other == state).map(|(id, _)| id).collect()
}

async fn published(client: &Client) -> Vec<Value> {
    client.get("/.well-known/jwks.json").await.json()["keys"].as_array().unwrap().clone()
}

async fn publishes(client: &Client, id: &str) -> bool {
    published(client).await.iter().any(|key| key["kid"] == id)
}

/// Waits until it is so, for no longer than running nodes may take to hear of something.
async fn soon(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < BOUND, "{what}: not within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The service started once more, and a client without connections to the one before.
fn restarted(service: &mut Service) -> Client {
    service.start_again();
    Client::new(&service.url())
}

async fn on_both(story: impl AsyncFn(&mut Service, Client)) {
    for database in Database::BOTH {
        let mut service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        story(&mut service, client).await;
    }
}

#[tokio::test]
async fn a_rotated_key_is_published_first_and_signs_at_once_only_when_told_to() {
    on_both(async |service, client| {
        let grant = client.register("ada@example.com").await.grant();
        let first = key_id_of(&grant.access_token).unwrap();
        assert_eq!(listed(service), [(first.clone(), "signing".to_owned())]);

        service.succeed(&["keys", "rotate"]);
        let waiting = in_state(service, "published");
        assert_eq!(waiting.len(), 1, "{:?}", listed(service));
        soon("the new key is published", async || publishes(&client, &waiting[0]).await).await;
        let next = client.refresh(&grant.refresh_token).await.grant();
        assert_eq!(key_id_of(&next.access_token).as_ref(), Some(&first), "it signs before others know it");

        service.succeed(&["keys", "rotate", "--now"]);
        let signing = in_state(service, "signing");
        assert!(signing.len() == 1 && signing[0] != first, "{:?}", listed(service));
        soon("the new key signs", async || {
            let grant = client.log_in("ada@example.com").await.grant();
            key_id_of(&grant.access_token).as_ref() == Some(&signing[0])
        })
        .await;
        for token in [&grant.access_token, &next.access_token] {
            assert_eq!(client.judge(token).await, Verdict::Accepted, "an old token was refused");
            verifies_elsewhere(service, token);
        }
    })
    .await;
}

#[tokio::test]
async fn a_revoked_keys_tokens_are_refused_within_a_second_and_users_go_on() {
    on_both(async |service, client| {
        let mut grants = vec![client.register("ada@example.com").await.grant()];
        for _ in 0..3 {
            grants.push(client.log_in("ada@example.com").await.grant());
        }
        let revoked = key_id_of(&grants[0].access_token).unwrap();
        assert_eq!(service.command(&["keys", "revoke", "no-such-key"]).status.code(), Some(1));

        service.succeed(&["keys", "revoke", &revoked]);
        let began = Instant::now();
        soon("the tokens are refused", async || client.judge(&grants[0].access_token).await == Verdict::Refused).await;
        println!("a revoked key was known after {:?}", began.elapsed());
        for grant in &grants {
            assert_eq!(client.judge(&grant.access_token).await, Verdict::Refused);
            let next = client.refresh(&grant.refresh_token).await.grant();
            assert_ne!(key_id_of(&next.access_token).unwrap(), revoked);
            assert_eq!(client.judge(&next.access_token).await, Verdict::Accepted);
            verifies_elsewhere(service, &next.access_token);
        }
        assert!(!publishes(&client, &revoked).await);
        assert!(listed(service).iter().all(|(id, _)| *id != revoked));
        service.kill();
        let client = restarted(service);
        assert_eq!(client.judge(&grants[0].access_token).await, Verdict::Refused, "a restart brought it back");
    })
    .await;
}

#[tokio::test]
async fn another_algorithm_takes_over_without_an_outage() {
    on_both(async |service, client| {
        let old = client.register("ada@example.com").await.grant();
        service.set("TOKENS__ALGORITHM", "ES256");
        assert!(service.terminate().success());
        let client = restarted(service);
        let algorithms: Vec<Value> = published(&client).await.iter().map(|key| key["alg"].clone()).collect();
        for algorithm in ["EdDSA", "ES256"] {
            assert!(algorithms.contains(&algorithm.into()), "{algorithm} is not among {algorithms:?}");
        }
        let new = client.refresh(&old.refresh_token).await.grant();
        for token in [&old.access_token, &new.access_token] {
            assert_eq!(client.judge(token).await, Verdict::Accepted);
            verifies_elsewhere(service, token);
        }
        // Who cannot wait until every verifier knows the new key says so.
        service.succeed(&["keys", "rotate", "--now"]);
        soon("the other algorithm signs", async || {
            let token = client.log_in("ada@example.com").await.grant().access_token;
            decode(token.split('.').next().unwrap())["alg"] == "ES256"
        })
        .await;
        assert_eq!(client.judge(&old.access_token).await, Verdict::Accepted);
    })
    .await;
}

#[tokio::test]
async fn resealing_changes_the_master_key_and_nothing_that_clients_hold() {
    for database in Database::BOTH {
        let sink = SmtpSink::start();
        let mut service = Service::start_with_mail(database, &sink, &[]);
        let client = Client::new(&service.url());
        let grant = logged_in(&client, &sink, "ada@example.com").await;
        let link = unverified(&client, &sink, "eve@example.com").await;
        let keys = published(&client).await;

        let new_key = STANDARD.encode(std::array::from_fn::<u8, 32, _>(|n| u8::try_from(n * 7 % 251).unwrap()));
        let file = service.folder().join("new-master-key");
        std::fs::write(&file, format!("{new_key}\n")).unwrap();
        service.succeed(&["keys", "reseal", "--new-master-key-file", file.to_str().unwrap()]);
        assert!(client.me(&grant.access_token).await.status.is_success(), "a running node minds");

        assert!(service.terminate().success());
        service.spawn_again();
        assert_eq!(service.wait_until_ended().code(), Some(1), "{}", service.log());
        assert!(service.log().contains("master key"), "{}", service.log());
        service.set("SECRETS__MASTER_KEY", &new_key);
        let client = restarted(&mut service);

        assert_eq!(published(&client).await, keys, "{database:?}: the keys are others");
        assert_eq!(client.judge(&grant.access_token).await, Verdict::Accepted, "{database:?}");
        let next = client.refresh(&grant.refresh_token).await.grant();
        assert_eq!(client.judge(&next.access_token).await, Verdict::Accepted);
        client.verify_email(&link).await.answered(204);
        client.log_in("eve@example.com").await.grant();
    }
}
