//! Every write that is answered on SQLite has reached the disk before, as the system calls show.

use std::path::Path;

use doorward_tests::{Client, Service};
use reqwest::Method;

/// What a line of the trace says.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// A request with this first line was read.
    Request(String),
    /// The write-ahead log was flushed.
    Flushed,
    /// An answer with this status was written.
    Answer(u16),
}

/// The calls that matter, in the order in which they ended. A call that is interrupted by another thread's is
/// written on two lines, and counts where it ends.
fn calls(trace: &str) -> Vec<Call> {
    let mut unfinished = std::collections::HashMap::new();
    let mut calls = Vec::new();
    for line in trace.lines() {
        let Some((thread, call)) = line.trim_start().split_once(' ') else { continue };
        let call = call.trim_start();
        let whole = if let Some(start) = call.strip_suffix("<unfinished ...>") {
            // An answer counts from the moment at which it is begun, the strictest reading.
            if let Some(answer) = answer(start) {
                calls.push(answer);
            } else {
                unfinished.insert(thread.to_owned(), start.to_owned());
            }
            continue;
        } else if call.starts_with("<... ") {
            unfinished.remove(thread).unwrap_or_default() + call
        } else {
            call.to_owned()
        };
        let is_flush = whole.starts_with("fsync(") || whole.starts_with("fdatasync(");
        if is_flush && whole.contains("-wal>") && whole.trim_end().ends_with("= 0") {
            calls.push(Call::Flushed);
        } else if let Some(answer) = answer(&whole) {
            calls.push(answer);
        } else if let Some(at) = whole.find("\"POST ").or_else(|| whole.find("\"PATCH ")) {
            calls.push(Call::Request(whole[at + 1..].split("HTTP").next().unwrap().trim().to_owned()));
        }
    }
    calls
}

fn answer(call: &str) -> Option<Call> {
    let (_, status) = call.split_once("\"HTTP/1.1 ")?;
    Some(Call::Answer(status.get(..3)?.parse().ok()?))
}

#[tokio::test]
async fn every_answered_write_was_flushed_before() {
    assert!(Path::new("/usr/bin/strace").exists(), "this test needs strace (Debian: apt-get install strace)");
    let trace_file = tempfile::NamedTempFile::new().unwrap();
    let trace_path = trace_file.path().to_str().unwrap();
    let calls_of_interest = "trace=fsync,fdatasync,read,recvfrom,write,writev,sendto";
    let mut service =
        Service::start_under(&["strace", "-f", "-y", "-s", "64", "-e", calls_of_interest, "-o", trace_path]);
    let client = Client::new(&service.url());
    let mut writes = 0;
    for n in 0..5 {
        let email = format!("ada{n}@example.com");
        let first = client.register(&email).await.grant();
        let second = client.refresh(&first.refresh_token).await.grant();
        client.log_in_with(&email, "a wrong password").await.refused(401, "invalid_credentials");
        let third = client.log_in(&email).await.grant();
        let name = serde_json::json!({ "name": "Ada" });
        client.with_token(Method::PATCH, "/api/auth/me", &third.access_token, Some(&name)).await;
        client.log_out(&second.access_token).await;
        client.with_token(Method::POST, "/api/auth/logout-all", &third.access_token, None).await;
        writes += 7;
    }
    service.kill_group();
    let trace = std::fs::read_to_string(trace_path).unwrap();
    let calls = calls(&trace);
    let mut shown = 0;
    let mut open: Option<(String, bool)> = None;
    for call in &calls {
        match call {
            Call::Request(line) => open = Some((line.clone(), false)),
            Call::Flushed => {
                if let Some((_, flushed)) = &mut open {
                    *flushed = true;
                }
            }
            Call::Answer(status) => {
                let Some((line, flushed)) = open.take() else { continue };
                assert!(flushed, "`{line}` was answered with {status} before the disk had it");
                shown += 1;
            }
        }
    }
    println!("{shown} answered writes, each after a flush of the write-ahead log");
    assert_eq!(shown, writes, "the trace does not show every write: {calls:?}");
}
