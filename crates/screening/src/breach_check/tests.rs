//! Against a server on this machine that answers as it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::*;
use crate::testing::password;

/// The password whose SHA-1 is 5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8.
const LISTED: &str = "password";
const PREFIX: &str = "5BAA6";
const SUFFIX: &str = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";
const OTHER: &str = "0018A45C4D1DEF81644B54AB7F969B88D65";

/// A server that sends these bytes to whoever asks, and nothing more, nor an end, where they promise more.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn sending(bytes: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, bytes) = (listener.local_addr().unwrap(), bytes.into());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                seen.lock().unwrap().push(head_of(&stream));
                // Whoever has heard enough may be gone.
                (&stream).write_all(&bytes).unwrap_or_default();
                held.push(stream);
            }
        });
        Self { address, heads }
    }

    fn answering(status: &str, body: &str) -> Self {
        Self::sending(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    fn options(&self) -> BreachCheckOptions {
        options(&format!("http://{}/", self.address))
    }

    /// What it says of a password.
    async fn says(&self, text: &str) -> Result<bool, ScreenUnavailable> {
        says(self.options(), text).await
    }
}

/// The head of a request.
fn head_of(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn options(url: &str) -> BreachCheckOptions {
    BreachCheckOptions::new(Url::parse(url).unwrap())
}

async fn says(options: BreachCheckOptions, text: &str) -> Result<bool, ScreenUnavailable> {
    BreachCheck::new(options).unwrap().is_common(&password(text)).await
}

#[tokio::test]
async fn a_listed_password_is_common_and_another_of_the_same_range_is_not() {
    for (range, common) in [
        (format!("{OTHER}:2\r\n{SUFFIX}:10434004\r\n"), true),
        (format!("{}:1", SUFFIX.to_lowercase()), true),
        (format!("{OTHER}:2\r\n"), false),
        // As often as it is found most: padding must not take it away.
        (format!("{SUFFIX}:5\r\n{SUFFIX}:0\r\n"), true),
    ] {
        assert_eq!(Server::answering("200 OK", &range).says(LISTED).await.unwrap(), common, "{range}");
    }
}

#[tokio::test]
async fn padding_does_not_count() {
    let range = format!("{OTHER}:0\r\n{SUFFIX}:0\r\n");
    assert!(!Server::answering("200 OK", &range).says(LISTED).await.unwrap());
}

#[tokio::test]
async fn a_least_count_decides_what_is_common() {
    let server = Server::answering("200 OK", &format!("{SUFFIX}:7\r\n"));
    for (least, common) in [(1, true), (7, true), (8, false)] {
        let options = BreachCheckOptions { min_count: NonZeroU64::new(least).unwrap(), ..server.options() };
        assert_eq!(says(options, LISTED).await.unwrap(), common, "{least}");
    }
}

#[tokio::test]
async fn five_digits_are_sent_and_padding_is_asked_for() {
    let server = Server::answering("200 OK", &format!("{OTHER}:0"));
    server.says(LISTED).await.unwrap();
    let heads = server.heads.lock().unwrap();
    let head = heads[0].to_lowercase();
    assert!(heads[0].starts_with(&format!("GET /range/{PREFIX} HTTP/1.1\n")), "{head}");
    assert!(head.contains("\nadd-padding: true"), "{head}");
    assert!(head.contains(concat!("\nuser-agent: doorward/", env!("CARGO_PKG_VERSION"))), "{head}");
    assert!(!head.contains(&SUFFIX[..3].to_lowercase()), "{head}");
}

/// Servers that give no answer of any use, and what is said of each.
fn useless() -> Vec<(Server, &'static str)> {
    let slow_body = format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{SUFFIX}:1\r\n");
    let redirect = format!("/range/{PREFIX}");
    let oversized = format!("{OTHER}:1\r\n").repeat(LONGEST / 30);
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {redirect}\r\nContent-Length: 0\r\n\r\n");
    vec![
        (Server::sending(""), "in time"),
        (Server::sending(slow_body), "in time"),
        (Server::answering("500 Internal Server Error", ""), "500"),
        (Server::answering("429 Too Many Requests", &format!("{SUFFIX}:1")), "429"),
        (Server::sending(redirect), "302"),
        (Server::answering("200 OK", &oversized), "longer"),
        (Server::answering("200 OK", "<html>Log in to the wireless network</html>"), "no range"),
        (Server::answering("200 OK", &format!("{SUFFIX}:many")), "no range"),
        (Server::answering("200 OK", SUFFIX), "no range"),
        // There is padding in each answer at least.
        (Server::answering("200 OK", ""), "no range"),
        (Server::answering("200 OK", &format!("{PREFIX}{SUFFIX}:1")), "no range"),
        (Server::sending("SMTP ready\r\n\r\n"), "reached"),
    ]
}

fn impatient(options: BreachCheckOptions, on_failure: OnFailure) -> BreachCheckOptions {
    BreachCheckOptions { timeout: Duration::from_millis(500), on_failure, ..options }
}

/// A service that nobody answers for.
fn down() -> BreachCheckOptions {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options(&format!("http://{address}"))
}

#[tokio::test]
async fn without_an_answer_the_password_is_refused_and_the_reason_names_no_digit() {
    let servers = useless();
    let all = servers.iter().map(|(server, reason)| (server.options(), *reason)).chain([(down(), "reached")]);
    for (options, reason) in all {
        let error = says(impatient(options, OnFailure::Refuse), LISTED).await.unwrap_err();
        let text = format!("{} {error:?}", causes(&error));
        assert!(text.contains(reason), "{reason}: {text}");
        assert!(!text.contains(PREFIX) && !text.contains("1E4C9"), "{text}");
    }
}

#[tokio::test]
async fn without_an_answer_the_password_is_accepted_where_it_is_to_be() {
    let servers = useless();
    for options in servers.iter().map(|(server, _)| server.options()).chain([down()]) {
        assert!(!says(impatient(options, OnFailure::Accept), LISTED).await.unwrap());
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::answering("200 OK", &format!("{SUFFIX}:1"));
    let location = format!("http://{}/range/{PREFIX}", other.address);
    let server = Server::sending(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
    assert!(server.says(LISTED).await.is_err());
    assert!(other.heads.lock().unwrap().is_empty());
}

#[test]
fn digits_of_a_hash_travel_over_https_or_stay_on_this_machine() {
    for (url, sound) in [
        ("https://api.pwnedpasswords.com", true),
        ("https://mirror.example.com/pwned/", true),
        ("http://127.0.0.1:8080", true),
        ("http://[::1]:8080", true),
        ("http://localhost:8080/", true),
        ("http://api.pwnedpasswords.com", false),
        ("http://10.0.0.1", false),
        ("http://localhost.example.com", false),
        ("ftp://localhost", false),
        ("https://ada@example.com", false),
        ("https://example.com/?range", false),
        ("https://example.com/#range", false),
    ] {
        assert_eq!(BreachCheck::new(options(url)).is_ok(), sound, "{url}");
    }
}

#[tokio::test]
async fn a_path_before_the_range_is_kept() {
    let server = Server::answering("200 OK", &format!("{OTHER}:0"));
    says(options(&format!("http://{}/mirror/", server.address)), LISTED).await.unwrap();
    assert!(server.heads.lock().unwrap()[0].starts_with(&format!("GET /mirror/range/{PREFIX} ")));
}
