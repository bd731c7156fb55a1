//! The benchmark: what Doorward does in relation to what its parts could do at best, in one run on one machine.
//!
//! `cargo run --release -p doorward-tests --bin bench` runs what takes a few minutes; names of parts run those alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints figures, and ends where it cannot go on"
)]

mod accounts;
mod filter;
mod log;
mod logins;
mod mail;
mod overload;
mod overload_long;
mod owned;
mod refreshes;
mod same_time;
mod scale;
mod slow;
mod spray;
mod start;
mod timing;
mod tokens;

use std::future::Future;
use std::time::{Duration, Instant};

/// How long each measurement lasts.
const SPAN: Duration = Duration::from_secs(5);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == tokens::SERVER) {
        return tokens::serve(arguments.get(1).map_or("0", String::as_str));
    }
    if cfg!(debug_assertions) {
        println!("these figures mean nothing; run it with --release");
    }
    let parts: [(&str, fn()); 15] = [
        ("start", start::run),
        ("logins", logins::run),
        ("tokens", tokens::run),
        ("refreshes", refreshes::run),
        ("overload", overload::run),
        ("timing", timing::run),
        ("filter", filter::run),
        (same_time::NAME, same_time::run),
        (scale::NAME, scale::run),
        (owned::NAME, owned::run),
        (mail::NAME, mail::run),
        (log::NAME, log::run),
        (slow::NAME, slow::run),
        (spray::NAME, spray::run),
        (overload_long::NAME, overload_long::run),
    ];
    for (name, run) in parts {
        let long = [
            log::NAME,
            mail::NAME,
            overload_long::NAME,
            owned::NAME,
            same_time::NAME,
            scale::NAME,
            slow::NAME,
            spray::NAME,
        ];
        let short = !long.contains(&name);
        if (arguments.is_empty() && short) || arguments.iter().any(|argument| argument == name) {
            println!("== {name}");
            run();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Takes steps from each state at once, one after the other, for [`SPAN`]; returns the states and the steps a second.
async fn closed_loop<State, Step>(
    states: Vec<State>,
    step: impl Fn(State) -> Step + Clone + Send + 'static,
) -> (Vec<State>, f64)
where
    State: Send + 'static,
    Step: Future<Output = State> + Send,
{
    let started = Instant::now();
    let walks: Vec<_> = states
        .into_iter()
        .map(|mut state| {
            let step = step.clone();
            tokio::spawn(async move {
                let mut steps = 0_u32;
                while started.elapsed() < SPAN {
                    state = step(state).await;
                    steps += 1;
                }
                (state, steps)
            })
        })
        .collect();
    let (mut states, mut steps) = (Vec::new(), 0);
    for walk in walks {
        let (state, count) = walk.await.unwrap();
        states.push(state);
        steps += count;
    }
    (states, f64::from(steps) / started.elapsed().as_secs_f64())
}

/// Prints a figure next to what it has to be.
fn figure(what: &str, value: f64, unit: &str, goal: &str) {
    println!("{what}: {value:.2}{unit} (goal: {goal})");
}

/// The value below which this share of the samples lies.
fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    samples[((samples.len() - 1) as f64 * share) as usize]
}

/// What the system says of a process's memory, in MiB: `VmRSS` is resident now, `VmHWM` was so at most, `RssAnon` is the
/// part of the first that is not a mapped file.
fn memory_mib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
