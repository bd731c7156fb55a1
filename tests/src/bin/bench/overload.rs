//! Logins offered at ten times capacity, open loop, while token-checked requests come 200 times a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Service};

use super::accounts::{self, Standing};
use super::{closed_loop, figure, logins, memory_mib, quantile, runtime};

/// How long the overload lasts.
const SPAN: Duration = Duration::from_secs(15);
/// How many people log in: for one alone, few passwords are tried at once.
const ACCOUNTS: u32 = 1_000;
/// How long one of the token-checked requests is after the one before.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run() {
    let workers = std::thread::available_parallelism().unwrap().get();
    let capacity = logins::bare_hashes(workers);
    let settings = [("LOG__LEVEL", "warn,doorward::command=info"), ("REGISTRATION__MODE", "verified"), logins::MANY];
    let service = Service::start(Database::Sqlite, &settings);
    let client = Client::new(&service.url());
    let runtime = runtime();
    let before = memory_mib(service.pid(), "VmRSS");
    let token = runtime.block_on(async {
        let mut people: Vec<_> = (0..ACCOUNTS).map(|n| (email(n), Standing::Verified)).collect();
        people.push((logins::EMAIL.to_owned(), Standing::Verified));
        accounts::insert(&service, &people).await;
        client.log_in(logins::EMAIL).await.grant().access_token
    });

    let idle = runtime.block_on(checked(&client, &token, Duration::from_secs(3)));
    report("token-checked request, idle", idle, "-");
    // Every worker has its block once it has hashed, and the queue has been full: what the service needs at its capacity.
    runtime.block_on(closed_loop(vec![client.clone(); 32 * workers], logins::log_in));
    let blocks = workers as f64 * 19.0;
    let base = memory_mib(service.pid(), "VmHWM") - blocks;

    let outcomes = Arc::new(Mutex::new(BTreeMap::<u16, Vec<Duration>>::new()));
    let offered = capacity * 10.0;
    let under_load = runtime.block_on(async {
        let flood = tokio::spawn(flood(client.clone(), offered, Arc::clone(&outcomes)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let samples = checked(&client, &token, SPAN.saturating_sub(Duration::from_secs(2))).await;
        flood.await.unwrap();
        samples
    });
    println!("logins offered: {offered:.0}/s, capacity {capacity:.0}/s");
    report("token-checked request, overloaded", under_load, "p99 under 10 ms");
    for (status, mut times) in std::mem::take(&mut *outcomes.lock().unwrap()) {
        let (count, p50, worst) = (times.len(), quantile(&mut times, 0.5), quantile(&mut times, 1.0));
        let goal = if status == 200 { "served" } else { "refused within 1 s" };
        println!("logins answered {status}: {count}, p50 {p50:.1?}, slowest {worst:.1?} (goal: {goal})");
    }
    let peak = memory_mib(service.pid(), "VmHWM");
    println!("resident memory before the first hash: {before:.1} MiB; at capacity, without blocks: {base:.1} MiB");
    println!("resident memory at most: {peak:.1} MiB, blocks: {blocks:.1} MiB");
    figure("memory / (base + workers x block)", peak / (base + blocks), "", "at most 1");
}

fn email(account: u32) -> String {
    format!("user-{account}@example.com")
}

fn report(what: &str, mut samples: Vec<Duration>, goal: &str) {
    let (p50, p99, worst) = (quantile(&mut samples, 0.5), quantile(&mut samples, 0.99), quantile(&mut samples, 1.0));
    println!("{what}: p50 {p50:.2?}, p99 {p99:.2?}, slowest {worst:.2?} of {} (goal: {goal})", samples.len());
}

/// Token-checked requests, begun at fixed moments whether or not the one before has been answered.
async fn checked(client: &Client, token: &str, span: Duration) -> Vec<Duration> {
    let started = Instant::now();
    let mut requests = Vec::new();
    for n in 0.. {
        let due = started + PAUSE * n;
        if due.duration_since(started) > span {
            break;
        }
        tokio::time::sleep_until(due.into()).await;
        let (client, token) = (client.clone(), token.to_owned());
        requests.push(tokio::spawn(async move {
            let begun = Instant::now();
            assert!(client.me(&token).await.status.is_success());
            begun.elapsed()
        }));
    }
    let mut samples = Vec::new();
    for request in requests {
        samples.push(request.await.unwrap());
    }
    samples
}

/// Logins at a fixed rate, whatever becomes of them.
async fn flood(client: Client, rate: f64, outcomes: Arc<Mutex<BTreeMap<u16, Vec<Duration>>>>) {
    let started = Instant::now();
    let mut sent = 0_u32;
    let mut attempts = Vec::new();
    while started.elapsed() < SPAN {
        let due = (started.elapsed().as_secs_f64() * rate) as u32;
        while sent < due {
            sent += 1;
            let (client, outcomes, email) = (client.clone(), Arc::clone(&outcomes), email(sent % ACCOUNTS));
            attempts.push(tokio::spawn(async move {
                let begun = Instant::now();
                let status = client.log_in(&email).await.status.as_u16();
                outcomes.lock().unwrap().entry(status).or_default().push(begun.elapsed());
            }));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for attempt in attempts {
        attempt.await.unwrap();
    }
}
