//! Two thousand connections that are slow on purpose, beside a client that is not; and requests that are too much.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Service};

use super::{figure, memory_mib, quantile, runtime};

pub(crate) const NAME: &str = "slow";

const CONNECTIONS: usize = 2_000;
const SPAN: Duration = Duration::from_secs(30);
const TURNS: usize = 50;

/// How a connection is slow.
#[derive(Clone, Copy)]
enum Slow {
    Header,
    Body,
    Read,
}

pub(crate) fn run() {
    let service = Service::start(Database::Sqlite, &[("LOG__LEVEL", "warn,doorward::command=info")]);
    let client = Client::new(&service.url());
    let runtime = runtime();
    let token = runtime.block_on(async { client.register("ada@example.com").await.grant().access_token });
    let mut idle = runtime.block_on(asked(&client, &token, Duration::from_secs(10)));
    let before = memory_mib(service.pid(), "VmRSS");
    let idle_p99 = quantile(&mut idle, 0.99);

    let begun = Instant::now();
    let slow: Vec<_> =
        (0..CONNECTIONS).map(|n| begin(service.address, [Slow::Header, Slow::Body, Slow::Read][n % 3])).collect();
    println!("{CONNECTIONS} slow connections opened in {:.1?}", begun.elapsed());
    let dribble = std::thread::spawn(move || dribble(slow));
    let mut beside = runtime.block_on(asked(&client, &token, SPAN));
    let beside_p99 = quantile(&mut beside, 0.99);
    let (open, last) = dribble.join().unwrap();
    println!("p99 of a healthy client: idle {idle_p99:.2?}, beside them {beside_p99:.2?}");
    figure("ratio", beside_p99.as_secs_f64() / idle_p99.as_secs_f64(), "", "at most 2");
    println!("connections still open: {open} (goal: 0), the last was cut after {last:.1?} (goal: under 30 s)");
    let peak = memory_mib(service.pid(), "VmHWM");
    figure("resident memory at most", peak, " MiB", &format!("{before:.0} MiB before"));
    too_much(&service);
}

fn begin(address: SocketAddr, slow: Slow) -> (Slow, TcpStream) {
    let mut stream = TcpStream::connect(address).unwrap();
    let start = match slow {
        Slow::Header => "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ".to_owned(),
        Slow::Body => "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                       Content-Length: 60000\r\n\r\n{\"email\":\""
            .to_owned(),
        // More answers than the two sides can hold between them.
        Slow::Read => "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(400),
    };
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.write_all(start.as_bytes()).unwrap_or_default();
    stream.set_nonblocking(true).unwrap();
    (slow, stream)
}

/// Sends a byte on each twice a second, or takes nothing; how many are still open in the end, and when the last was closed.
///
/// Each in its own turn: clients that are slow by themselves do not send at one and the same moment.
fn dribble(slow: Vec<(Slow, TcpStream)>) -> (usize, Duration) {
    let begun = Instant::now();
    let mut last = Duration::ZERO;
    let mut slow: Vec<_> = slow.into_iter().enumerate().collect();
    for turn in (0..TURNS).cycle() {
        std::thread::sleep(Duration::from_millis(500) / TURNS as u32);
        let before = slow.len();
        slow.retain_mut(|(n, (slow, stream))| *n % TURNS != turn || is_open(*slow, stream));
        if slow.len() < before {
            last = begun.elapsed();
        }
        if slow.is_empty() || begun.elapsed() > SPAN + Duration::from_secs(4) {
            break;
        }
    }
    (slow.len(), last)
}

fn is_open(slow: Slow, stream: &mut TcpStream) -> bool {
    let would_block = |error: &std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
    match slow {
        Slow::Header | Slow::Body => {
            let sent = stream.write(b"x").map_or_else(|error| would_block(&error), |_| true);
            let closed = matches!(stream.read(&mut [0; 4096]), Ok(0));
            sent && !closed
        }
        // Nothing is taken; a reset shows as an error at the next write.
        Slow::Read => {
            stream.write(b"GET /healthz HTTP/1.1\r\n").map_or_else(|error| would_block(&error), |_| true)
                && stream.take_error().is_ok_and(|error| error.is_none())
        }
    }
}

async fn asked(client: &Client, token: &str, span: Duration) -> Vec<Duration> {
    let begun = Instant::now();
    let mut samples = Vec::new();
    while begun.elapsed() < span {
        let asked = Instant::now();
        client.me(token).await.answered(200);
        samples.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    samples
}

/// Requests that are refused: what each costs the service's processor.
fn too_much(service: &Service) {
    let json = "Content-Type: application/json\r\n";
    let post = |headers: &str, body: &str| {
        format!(
            "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let nested = format!("{{\"email\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let password = format!("{{\"email\":\"ada@example.com\",\"password\":\"{}\"}}", "x".repeat(1 << 20));
    let headers = (0..100_000).map(|n| format!("X-{n}: x\r\n")).collect::<Vec<_>>().concat();
    for (what, request) in [
        ("a body of 1 MiB", post(json, &" ".repeat(1 << 20))),
        ("100,000 headers", post(&headers, "{}")),
        ("JSON nested 10,000 deep", post(json, &nested)),
        ("a password of 1 MiB", post(json, &password)),
    ] {
        const TIMES: u32 = 50;
        let before = processor_ms(service.pid());
        let mut status = String::new();
        for _ in 0..TIMES {
            status = refused(service.address, &request);
        }
        let each = (processor_ms(service.pid()) - before) / f64::from(TIMES);
        figure(&format!("{what}: {status}, processor time"), each, " ms", "under 5 ms");
    }
}

fn refused(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // The service may close before it has read all of it.
    stream.write_all(request.as_bytes()).unwrap_or_default();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| ()).unwrap_or_default();
    let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or("closed").to_owned();
    assert!(!line.contains(" 200 ") && !line.contains(" 5"), "{line}");
    line
}

/// What a process has had of the processor.
fn processor_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks * 10.0
}
