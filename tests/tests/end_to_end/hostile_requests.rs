//! Ten thousand malformed requests: no 5xx, nothing hangs, and the service is well afterwards.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Service};

const REQUESTS: usize = 10_000;
const PATHS: &[&str] = &[
    "/api/auth/register",
    "/api/auth/login",
    "/api/auth/refresh",
    "/api/auth/logout",
    "/api/auth/logout-all",
    "/api/auth/me",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/healthz",
    "/readyz",
    "/",
    "//",
    "/api/auth/../auth/me",
    "/%00",
    "/%",
    "*",
    "http://evil.example/api/auth/me",
];
const METHODS: &[&str] =
    &["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", ""];
const FIELDS: &[&str] = &["email", "password", "name", "session", "refresh_token", "roles", "__proto__", ""];
const HEADERS: &[&str] = &[
    "Authorization",
    "Cookie",
    "Origin",
    "Content-Type",
    "Content-Length",
    "Transfer-Encoding",
    "X-Request-Id",
    "X-Forwarded-For",
    "Sec-Fetch-Site",
    "User-Agent",
    "Host",
    "Expect",
    "Connection",
    "Accept",
    "If-Match",
];

/// A good password that stands in every field, names among them. No other test has it, so no search for leaked passwords
/// finds it here.
const ANYWHERE: &str = "a password in whatever field";

/// A small generator of numbers, the same in every run (Knuth's constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// A value as it could stand in JSON, or nearly.
fn json_value(dice: &mut Dice, naughty: &[String]) -> String {
    let text = serde_json::to_string(&naughty[dice.below(naughty.len())]).unwrap();
    match dice.below(14) {
        0..=6 => text,
        7 => format!("[{text}]"),
        8 => format!("{{{text}: {text}}}"),
        9 => "[".repeat(dice.below(300)),
        10 => {
            dice.pick(&["null", "true", "0", "-1e999", "1E400", "NaN", "0x1", "\"\\ud800\"", "\"\\u0000\""]).to_owned()
        }
        11 => format!("\"{}\"", "x".repeat(dice.below(3_000))),
        12 => format!("\"{ANYWHERE}\""),
        _ => format!("\"a{}@example.com\"", dice.below(50)),
    }
}

fn body(dice: &mut Dice, naughty: &[String]) -> Vec<u8> {
    match dice.below(10) {
        0 => Vec::new(),
        1 => {
            let length = dice.below(400);
            dice.bytes(length)
        }
        2 => naughty[dice.below(naughty.len())].clone().into_bytes(),
        _ => {
            let fields: Vec<String> = (0..dice.below(5))
                .map(|_| format!("\"{}\":{}", dice.pick(FIELDS), json_value(dice, naughty)))
                .collect();
            let mut text = format!("{{{}}}", fields.join(",")).into_bytes();
            if dice.below(6) == 0 {
                text.truncate(dice.below(text.len() + 1));
            }
            if dice.below(6) == 0 && !text.is_empty() {
                let at = dice.below(text.len());
                text[at] = dice.bytes(1)[0];
            }
            text
        }
    }
}

fn request(dice: &mut Dice, naughty: &[String]) -> Vec<u8> {
    if dice.below(50) == 0 {
        let length = dice.below(2_000);
        return dice.bytes(length);
    }
    let body = body(dice, naughty);
    let mut request = format!("{} {}", dice.pick(METHODS), dice.pick(PATHS)).into_bytes();
    if dice.below(4) == 0 {
        request.extend(b"?");
        request.extend(naughty[dice.below(naughty.len())].replace([' ', '\r', '\n'], "+").as_bytes());
    }
    request.extend(
        dice.pick(&[" HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/9.9\r\n", "\r\n"])
            .as_bytes(),
    );
    request.extend(b"Host: localhost\r\nConnection: close\r\n");
    if dice.below(8) != 0 {
        request.extend(b"Content-Type: application/json\r\n");
    }
    match dice.below(12) {
        0 => request.extend(b"Transfer-Encoding: chunked\r\n"),
        1 => request.extend(format!("Content-Length: {}\r\n", body.len() + 7).as_bytes()),
        2 => request.extend(b"Content-Length: -1\r\n"),
        3 => request.extend(b"Content-Length: 99999999999999999999\r\n"),
        _ => request.extend(format!("Content-Length: {}\r\n", body.len()).as_bytes()),
    }
    for _ in 0..dice.below(4) {
        let value = match dice.below(4) {
            0 => "Bearer ".to_owned() + &"a".repeat(dice.below(200)),
            1 => "doorward=dwr_".to_owned() + &"A".repeat(dice.below(100)),
            _ => naughty[dice.below(naughty.len())].clone(),
        };
        request.extend(dice.pick(HEADERS).as_bytes());
        request.extend(b": ");
        request.extend(value.as_bytes());
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request.extend(body);
    request
}

/// The status of the answer, 0 where the connection was closed without one, and how long it took.
fn send(service: &Service, request: &[u8]) -> (u16, Duration) {
    let started = Instant::now();
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The service may have closed the connection in the middle of nonsense.
    stream.write_all(request).unwrap_or_default();
    stream.shutdown(Shutdown::Write).unwrap_or_default();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| ()).unwrap_or_default();
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    (status.unwrap_or(0), started.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hostile_requests_break_nothing() {
    let naughty: Vec<String> = serde_json::from_str(include_str!("../../data/naughty-strings.json")).unwrap();
    let service = Service::start(Database::Sqlite, &[("HASHING__QUEUE", "10000")]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    let mut slowest = Duration::ZERO;
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u64)
            .map(|worker| {
                let (service, naughty) = (&service, &naughty);
                scope.spawn(move || {
                    let mut dice = Dice(20_261_121 + worker);
                    (0..REQUESTS / 4)
                        .map(|_| {
                            let request = request(&mut dice, naughty);
                            let (status, took) = send(service, &request);
                            (request, status, took)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for worker in workers {
            for (request, status, took) in worker.join().unwrap() {
                *statuses.entry(status).or_default() += 1;
                slowest = slowest.max(took);
                if status >= 500 || took > Duration::from_secs(2) {
                    failures.push((String::from_utf8_lossy(&request).into_owned(), status, took));
                }
            }
        }
    });
    println!("{REQUESTS} hostile requests: {statuses:?}, slowest {slowest:?}");
    assert!(failures.is_empty(), "{} failures, such as {:?}", failures.len(), failures.first());
    assert!(statuses.len() > 5, "the corpus does not reach far: {statuses:?}");
    assert!(client.log_in("ada@example.com").await.status.is_success());
    assert!(!service.log().contains("panicked"), "something panicked");
}
