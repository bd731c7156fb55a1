//! Against a plain server on loopback.

use std::net::SocketAddr;
use std::time::Instant;

use doorward_domain::WebhookId;
use uuid::Uuid;

use super::*;
use crate::testing::{Answer, ScriptedLookup, Server};

fn webhook() -> SignedWebhook {
    SignedWebhook {
        id: WebhookId::from_uuid(Uuid::from_u128(7)),
        timestamp: 1_800_000_000,
        signature: "v1,c2lnbmF0dXJl".to_owned(),
        body: "{\"type\":\"login\",\"user_agent\":\"a – b\"}".to_owned(),
    }
}

/// Short enough for a test to wait for, long enough for a busy machine.
fn limits() -> Limits {
    let short = Duration::from_millis(700);
    Limits { connect: short, total: short, body: Duration::from_millis(300) }
}

/// The way to a server on this machine, by its address.
fn to(server: &Server) -> HttpTransport {
    let target = Target::parse(&format!("http://{}/hook?key=Sesame", server.address), true).unwrap();
    HttpTransport::with(target, Arc::new(SystemLookup), limits()).unwrap()
}

/// The way to a port of whatever a name means.
fn by_name(reach: Reach, port: u16, lookup: &Arc<ScriptedLookup>) -> HttpTransport {
    let url = Url::parse(&format!("http://receiver.invalid:{port}/hook?key=Sesame")).unwrap();
    HttpTransport::with(Target { url, reach }, Arc::<ScriptedLookup>::clone(lookup), limits()).unwrap()
}

fn assert_unreachable(outcome: Result<(), WebhookError>) -> String {
    let Err(WebhookError::Unreachable(text)) = outcome else { panic!("{outcome:?}") };
    assert!(!text.contains("Sesame") && !text.contains("/hook"), "the URL is repeated: {text}");
    text
}

#[tokio::test]
async fn a_webhook_is_posted_with_its_headers_and_its_body() {
    for status in ["200 OK", "201 Created", "204 No Content"] {
        let server = Server::answering(status).await;
        to(&server).send(&webhook()).await.unwrap();

        let requests = server.requests();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook?key=Sesame HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        for header in [
            "content-type: application/json",
            "webhook-id: 00000000-0000-0000-0000-000000000007",
            "webhook-timestamp: 1800000000",
            "user-agent: doorward-webhooks/",
        ] {
            assert!(head.contains(header), "{header} is missing: {head}");
        }
        assert!(request.contains("webhook-signature: v1,c2lnbmF0dXJl\r\n"), "{request}");
        assert_eq!(body, webhook().body);
    }
}

#[tokio::test]
async fn a_status_says_whether_to_try_again() {
    for (status, permanent) in [
        ("400 Bad Request", false),
        ("401 Unauthorized", false),
        ("404 Not Found", false),
        ("410 Gone", true),
        ("429 Too Many Requests", false),
        ("500 Internal Server Error", false),
        ("503 Service Unavailable", false),
    ] {
        let server = Server::answering(status).await;
        let outcome = to(&server).send(&webhook()).await;
        let text = match outcome {
            Err(WebhookError::Permanent(text)) if permanent => text,
            Err(WebhookError::Temporary(text)) if !permanent => text,
            other => panic!("{status}: {other:?}"),
        };
        assert!(text.contains(status), "{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering("200 OK").await;
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let server = Server::answering(&format!("{status}\r\nLocation: http://{}/", elsewhere.address)).await;
        let outcome = to(&server).send(&webhook()).await;
        assert!(matches!(&outcome, Err(WebhookError::Temporary(text)) if text.contains("redirect")), "{outcome:?}");
        assert_eq!(server.requests().len(), 1, "{status}");
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_given_up_in_time() {
    let server = Server::start(Answer::Silence).await;
    let started = Instant::now();
    let text = assert_unreachable(to(&server).send(&webhook()).await);
    assert!(started.elapsed() < limits().total * 4, "{:?}", started.elapsed());
    assert!(text.contains("timed out"), "{text}");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_taken_by_its_status_and_cut() {
    let server = Server::start(Answer::Endless).await;
    let transport = to(&server);
    transport.send(&webhook()).await.unwrap();
    server.cut.notified().await;
}

#[tokio::test]
async fn an_answer_whose_body_does_not_come_is_taken_by_its_status() {
    let server = Server::start(Answer::Withheld).await;
    let started = Instant::now();
    to(&server).send(&webhook()).await.unwrap();
    assert!(started.elapsed() < limits().total, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::answering("200 OK").await;
    let transport = to(&server);
    for _ in 0..5 {
        transport.send(&webhook()).await.unwrap();
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_unreachable() {
    let server = Server::answering("200 OK").await;
    let SocketAddr::V4(mut address) = server.address else { panic!("{}", server.address) };
    // Nobody listens on this address of the machine.
    address.set_ip([127, 7, 7, 7].into());
    let target = Target::parse(&format!("http://{address}/hook?key=Sesame"), true).unwrap();
    let transport = HttpTransport::with(target, Arc::new(SystemLookup), limits()).unwrap();
    assert_unreachable(transport.send(&webhook()).await);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    // It speaks no TLS at all, so there is none.
    let server = Server::answering("200 OK").await;
    let target = Target::parse(&format!("https://{}/hook?key=Sesame", server.address), true).unwrap();
    let transport = HttpTransport::with(target, Arc::new(SystemLookup), limits()).unwrap();
    assert_unreachable(transport.send(&webhook()).await);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_name_is_reached_at_the_addresses_that_were_looked_up() {
    let server = Server::answering("200 OK").await;
    for reach in [Reach::Anywhere, Reach::ThisMachine] {
        let lookup = ScriptedLookup::new(&[&["127.0.0.1"]]);
        by_name(reach, server.address.port(), &lookup).send(&webhook()).await.unwrap();
        assert_eq!(lookup.asked(), 1, "what was checked was looked up again");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_name_with_private_addresses_alone_is_not_connected_to() {
    let server = Server::answering("200 OK").await;
    for addresses in [&["127.0.0.1"][..], &["::ffff:127.0.0.1"], &["127.0.0.1", "10.0.0.1", "::1"], &[]] {
        let lookup = ScriptedLookup::new(&[addresses]);
        let outcome = by_name(Reach::Public, server.address.port(), &lookup).send(&webhook()).await;
        let text = assert_unreachable(outcome);
        assert!(text.contains("allow_private"), "{addresses:?}: {text}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn what_is_sent_in_the_clear_does_not_leave_the_machine() {
    let lookup = ScriptedLookup::new(&[&["192.0.2.1", "1.1.1.1", "10.0.0.1"]]);
    let text = assert_unreachable(by_name(Reach::ThisMachine, 80, &lookup).send(&webhook()).await);
    assert!(text.contains("allow_private"), "{text}");
}

#[tokio::test]
async fn a_name_that_means_something_else_the_next_time_does_not_lead_inside() {
    let server = Server::answering("200 OK").await;
    // Public at first, although nobody has been given it, then this machine, then both.
    let public = "3000::1";
    let lookup = ScriptedLookup::new(&[&[public], &["127.0.0.1"], &[public, "127.0.0.1"], &["127.0.0.1", public]]);
    let transport = by_name(Reach::Public, server.address.port(), &lookup);
    for _ in 0..5 {
        assert_unreachable(transport.send(&webhook()).await);
    }
    assert_eq!(lookup.asked(), 5, "a name is looked up for each connection");
    assert_eq!(server.connections(), 0);
}
