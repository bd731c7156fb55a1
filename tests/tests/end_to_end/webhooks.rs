//! Who is told of security events is told of each, signed, whatever happens in between, and nobody waits for anybody.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use doorward::SystemClock;
use doorward_domain::Clock as _;
use doorward_tests::webhook_receiver::{ReceivedWebhook, WEBHOOK_SECRET, WebhookReceiver};
use doorward_tests::{Client, Database, Service};
use serde_json::Value;

/// How long a webhook may take that nothing holds up.
const SOON: Duration = Duration::from_secs(15);
/// Time for a few attempts, whose distances double from 1 s.
const AFTER_RETRIES: Duration = Duration::from_secs(30);
/// Within which time what a dead node had leased has been delivered by another.
const AFTER_LEASE: Duration = Duration::from_secs(75);

fn unix_seconds() -> u64 {
    SystemClock.now().unix_seconds().try_into().unwrap()
}

/// What `doorward webhooks list --json` says.
fn listed(service: &Service) -> Vec<Value> {
    serde_json::from_str(&service.succeed(&["webhooks", "list", "--json"])).unwrap()
}

async fn wait_until_listed(service: &Service, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let started = Instant::now();
    loop {
        let listed = listed(service);
        if wanted(&listed) {
            return listed;
        }
        assert!(started.elapsed() < AFTER_RETRIES, "{what}: {listed:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Tells the story on both databases, to a receiver whose endpoints are given by lines of the configuration.
async fn on_both(
    configure: impl Fn(&WebhookReceiver) -> String,
    story: impl AsyncFn(&mut Service, Client, &mut WebhookReceiver),
) {
    for database in Database::BOTH {
        let mut receiver = WebhookReceiver::start();
        let mut service = Service::start_with_file(database, &configure(&receiver), &[]);
        let client = Client::new(&service.url());
        story(&mut service, client, &mut receiver).await;
    }
}

fn one_endpoint(receiver: &WebhookReceiver) -> String {
    receiver.endpoint("audit", "/hook", "")
}

/// The one webhook of a kind, a success or a refusal for this reason.
async fn only(receiver: &WebhookReceiver, kind: &str, reason: Option<&str>) -> ReceivedWebhook {
    let wanted = |webhook: &ReceivedWebhook| {
        let event = webhook.event();
        event["type"] == kind && event["reason"].as_str() == reason
    };
    let found = receiver.wait_for(1, wanted, SOON).await;
    assert_eq!(found.len(), 1, "{kind} {reason:?}: {found:#?}");
    found[0].clone()
}

#[tokio::test]
async fn what_happens_at_a_login_arrives_signed() {
    on_both(one_endpoint, async |service, client, receiver| {
        let grant = client.register("ada@example.com").await.grant();
        let refused = client.log_in_with("ada@example.com", "not the password").await;
        refused.refused(401, "invalid_credentials");
        let entered = client.log_in("ada@example.com").await;
        let session = entered.grant().session_id;

        only(receiver, "register", None).await;
        for (webhook, answer, session) in [
            (only(receiver, "login", Some("wrong_password")).await, &refused, None),
            (only(receiver, "login", None).await, &entered, Some(session.as_str())),
        ] {
            assert_eq!(webhook.header("content-type"), "application/json");
            assert!(webhook.verifies(WEBHOOK_SECRET, unix_seconds()), "{webhook:?}");
            let event = webhook.event();
            assert_eq!(event["user_id"], grant.user_id.as_str(), "{event}");
            assert_eq!(event["session_id"].as_str(), session, "{event}");
            assert_eq!(event["ip"], "127.0.0.1", "{event}");
            assert_eq!(event["request_id"].as_str(), answer.header("x-request-id"), "{event}");
            assert!(event["at"].as_str().unwrap().ends_with('Z'), "{event}");
            assert!(event["id"].is_string() && event["user_agent"].is_null(), "{event}");
        }
        let ids: BTreeSet<_> = receiver.received().iter().map(|webhook| webhook.id().to_owned()).collect();
        assert_eq!(ids.len(), receiver.received().len(), "something came twice");
        wait_until_listed(service, "a delivered webhook is still listed", <[Value]>::is_empty).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_changed_or_kept_or_signed_by_others_does_not_verify() {
    let receiver = WebhookReceiver::start();
    let service = Service::start_with_file(Database::Sqlite, &one_endpoint(&receiver), &[]);
    Client::new(&service.url()).register("ada@example.com").await.grant();
    let webhook = only(&receiver, "register", None).await;
    let now = unix_seconds();
    assert!(webhook.verifies(WEBHOOK_SECRET, now));
    assert!(!webhook.verifies(WEBHOOK_SECRET, now + 400), "an old webhook verifies");
    assert!(!webhook.verifies("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", now), "another secret verifies");
    let changed = ReceivedWebhook { body: webhook.body.replace("register", "log"), ..webhook.clone() };
    assert!(!changed.verifies(WEBHOOK_SECRET, now), "a changed body verifies");
    let mut renamed = webhook.clone();
    renamed.headers.insert("webhook-id".to_owned(), "00000000-0000-7000-8000-000000000000".to_owned());
    assert!(!renamed.verifies(WEBHOOK_SECRET, now), "a changed id verifies");
}

#[tokio::test]
async fn what_happens_while_the_receiver_is_away_arrives_when_it_is_back_under_the_same_id() {
    on_both(one_endpoint, async |service, client, receiver| {
        receiver.answer("/hook", 503);
        client.register("ada@example.com").await.grant();
        receiver.wait_for(1, |webhook| webhook.tells_of("register"), SOON).await;
        receiver.stop();
        for _ in 0..3 {
            client.log_in("ada@example.com").await.grant();
        }
        let all_wait = |listed: &[Value]| {
            listed.iter().filter(|webhook| webhook["event"]["type"] == "login").count() == 3
                && listed.iter().all(|webhook| webhook["attempts"].as_u64() > Some(0))
        };
        let waiting = wait_until_listed(service, "not everything waits", all_wait).await;
        assert!(waiting.iter().all(|webhook| webhook["state"] == "waiting"), "{waiting:#?}");
        receiver.release();
        receiver.start_again();

        let came_back = Instant::now();
        let arrived = |webhook: &ReceivedWebhook| webhook.at > came_back;
        let arrived = receiver.wait_for(waiting.len(), arrived, AFTER_RETRIES).await;
        let ids: BTreeSet<_> = arrived.iter().map(ReceivedWebhook::id).collect();
        let expected: BTreeSet<_> = waiting.iter().map(|webhook| webhook["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected);
        let registered: Vec<_> =
            receiver.received().into_iter().filter(|webhook| webhook.tells_of("register")).collect();
        let [first, .., last] = registered.as_slice() else { panic!("{registered:?}") };
        assert_eq!(first.id(), last.id(), "a retry is another webhook");
        assert!(arrived.iter().all(|webhook| webhook.verifies(WEBHOOK_SECRET, unix_seconds())));
        wait_until_listed(service, "a delivered webhook is still listed", <[Value]>::is_empty).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_committed_before_a_kill_is_delivered_after_it() {
    on_both(one_endpoint, async |service, client, receiver| {
        client.register("ada@example.com").await.grant();
        receiver.stop();
        for _ in 0..5 {
            client.log_in("ada@example.com").await.grant();
        }
        service.kill();
        receiver.start_again();
        service.start_again();
        let logins = receiver.wait_for(5, |webhook| webhook.tells_of("login"), AFTER_LEASE).await;
        let events: BTreeSet<_> = logins.iter().map(|webhook| webhook.event()["id"].to_string()).collect();
        assert_eq!(events.len(), 5, "{logins:#?}");
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_holds_up_no_other() {
    let both =
        |receiver: &WebhookReceiver| receiver.endpoint("slow", "/slow", "") + &receiver.endpoint("fast", "/fast", "");
    on_both(both, async |_, client, receiver| {
        receiver.hold("/slow");
        client.register("ada@example.com").await.grant();
        receiver.wait_for(1, |webhook| webhook.path == "/slow", SOON).await;
        for _ in 0..30 {
            let before = Instant::now();
            client.log_in("ada@example.com").await.grant();
            assert!(before.elapsed() < Duration::from_secs(5), "a login waited for a webhook");
        }
        receiver.wait_for(31, |webhook| webhook.path == "/fast", SOON).await;
        receiver.release();
        let is_slow_login = |webhook: &ReceivedWebhook| webhook.path == "/slow" && webhook.tells_of("login");
        receiver.wait_for(30, is_slow_login, AFTER_RETRIES).await;
    })
    .await;
}

#[tokio::test]
async fn a_node_delivers_what_another_leased_and_died_with() {
    let receiver = WebhookReceiver::start();
    receiver.hold("/hook");
    let mut one = Service::start_with_file(Database::Postgres, &one_endpoint(&receiver), &[]);
    let client = Client::new(&one.url());
    client.register("ada@example.com").await.grant();
    client.log_in("ada@example.com").await.grant();
    // Held by an endpoint that does not answer, and so leased.
    receiver.wait_for(1, |_| true, SOON).await;
    one.kill();
    receiver.release();
    let killed = Instant::now();
    let other = one.another_node();
    for kind in ["key_rotate", "register", "login"] {
        let delivered = |webhook: &ReceivedWebhook| webhook.tells_of(kind) && webhook.at > killed;
        let delivered = receiver.wait_for(1, delivered, AFTER_LEASE).await;
        assert!(delivered[0].verifies(WEBHOOK_SECRET, unix_seconds()));
    }
    wait_until_listed(&other, "a delivered webhook is still listed", <[Value]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_deliver_each_webhook_once() {
    let receiver = WebhookReceiver::start();
    let one = Service::start_with_file(Database::Postgres, &one_endpoint(&receiver), &[]);
    let other = one.another_node();
    let nodes = [Client::new(&one.url()), Client::new(&other.url())];
    let registering: Vec<_> = (0..40)
        .map(|n| {
            let client = nodes[n % 2].clone();
            tokio::spawn(async move { client.register(&format!("ada{n}@example.com")).await.status.as_u16() })
        })
        .collect();
    let mut expected = 0;
    for task in registering {
        let status = task.await.unwrap();
        assert!(matches!(status, 201 | 503), "{status}");
        expected += usize::from(status == 201);
    }
    receiver.wait_for(expected, |webhook| webhook.tells_of("register"), AFTER_RETRIES).await;
    // Whoever holds a second copy is about to send it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let received = receiver.received();
    let count = |name: &str| {
        let values = received.iter().map(|webhook| match name {
            "event" => webhook.event()["id"].to_string(),
            _ => webhook.id().to_owned(),
        });
        values.collect::<BTreeSet<_>>().len()
    };
    assert_eq!((count("id"), count("event")), (received.len(), received.len()), "something was delivered twice");
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_kept_and_shown_and_tried_again_when_an_operator_says_so() {
    on_both(one_endpoint, async |service, client, receiver| {
        receiver.answer("/hook", 410);
        client.register("ada@example.com").await.grant();
        let dead = wait_until_listed(service, "there is no dead letter", |listed| {
            listed.iter().any(|webhook| webhook["event"]["type"] == "register" && webhook["state"] == "dead")
        })
        .await;
        let dead = dead.iter().find(|webhook| webhook["event"]["type"] == "register").unwrap();
        assert!(dead["last_error"].as_str().unwrap().contains("410"), "{dead}");
        assert!(dead["due_at"].is_null() && dead["endpoint"] == "audit", "{dead}");
        let id = dead["id"].as_str().unwrap();
        assert!(service.succeed(&["webhooks", "show", id]).contains("410"));
        assert!(service.succeed(&["webhooks", "list"]).contains(id));
        let tried = receiver.received().iter().filter(|webhook| webhook.id() == id).count();
        assert_eq!(tried, 1, "a dead letter was tried again");

        service.succeed(&["webhooks", "retry", id]);
        receiver.wait_for(2, |webhook| webhook.id() == id, SOON).await;
        let started = Instant::now();
        // The attempt has to be written down before the webhook can go.
        while !service.command(&["webhooks", "drop", id]).status.success() {
            assert!(started.elapsed() < SOON, "it cannot be dropped");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!service.command(&["webhooks", "show", id]).status.success(), "a dropped webhook was found");
        assert_eq!(service.command(&["webhooks", "show", "7"]).status.code(), Some(2));
    })
    .await;
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let receiver = WebhookReceiver::start();
    let service = Service::start_with_file(Database::Sqlite, &one_endpoint(&receiver), &[]);
    receiver.answer("/hook", 307);
    Client::new(&service.url()).register("ada@example.com").await.grant();
    let refused = |listed: &[Value]| listed.iter().any(|webhook| webhook["last_error"].as_str().is_some());
    let listed = wait_until_listed(&service, "nothing was refused", refused).await;
    let error = listed.iter().find_map(|webhook| webhook["last_error"].as_str()).unwrap();
    assert!(error.contains("307") && error.contains("redirect"), "{error}");
    assert!(receiver.received().iter().all(|webhook| webhook.path == "/hook"));
}
