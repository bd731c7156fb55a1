//! A mail's link and its recipient are nobody's to choose but the operator's and the owner's.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use doorward_tests::smtp::{Received, SmtpSink, link, page};
use doorward_tests::{Client, Database, PASSWORD, Service};
use serde_json::{Value, json};

use crate::mail_steps::{SOON, mail_has_settled, on_both, verified};

/// Sends bytes as they are; returns the status of the answer, 0 for none.
fn send_raw(service: &Service, request: &str) -> u16 {
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| ()).unwrap_or_default();
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    status.unwrap_or(0)
}

fn post(target: &str, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {target} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a request may claim about where it was sent: the target's beginning, the headers, and whether it has to be
/// taken all the same.
fn claims(port: u16) -> Vec<(&'static str, String, bool)> {
    let honest = format!("Host: localhost:{port}\r\n");
    let with = |more: &str| format!("{honest}{more}\r\n");
    vec![
        ("", honest.clone(), true),
        ("", with("X-Forwarded-Host: evil.example"), true),
        ("", with("X-Forwarded-Host: localhost, evil.example"), true),
        ("", with("X-Forwarded-Proto: https"), true),
        ("", with("X-Forwarded-Proto: javascript"), true),
        ("", with("X-Forwarded-Port: 31337"), true),
        ("", with("X-Forwarded-Prefix: //evil.example"), true),
        ("", with("X-Forwarded-Server: evil.example"), true),
        ("", with("X-Original-Host: evil.example"), true),
        ("", with("X-Original-URL: http://evil.example/"), true),
        ("", with("X-Host: evil.example"), true),
        ("", with("Forwarded: for=127.0.0.1;host=evil.example;proto=https"), true),
        ("", with("Referer: http://evil.example/"), true),
        ("", with("Origin: http://evil.example"), false),
        ("", "Host: evil.example\r\n".to_owned(), false),
        ("", format!("Host: evil.example:{port}\r\n"), false),
        ("", format!("Host: localhost:{port}@evil.example\r\n"), false),
        ("", "Host: localhost:@evil.example\r\n".to_owned(), false),
        ("", format!("Host: localhost:{port}\r\nHost: evil.example\r\n"), false),
        ("", "Host: \r\n".to_owned(), false),
        ("", String::new(), false),
        ("http://evil.example", honest.clone(), false),
        ("http://evil.example", "Host: evil.example\r\n".to_owned(), false),
        ("https://localhost:1", honest, false),
    ]
}

fn leads_home(mail: &Received, page: &str, port: u16, claim: &str) {
    let home = format!("http://localhost:{port}{page}?token=");
    assert!(link(mail, page).starts_with(&home), "{claim}: {}", mail.text);
    for foreign in ["evil.example", ":31337", "javascript:", "https://localhost"] {
        let raw = String::from_utf8_lossy(&mail.raw).to_lowercase();
        let found = raw.contains(foreign) || mail.text.contains(foreign) || mail.html.contains(foreign);
        assert!(!found, "{claim}: the mail names {foreign}: {}", mail.text);
    }
}

#[tokio::test]
async fn what_a_request_claims_never_changes_a_link() {
    for trusted in [None, Some("127.0.0.1")] {
        for database in Database::BOTH {
            let sink = SmtpSink::start();
            let settings: Vec<(&str, &str)> = trusted.map(|proxy| ("TRUSTED_PROXIES", proxy)).into_iter().collect();
            let service = Service::start_with_mail(database, &sink, &settings);
            let client = Client::new(&service.url());
            let port = service.address.port();
            let mut taken = 0;
            for (n, (start, headers, must_be_taken)) in claims(port).into_iter().enumerate() {
                let claim = format!("{start} {headers}");
                let address = format!("ada{n}@example.com");
                verified(&client, &sink, &address).await;
                let fresh = format!("new{n}@example.com");
                for (path, email, page, body) in [
                    ("/api/auth/register", &fresh, page::VERIFY_EMAIL, json!({ "email": fresh, "password": PASSWORD })),
                    ("/api/auth/reset-password", &address, page::RESET_PASSWORD, json!({ "email": address })),
                ] {
                    let status = send_raw(&service, &post(&format!("{start}{path}"), &headers, &body));
                    if status == 202 {
                        taken += 1;
                        let mail = sink.wait_for(|mail| mail.is_to(email) && mail.leads_to(page), SOON).await;
                        leads_home(&mail, page, port, &claim);
                    } else {
                        assert!(!must_be_taken, "{claim}: {status}");
                        assert!((400..500).contains(&status), "{claim}: {status}");
                    }
                }
            }
            assert!(taken >= 26, "hardly any request was taken: {taken}");
            // Nor did anything go out later.
            mail_has_settled(&client, &sink, "settled@example.com").await;
            for mail in sink.received() {
                assert!(!String::from_utf8_lossy(&mail.raw).to_lowercase().contains("evil.example"), "{mail:?}");
            }
        }
    }
}

/// Whatever could be read as more than one recipient, or as more than an address.
fn hostile_addresses() -> Vec<Value> {
    let mut addresses: Vec<Value> = [
        "a@x.example,b@y.example",
        "a@x.example, b@y.example",
        "a@x.example;b@y.example",
        "a@x.example b@y.example",
        "a@x.example\r\nBcc: b@y.example",
        "a@x.example\nBcc: b@y.example",
        "a@x.example\rBcc: b@y.example",
        "a\r\n@x.example",
        "a@x.example\r\n.\r\nMAIL FROM:<b@y.example>",
        "a@x.example> SIZE=1\r\nRCPT TO:<b@y.example",
        "a\u{0}@x.example",
        "a@x.example\u{0}",
        "a@x.exam\u{0}ple",
        "a\u{7f}@x.example",
        "a\u{85}@x.example",
        "a@x.example\u{2028}b@y.example",
        "<a@x.example>",
        "Ada <a@x.example>",
        "a@x.example (Ada)",
        "\"a@x.example\"@y.example",
        "@y.example:a@x.example",
        "a@x.example@y.example",
        " a@x.example",
        "a@x.example ",
        "a@x.example\t",
        "\u{430}da@x.example",
        "a\u{200b}@x.example",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@localhost",
    ]
    .map(Value::from)
    .to_vec();
    addresses.extend([
        json!(["a@x.example", "b@y.example"]),
        json!(["a@x.example"]),
        json!([]),
        json!({ "email": "a@x.example" }),
        json!({ "0": "a@x.example", "1": "b@y.example" }),
        json!(null),
        json!(7),
    ]);
    addresses
}

#[tokio::test]
async fn more_than_one_plain_address_is_refused_everywhere() {
    on_both(&[], async |_, client, sink| {
        verified(&client, sink, "ada@example.com").await;
        let grant = client.log_in("ada@example.com").await.grant();
        for address in hostile_addresses() {
            for path in ["/api/auth/register", "/api/auth/verify-email/resend", "/api/auth/reset-password"] {
                let mut body = json!({ "email": address });
                if path.ends_with("register") {
                    body["password"] = json!(PASSWORD);
                }
                let answer = client.post(path, &body).await;
                assert!(answer.status.is_client_error(), "{path} takes {address}: {answer:?}");
            }
            let body = json!({ "email": address, "password": PASSWORD });
            let change = reqwest::Method::POST;
            let answer = client.with_token(change, "/api/auth/change-email", &grant.access_token, Some(&body)).await;
            assert!(answer.status.is_client_error(), "a change to {address}: {answer:?}");
        }
        let twice = "{\"email\":\"a@x.example\",\"email\":\"b@y.example\"}";
        for path in ["/api/auth/verify-email/resend", "/api/auth/reset-password"] {
            let answer = client.post_raw(path, &[], "application/json", twice.to_owned()).await;
            assert!(answer.status.is_client_error(), "{path} takes two: {answer:?}");
        }
        mail_has_settled(&client, sink, "settled@example.com").await;
        let to: Vec<_> = sink.received().into_iter().flat_map(|mail| mail.envelope_to).collect();
        assert_eq!(to, ["ada@example.com", "settled@example.com"], "somebody else was mailed");
    })
    .await;
}

#[tokio::test]
async fn names_are_text_and_add_no_header() {
    on_both(&[], async |_, client, sink| {
        for name in ["a\r\nBcc: b@y.example", "a\nb", "a\rb", "a\u{0}b", "a\u{1b}[31m", "a\u{2028}b", "a\u{85}b"] {
            let body = json!({ "email": "a@x.example", "password": PASSWORD, "name": name });
            client.post("/api/auth/register", &body).await.refused(422, "validation_failed");
        }
        let names = [
            None,
            Some("Ada"),
            Some("Ada Löveläce"),
            Some("Ada <b@y.example>, Eve"),
            Some("\"Ada\" (Eve); b@y.example"),
            Some("=?utf-8?q?Bcc:_b@y.example?="),
            Some("<img src=x onerror=alert(1)>"),
            Some("{{ token }} {% raw %} ${7*7} %0d%0aBcc:b@y.example"),
        ];
        for (n, name) in names.iter().enumerate() {
            let email = format!("ada{n}@example.com");
            let mut body = json!({ "email": email, "password": PASSWORD });
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            client.post("/api/auth/register", &body).await.answered(202);
        }
        sink.wait_until_count(names.len(), SOON).await;
        let mut header_names = std::collections::BTreeSet::new();
        for mail in sink.received() {
            assert_eq!(mail.envelope_to.len(), 1, "{mail:?}");
            assert!(mail.envelope_to[0].ends_with("@example.com"), "{mail:?}");
            assert!(!mail.html.contains("<img src=x"), "a name became markup");
            header_names.insert(mail.headers.iter().map(|(name, _)| name.to_lowercase()).collect::<Vec<_>>());
            for header in ["to", "from", "subject", "date", "message-id", "mime-version", "content-type"] {
                let count = mail.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(header)).count();
                assert_eq!(count, 1, "{header}: {:?}", mail.headers);
            }
            let to = mail.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("to")).unwrap();
            assert!(to.1.contains(&mail.envelope_to[0]) && !to.1.contains("y.example"), "{to:?}");
        }
        assert_eq!(header_names.len(), 1, "a name adds or removes a header: {header_names:?}");
    })
    .await;
}

#[tokio::test]
async fn a_look_alike_address_is_another_account() {
    on_both(&[], async |_, client, sink| {
        verified(&client, sink, "ada@example.com").await;
        // With a Cyrillic a in the domain, and in full width, which is the same domain in another script.
        client.request_reset("ada@ex\u{430}mple.com").await.answered(202);
        client.request_reset("ADA@\u{ff25}xample.com").await.answered(202);
        let mail = sink.wait_for(|mail| mail.leads_to(page::RESET_PASSWORD), SOON).await;
        assert_eq!(mail.envelope_to, ["ada@example.com"]);
        mail_has_settled(&client, sink, "settled@example.com").await;
        let foreign = |mail: &Received| !mail.envelope_to[0].ends_with("@example.com");
        let foreign: Vec<_> = sink.received().into_iter().filter(foreign).collect();
        assert!(foreign.iter().all(|mail| !mail.has_token()), "a look-alike got a link: {foreign:?}");
    })
    .await;
}
