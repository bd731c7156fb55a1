//! A mail server that is down, full, slow, rude or somebody else: no mail is lost, and none waits for another's.

use std::time::{Duration, Instant};

use doorward_tests::smtp::{SmtpSink, certificates, certificates_for, page, token};
use doorward_tests::{Client, Database, Service};
use serde_json::Value;

use crate::mail_steps::{SOON, mail_for, mail_has_settled, on_both, unverified, verified};

/// Time for a few attempts, whose distances double from 1 s.
const AFTER_RETRIES: Duration = Duration::from_secs(30);

/// What `doorward mail list --json` says of this address: every object that names it.
fn listed(service: &Service, address: &str) -> Vec<Value> {
    let output = service.command(&["mail", "list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    // One document, or one a line.
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut found = Vec::new();
    for document in documents {
        objects_naming(&document.unwrap(), address, &mut found);
    }
    found
}

fn objects_naming(value: &Value, address: &str, found: &mut Vec<Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| objects_naming(item, address, found)),
        Value::Object(fields) => {
            if fields.values().any(|field| field.as_str() == Some(address)) {
                found.push(value.clone());
            }
            fields.values().for_each(|field| objects_naming(field, address, found));
        }
        _ => {}
    }
}

#[tokio::test]
async fn a_server_that_is_down_only_delays() {
    for database in Database::BOTH {
        let mut sink = SmtpSink::start();
        let service = Service::start_with_mail(database, &sink, &[]);
        let client = Client::new(&service.url());
        verified(&client, &sink, "bob@example.com").await;
        sink.stop();
        for n in 0..5 {
            client.register(&format!("ada{n}@example.com")).await.answered(202);
        }
        client.request_reset("bob@example.com").await.answered(202);
        assert!(!listed(&service, "ada0@example.com").is_empty(), "a mail that waits is not listed");
        // Long enough for an attempt to have failed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        sink.start_again();
        sink.wait_until_count(1 + 6, AFTER_RETRIES).await;
        for n in 0..5 {
            let mails = sink.received_by(&format!("ada{n}@example.com"));
            assert_eq!(mails.len(), 1, "{mails:?}");
            client.verify_email(&token(&mails[0])).await.answered(204);
        }
        mail_has_settled(&client, &sink, "settled@example.com").await;
        assert_eq!(sink.count(), 1 + 6 + 1, "something was delivered twice");
        assert!(listed(&service, "ada0@example.com").is_empty(), "a delivered mail is still listed");
    }
}

#[tokio::test]
async fn a_temporary_refusal_is_tried_again_and_again() {
    on_both(&[], async |_, client, sink| {
        client.register("ada@temporary.example").await.answered(202);
        sink.wait_for_event("temporary", Some("ada@temporary.example"), 3, AFTER_RETRIES).await;
        // Nobody else waits.
        unverified(&client, sink, "eve@example.com").await;
        sink.accept_temporary();
        let mail = sink.wait_for(|mail| mail.is_to("ada@temporary.example"), AFTER_RETRIES).await;
        client.verify_email(&token(&mail)).await.answered(204);
        mail_has_settled(&client, sink, "settled@example.com").await;
        assert_eq!(sink.received_by("ada@temporary.example").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_permanent_refusal_is_kept_and_shown_and_stops_nobody() {
    on_both(&[], async |service, client, sink| {
        client.register("gone@permanent.example").await.answered(202);
        client.register("ada@temporary.example").await.answered(202);
        unverified(&client, sink, "eve@example.com").await;
        sink.wait_for_event("permanent", Some("gone@permanent.example"), 1, SOON).await;
        // By the time of a third attempt for another a second one for this would have come.
        sink.wait_for_event("temporary", Some("ada@temporary.example"), 3, AFTER_RETRIES).await;
        assert_eq!(sink.count_of("permanent", Some("gone@permanent.example")), 1, "it was tried again");

        let dead = listed(service, "gone@permanent.example");
        assert_eq!(dead.len(), 1, "{dead:?}");
        let text = dead[0].to_string();
        assert!(text.contains("550") || text.contains("No such mailbox"), "the reason is not shown: {text}");
        let waiting = listed(service, "ada@temporary.example");
        assert_eq!(waiting.len(), 1, "{waiting:?}");
        assert!(listed(service, "eve@example.com").is_empty(), "a delivered mail is listed");

        // An operator tries it again, and gives it up.
        let id = dead[0]["id"].as_str().unwrap_or_else(|| panic!("no id: {text}")).to_owned();
        assert!(service.command(&["mail", "show", &id]).status.success());
        assert!(service.command(&["mail", "retry", &id]).status.success());
        sink.wait_for_event("permanent", Some("gone@permanent.example"), 2, SOON).await;
        let started = Instant::now();
        // The attempt has to be written down before the mail can go.
        while !service.command(&["mail", "drop", &id]).status.success() {
            assert!(started.elapsed() < SOON, "it cannot be dropped");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(listed(service, "gone@permanent.example").is_empty());
        assert!(!service.command(&["mail", "retry", &id]).status.success(), "a dropped mail was found");
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_costs_one_copy_and_no_mail() {
    on_both(&[], async |_, client, sink| {
        for n in 0..3 {
            client.register(&format!("ada{n}@dropped.example")).await.answered(202);
        }
        for n in 0..3 {
            let address = format!("ada{n}@dropped.example");
            sink.wait_for_nth(&address, 2, AFTER_RETRIES).await;
        }
        mail_has_settled(&client, sink, "settled@example.com").await;
        for n in 0..3 {
            let copies = sink.received_by(&format!("ada{n}@dropped.example"));
            assert_eq!(copies.len(), 2, "{copies:?}");
            assert_eq!(copies[0].message_id, copies[1].message_id, "the reader cannot tell that it is a copy");
            assert_eq!(token(&copies[0]), token(&copies[1]), "the first copy's link is dead");
            client.verify_email(&token(&copies[0])).await.answered(204);
        }
    })
    .await;
}

#[tokio::test]
async fn a_slow_domain_holds_up_no_other() {
    on_both(&[], async |_, client, sink| {
        for n in 0..8 {
            client.register(&format!("slow{n}@tarpit.example")).await.answered(202);
        }
        sink.wait_for_event("tarpit", None, 1, SOON).await;
        for n in 0..3 {
            let address = format!("ada{n}@example.com");
            client.register(&address).await.answered(202);
            sink.wait_for(|mail| mail.is_to(&address), Duration::from_secs(5)).await;
        }
    })
    .await;
}

/// Nobody is mailed while the service is set up like this; everybody is after it was started again with `right`.
async fn delivers_only_after(
    database: Database,
    sink: &SmtpSink,
    wrong: &[(&str, &str)],
    right: &[(&str, &str)],
    refused: &str,
) {
    let mut service = Service::start_with_mail(database, sink, wrong);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.answered(202);
    client.register("eve@example.com").await.answered(202);
    // The server is reached more than once, and none of the attempts gets further than hello.
    sink.wait_for_event("hello", None, 2, AFTER_RETRIES).await;
    assert_eq!(sink.count(), 0, "{refused} was mailed to");
    assert!(!listed(&service, "ada@example.com").is_empty(), "a mail is lost because of {refused}");

    service.terminate();
    for (name, value) in right {
        service.set(name, value);
    }
    service.start_again();
    let client = Client::new(&service.url());
    for address in ["ada@example.com", "eve@example.com"] {
        let mail = sink.wait_for(|mail| mail.is_to(address), Duration::from_secs(60)).await;
        client.verify_email(&token(&mail)).await.answered(204);
    }
    assert_eq!(sink.count(), 2);
}

#[tokio::test]
async fn a_wrong_certificate_gets_no_mail_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let right = certificates();
    let right_file = file("right.pem", &right.ca_pem);
    let wrong_file = file("wrong.pem", &certificates().ca_pem);
    let (right_ca, wrong_ca) =
        (("MAIL__SMTP__CA_FILE", right_file.as_str()), ("MAIL__SMTP__CA_FILE", wrong_file.as_str()));
    for database in Database::BOTH {
        let sink = SmtpSink::start_with_tls(&right.cert_pem, &right.key_pem);
        delivers_only_after(database, &sink, &[wrong_ca], &[right_ca], "an unknown authority").await;
    }
    // No authority of the operator's own: only those that everybody trusts.
    let sink = SmtpSink::start_with_tls(&right.cert_pem, &right.key_pem);
    delivers_only_after(Database::Sqlite, &sink, &[], &[right_ca], "a self-made authority").await;
}

#[tokio::test]
async fn a_trusted_certificate_of_another_host_gets_no_mail() {
    let folder = tempfile::tempdir().unwrap();
    let other = certificates_for(&["mail.elsewhere.example"]);
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &other.ca_pem).unwrap();
    let sink = SmtpSink::start_with_tls(&other.cert_pem, &other.key_pem);
    let service = Service::start_with_mail(Database::Sqlite, &sink, &[("MAIL__SMTP__CA_FILE", ca.to_str().unwrap())]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.answered(202);
    sink.wait_for_event("hello", None, 2, AFTER_RETRIES).await;
    assert_eq!(sink.count(), 0, "another host's certificate was taken");
    assert!(!listed(&service, "ada@example.com").is_empty());
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_mail_in_clear() {
    for database in Database::BOTH {
        let sink = SmtpSink::start();
        let security = "MAIL__SMTP__SECURITY";
        delivers_only_after(database, &sink, &[(security, "starttls")], &[(security, "none")], "a server in clear")
            .await;
    }
}

#[tokio::test]
async fn mail_goes_through_starttls_when_the_authority_is_the_operators_own() {
    let made = certificates();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &made.ca_pem).unwrap();
    let sink = SmtpSink::start_with_tls(&made.cert_pem, &made.key_pem);
    let service = Service::start_with_mail(Database::Sqlite, &sink, &[("MAIL__SMTP__CA_FILE", ca.to_str().unwrap())]);
    let client = Client::new(&service.url());
    verified(&client, &sink, "ada@example.com").await;
    client.request_reset("ada@example.com").await.answered(202);
    mail_for(&sink, "ada@example.com", page::RESET_PASSWORD).await;
}

#[tokio::test]
async fn a_mail_that_is_being_sent_is_sent_before_the_service_ends() {
    let sink = SmtpSink::start_with(&["--tarpit", "0.5"]);
    let mut service = Service::start_with_mail(Database::Sqlite, &sink, &[]);
    let address = "ada@tarpit.example";
    Client::new(&service.url()).register(address).await.answered(202);
    sink.wait_for_event("tarpit", Some(address), 1, SOON).await;

    assert!(service.terminate().success());

    assert_eq!(sink.received_by(address).len(), 1);
    let left = listed(&service, address);
    assert!(left.is_empty(), "it would be sent again: {left:?}");
}
