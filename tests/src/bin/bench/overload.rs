//! Logins offered at ten times capacity, open loop, while token-checked requests come 200 times a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, Service};

use super::{figure, logins, quantile, resident_mib, runtime};

/// How long the overload lasts.
const SPAN: Duration = Duration::from_secs(15);
/// How long one of the token-checked requests is after the one before.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn run() {
    let workers = std::thread::available_parallelism().unwrap().get();
    let capacity = logins::bare_hashes(workers);
    let service = Service::start(Database::Sqlite, &[("LOG__LEVEL", "warn,doorward::command=info")]);
    let client = Client::new(&service.url());
    let runtime = runtime();
    // Refused by its password, so that nothing is hashed yet and the code of a login is in memory all the same.
    runtime.block_on(async {
        let body = serde_json::json!({ "email": "ada@example.com", "password": "password1" });
        client.post("/api/auth/register", &body).await.refused(422, "validation_failed");
    });
    let (base, _) = resident_mib(service.pid());
    let token = runtime.block_on(async { client.register("ada@example.com").await.grant().access_token });

    let idle = runtime.block_on(checked(&client, &token, Duration::from_secs(3)));
    report("token-checked request, idle", idle, "-");

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
    let (after, own) = resident_mib(service.pid());
    let bound = base + workers as f64 * 19.0;
    println!("resident memory before: {base:.1} MiB; after: {after:.1} MiB, {own:.1} of it not mapped from the binary");
    figure("memory / (base + workers x block)", after / bound, "", "at most 1");
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
            let (client, outcomes) = (client.clone(), Arc::clone(&outcomes));
            attempts.push(tokio::spawn(async move {
                let begun = Instant::now();
                let status = client.log_in("ada@example.com").await.status.as_u16();
                outcomes.lock().unwrap().entry(status).or_default().push(begun.elapsed());
            }));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for attempt in attempts {
        attempt.await.unwrap();
    }
}
