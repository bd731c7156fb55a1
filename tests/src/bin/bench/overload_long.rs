//! Minutes of log-ins at ten times what can be hashed, from ten thousand addresses at a thousand accounts, with every
//! throttle as it is by default; beside them token-checked requests, and the service's memory.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, PASSWORD, Service};
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::accounts::{self, Standing};
use super::{figure, logins, memory_mib, quantile, runtime};

pub(crate) const NAME: &str = "overload_long";

const ACCOUNTS: u32 = 1_000;
const ADDRESSES: u32 = 10_000;
/// How long one of the token-checked requests is after the one before.
const PAUSE: Duration = Duration::from_millis(5);
/// From how many addresses those come, so that none asks more than one may.
const AT_HOME: u32 = 16;
/// How long it is looked whether the service has recovered.
const AFTERWARDS: Duration = Duration::from_secs(30);
/// An idle p99 under this says more of the machine's mood than of the service.
const LEAST_P99: Duration = Duration::from_millis(2);
const WINDOW: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// What the tests switch off, as it is by default, behind one proxy.
const SETTINGS: [(&str, &str); 11] = [
    ("LIMITS__LOGIN_BY_CLIENT", "100/1h"),
    ("LIMITS__REGISTER_BY_CLIENT", "20/1h"),
    ("LIMITS__MAIL_BY_CLIENT", "30/1h"),
    ("LIMITS__TOKEN_BY_CLIENT", "60/15m"),
    ("LIMITS__REFRESH_BY_CLIENT", "600/1m"),
    ("LIMITS__REFRESH_BY_SESSION", "60/1m"),
    ("LIMITS__REQUESTS_BY_CLIENT", "6000/1m"),
    ("TRUSTED_PROXIES", "127.0.0.1"),
    ("REGISTRATION__MODE", "verified"),
    // One token lasts for the whole of it.
    ("TOKENS__ACCESS_TTL", "24h"),
    ("LOG__LEVEL", "warn,doorward::command=info"),
];

/// A token-checked request: when it was begun, counted from the start, and how long it took.
type Sample = (Duration, Duration);

pub(crate) fn run() {
    let minutes = std::env::var("DOORWARD_MINUTES").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let span = MINUTE * minutes;
    let capacity = logins::bare_hashes(std::thread::available_parallelism().unwrap().get());
    let service = Service::start(Database::Sqlite, &SETTINGS);
    let client = Client::new(&service.url());
    let runtime = runtime();
    let token = runtime.block_on(async {
        let people: Vec<_> = (0..ACCOUNTS).map(|n| (email(n), Standing::Verified)).collect();
        accounts::insert(&service, &people).await;
        log_in(&client, 0, PASSWORD, at_home(0)).await.unwrap().grant().access_token
    });
    let refused = AtomicU32::new(0);
    let idle = runtime.block_on(checked(&client, &token, Duration::from_secs(10), &refused));
    let idle_p99 = p99(&idle, Duration::ZERO, Duration::MAX).unwrap().max(LEAST_P99);
    println!("token-checked request, idle: p99 {idle_p99:.2?}, or {LEAST_P99:?} where it is less");

    let offered = capacity * 10.0;
    let outcomes = Arc::new(Mutex::new(BTreeMap::<u16, Vec<Duration>>::new()));
    let (samples, memory, ended) = runtime.block_on(async {
        let begun = Instant::now();
        let flood = async {
            flood(&client, offered, span, &outcomes).await;
            begun.elapsed()
        };
        let (samples, memory, ended) =
            tokio::join!(checked(&client, &token, span + AFTERWARDS, &refused), memory(service.pid(), span), flood);
        (samples, memory, ended)
    });
    println!("log-ins offered: {offered:.0}/s for {minutes} min, capacity {capacity:.0}/s");
    for (status, mut times) in std::mem::take(&mut *outcomes.lock().unwrap()) {
        let (count, p50, worst) = (times.len(), quantile(&mut times, 0.5), quantile(&mut times, 1.0));
        let status = if status == 0 { "with nothing".to_owned() } else { status.to_string() };
        println!("log-ins answered {status}: {count}, p50 {p50:.1?}, slowest {worst:.1?}");
    }
    for minute in 0..minutes {
        let p99 = p99(&samples, MINUTE * minute, MINUTE * (minute + 1)).unwrap_or_default();
        println!("token-checked request, minute {}: p99 {p99:.2?} (goal: p99 under 10 ms)", minute + 1);
    }
    println!("token-checked requests refused: {} of {} (goal: 0)", refused.into_inner(), samples.len() + idle.len());
    report_memory(&memory);
    match recovery(&samples, ended, idle_p99) {
        Some(after) => figure("back at the idle p99 after", after.as_secs_f64(), " s", "within 10 s"),
        None => println!("back at the idle p99: not within {AFTERWARDS:?} (goal: within 10 s)"),
    }
}

fn email(account: u32) -> String {
    format!("user-{account}@example.com")
}

fn attacker(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + n % ADDRESSES)
}

fn at_home(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(203, 0, 113, 0).to_bits() + n % AT_HOME)
}

async fn log_in(
    client: &Client,
    account: u32,
    password: &str,
    from: Ipv4Addr,
) -> Result<doorward_tests::Answer, reqwest::Error> {
    let body = json!({ "email": email(account), "password": password });
    let headers = [("x-forwarded-for", from.to_string())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    client.send(Method::POST, "/api/auth/login", &headers, Some(&body)).await
}

/// Token-checked requests, begun at fixed moments whether or not the one before has been answered.
async fn checked(client: &Client, token: &str, span: Duration, refused: &AtomicU32) -> Vec<Sample> {
    let started = Instant::now();
    let bearer = format!("Bearer {token}");
    let (mut requests, mut samples) = (JoinSet::new(), Vec::new());
    let mut take = |(sample, is_good): (Sample, bool)| {
        refused.fetch_add(u32::from(!is_good), Ordering::Relaxed);
        samples.push(sample);
    };
    for n in 0.. {
        let due = PAUSE * n;
        if due > span {
            break;
        }
        tokio::time::sleep_until((started + due).into()).await;
        let (client, bearer, from) = (client.clone(), bearer.clone(), at_home(n).to_string());
        requests.spawn(async move {
            let headers = [("authorization", bearer.as_str()), ("x-forwarded-for", from.as_str())];
            let begun = Instant::now();
            let answer = client.send(Method::GET, "/api/auth/me", &headers, None).await;
            let is_good = answer.is_ok_and(|answer| answer.status.is_success());
            ((begun.duration_since(started), begun.elapsed()), is_good)
        });
        while let Some(done) = requests.try_join_next() {
            take(done.unwrap());
        }
    }
    while let Some(done) = requests.join_next().await {
        take(done.unwrap());
    }
    samples
}

/// Log-ins at a fixed rate, whatever becomes of them; of each account with the right password and a wrong one in turn.
/// Ends when the last has been sent; how each went is noted as it comes.
async fn flood(client: &Client, rate: f64, span: Duration, outcomes: &Arc<Mutex<BTreeMap<u16, Vec<Duration>>>>) {
    let started = Instant::now();
    let mut sent = 0_u32;
    while started.elapsed() < span {
        let due = (started.elapsed().as_secs_f64() * rate) as u32;
        while sent < due {
            let n = sent;
            sent += 1;
            let (client, outcomes) = (client.clone(), Arc::clone(outcomes));
            tokio::spawn(async move {
                let is_right = (n / ACCOUNTS).is_multiple_of(2);
                let password = if is_right { PASSWORD } else { "a wrong password, at any rate" };
                let begun = Instant::now();
                // A step without a common divisor reaches every address.
                let answer = log_in(&client, n % ACCOUNTS, password, attacker(n.wrapping_mul(4_999))).await;
                let status = answer.map_or(0, |answer| answer.status.as_u16());
                outcomes.lock().unwrap().entry(status).or_default().push(begun.elapsed());
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// What is resident, in MiB, each ten seconds after the first minute; with the minutes since the start.
async fn memory(pid: u32, span: Duration) -> Vec<(f64, f64)> {
    let started = Instant::now();
    let mut samples = Vec::new();
    // A shorter run is looked at from its first half on.
    let mut due = MINUTE.min(span / 2);
    while due < span {
        tokio::time::sleep_until((started + due).into()).await;
        samples.push((started.elapsed().as_secs_f64() / 60.0, memory_mib(pid, "VmRSS")));
        due += Duration::from_secs(10);
    }
    samples
}

fn report_memory(samples: &[(f64, f64)]) {
    let (least, most) =
        samples.iter().fold((f64::MAX, 0.0_f64), |(least, most), (_, mib)| (least.min(*mib), most.max(*mib)));
    println!("resident memory after the first minute: {least:.1} MiB at least, {most:.1} MiB at most");
    let drift = slope(&samples[samples.len() / 2..]);
    figure("drift of memory in the second half", drift, " MiB/min", "under 0.2 MiB/min");
}

/// How steep the straight line is that lies nearest to these points.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let alone: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    together / alone
}

/// How long after the flood's end the first window ends whose p99 is no more than this.
fn recovery(samples: &[Sample], ended: Duration, idle_p99: Duration) -> Option<Duration> {
    const STEP: Duration = Duration::from_millis(100);
    let starts = (0..).map(|n| STEP * n).take_while(|start| *start + WINDOW <= AFTERWARDS);
    let mut back =
        starts.filter(|start| p99(samples, ended + *start, ended + *start + WINDOW).is_some_and(|p99| p99 <= idle_p99));
    back.next().map(|start| start + WINDOW)
}

/// The p99 of the requests begun between two moments.
fn p99(samples: &[Sample], from: Duration, until: Duration) -> Option<Duration> {
    let begun = samples.iter().filter(|(begun, _)| (from..until).contains(begun));
    let mut times: Vec<Duration> = begun.map(|(_, took)| *took).collect();
    (!times.is_empty()).then(|| quantile(&mut times, 0.99))
}
