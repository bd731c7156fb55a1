//! Every option of `webhooks` changes behaviour; a wrong or unknown one stops the start with its name.

use std::process::Output;
use std::time::Duration;

use doorward_domain::EventKind;
use doorward_tests::service::{FILE_MAIL, MASTER_KEY, binary};
use doorward_tests::webhook_receiver::{WEBHOOK_SECRET, WebhookReceiver};
use doorward_tests::{Client, Database, Service};

/// How long a webhook may take that nothing holds up.
const SOON: Duration = Duration::from_secs(15);

/// What `check-config` says of a file, with these further variables.
fn check(file: &str, variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("doorward.toml"), file).unwrap();
    let needed = [
        ("PUBLIC_URL", "https://auth.example.com"),
        ("DATABASE__URL", "sqlite:doorward.db"),
        ("SECRETS__MASTER_KEY", MASTER_KEY),
    ];
    std::process::Command::new(binary())
        .args(["check-config", "--config", "doorward.toml"])
        .env_clear()
        .envs(
            needed.iter().chain(&FILE_MAIL).chain(variables).map(|(name, value)| (format!("DOORWARD__{name}"), value)),
        )
        .current_dir(folder.path())
        .output()
        .unwrap()
}

/// An endpoint in which these lines take the place of those that begin alike.
fn endpoint(changes: &[&str]) -> String {
    let usual =
        ["name = \"audit\"", "url = \"https://hooks.example.com/doorward\"", &format!("secret = \"{WEBHOOK_SECRET}\"")]
            .map(str::to_owned);
    let option = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let kept = usual.iter().filter(|line| !changes.iter().any(|change| option(change) == option(line)));
    // A change without a value takes the line away.
    let changed = changes.iter().filter(|change| change.contains('='));
    let lines: Vec<&str> = kept.map(String::as_str).chain(changed.copied()).collect();
    format!("[[webhooks]]\n{}\n", lines.join("\n"))
}

#[test]
fn what_is_missing_unknown_or_unsafe_stops_the_start_by_name() {
    for sound in [
        endpoint(&[]),
        endpoint(&["events = [\"login\", \"refresh\"]"]),
        endpoint(&["events = [\"*\"]"]),
        endpoint(&["url = \"https://10.0.0.1/\"", "allow_private = true"]),
        endpoint(&["url = \"http://localhost:8080/\"", "allow_private = true"]),
        endpoint(&[]) + &endpoint(&["name = \"other\""]),
    ] {
        let output = check(&sound, &[]);
        assert!(output.status.success(), "{sound}: {output:?}");
    }
    let twice = format!("secret = \"{WEBHOOK_SECRET}\"\nsecret_file = \"secret\"");
    for (file, option) in [
        (endpoint(&["name"]), "webhooks[0].name"),
        (endpoint(&["name = \"\""]), "webhooks[0].name"),
        (endpoint(&["name = \"Audit Log\""]), "webhooks[0].name"),
        (endpoint(&[&format!("name = \"{}\"", "a".repeat(65))]), "webhooks[0].name"),
        (endpoint(&[]) + &endpoint(&[]), "webhooks[1].name"),
        (endpoint(&["url"]), "webhooks[0].url"),
        (endpoint(&["url = \"hooks.example.com\""]), "webhooks[0].url"),
        (endpoint(&["url = \"http://hooks.example.com/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"http://hooks.example.com/\"", "allow_private = true"]), "webhooks[0].url"),
        (endpoint(&["url = \"http://127.0.0.1:8080/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"https://127.0.0.1/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"https://localhost/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"https://0xa9fea9fe/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"https://[::ffff:10.0.0.1]/\""]), "webhooks[0].url"),
        (endpoint(&["url = \"https://ada:TheSecretOfAda@hooks.example.com/\""]), "webhooks[0].url"),
        (endpoint(&["secret"]), "webhooks[0].secret"),
        (endpoint(&["secret = \"changeme\""]), "webhooks[0].secret"),
        (endpoint(&["secret = \"c2hvcnQ=\""]), "webhooks[0].secret"),
        (endpoint(&["secret = \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""]), "webhooks[0].secret"),
        (endpoint(&["secret", "secret_file = \"/nonexistent\""]), "webhooks[0].secret_file"),
        (endpoint(&["secret", &twice]), "webhooks[0].secret"),
        (endpoint(&["events = []"]), "webhooks[0].events"),
        (endpoint(&["events = [\"login\", \"dance\"]"]), "webhooks[0].events"),
        (endpoint(&["allow_private = \"perhaps\""]), "allow_private"),
        (endpoint(&["colour = \"blue\""]), "colour"),
        ("webhooks = \"https://hooks.example.com\"".to_owned(), "webhooks"),
    ] {
        let output = check(&file, &[]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{file}: {complaint}");
        assert!(complaint.contains(option), "{file}: {complaint}");
        assert!(!complaint.contains(WEBHOOK_SECRET) && !complaint.contains("TheSecretOfAda"), "{complaint}");
    }
}

#[test]
fn the_environment_cannot_give_them_and_says_so() {
    for name in ["WEBHOOKS", "WEBHOOKS__0__URL", "WEBHOOKS__NAME"] {
        for file in ["", &endpoint(&[])] {
            let output = check(file, &[(name, "https://hooks.example.com")]);
            let complaint = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{name}: {complaint}");
            assert!(
                complaint.contains("`webhooks`") && complaint.contains("configuration file"),
                "{name}: {complaint}"
            );
        }
    }
}

#[tokio::test]
async fn name_events_secret_and_url_decide_who_is_told_of_what_and_how() {
    const OTHER_SECRET: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQZk1yb3VnaGx5UmFuZG9t";
    let receiver = WebhookReceiver::start();
    let secrets = tempfile::tempdir().unwrap();
    let path = secrets.path().join("secret");
    std::fs::write(&path, format!("{OTHER_SECRET}\n")).unwrap();
    let some = receiver
        .endpoint("some", "/some", "events = [\"logout\", \"register\"]")
        .replace(&format!("secret = \"{WEBHOOK_SECRET}\""), &format!("secret_file = \"{}\"", path.display()));
    let file = receiver.endpoint("all", "/all", "") + &some;
    let service = Service::start_with_file(Database::Sqlite, &file, &[]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    let grant = client.log_in("ada@example.com").await.grant();
    client.log_out(&grant.access_token).await.answered(204);

    receiver.wait_for(1, |webhook| webhook.path == "/all" && webhook.tells_of("login"), SOON).await;
    receiver.wait_for(1, |webhook| webhook.path == "/all" && webhook.tells_of("logout"), SOON).await;
    let some = receiver.wait_for(2, |webhook| webhook.path == "/some", SOON).await;
    for webhook in &some {
        let now = webhook.header("webhook-timestamp").parse().unwrap();
        assert!(!webhook.tells_of("login"), "{webhook:?}");
        assert!(webhook.verifies(OTHER_SECRET, now) && !webhook.verifies(WEBHOOK_SECRET, now), "{webhook:?}");
    }
}

#[tokio::test]
async fn what_waits_for_an_endpoint_that_is_no_longer_configured_waits_and_says_so() {
    let mut receiver = WebhookReceiver::start();
    receiver.stop();
    let mut service = Service::start_with_file(Database::Sqlite, &receiver.endpoint("audit", "/hook", ""), &[]);
    Client::new(&service.url()).register("ada@example.com").await.grant();
    let started = std::time::Instant::now();
    while !service.succeed(&["webhooks", "list"]).contains("waiting") {
        assert!(started.elapsed() < SOON, "nothing was queued");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    service.terminate();
    service.write_file(&receiver.endpoint("other", "/other", ""));
    assert!(service.succeed(&["webhooks", "list"]).contains("orphaned"));
    service.write_file(&receiver.endpoint("audit", "/hook", ""));
    receiver.start_again();
    service.start_again();
    receiver.wait_for(1, |webhook| webhook.tells_of("register"), Duration::from_secs(60)).await;
}

#[test]
fn the_documented_receiver_is_the_one_that_the_tests_use() {
    let page = include_str!("../../../docs/webhooks.md");
    assert!(page.contains(include_str!("../../src/is_genuine.rs")));
}

#[test]
fn every_kind_of_event_is_documented() {
    let page = include_str!("../../../docs/webhooks.md");
    for kind in EventKind::ALL {
        assert!(page.contains(&format!("`{}`", kind.as_str())), "{} is missing in docs/webhooks.md", kind.as_str());
    }
}
