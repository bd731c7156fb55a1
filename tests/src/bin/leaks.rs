//! Looks for the secrets of a run of the tests in what `DOORWARD_KEEP=FOLDER` kept of it.
//!
//! `cargo run -p doorward-tests --bin leaks FOLDER` ends with 1 where it finds one, and with 2 where there is not
//! something of each kind to look at. It never prints a secret.

#![allow(clippy::print_stdout, reason = "it says what it found")]

use std::path::PathBuf;
use std::process::ExitCode;

use doorward_tests::leaks::search;

fn main() -> anyhow::Result<ExitCode> {
    let Some(folder) = std::env::args_os().nth(1) else { anyhow::bail!("which folder?") };
    let report = search(&PathBuf::from(folder))?;
    println!(
        "{} secrets in {} logs, {} dumps of SQLite, {} dumps of PostgreSQL and {} bodies of refusals",
        report.secrets, report.logs, report.sqlite_dumps, report.postgres_dumps, report.error_bodies
    );
    println!("left out: {} values that are short, {} that are no secrets", report.short, report.no_secrets);
    for reason in &report.not_dumped {
        println!("not dumped: {reason}");
    }
    for leak in &report.leaks {
        println!("{}:{}: {} ({})", leak.file.display(), leak.line, leak.kind, leak.form);
    }
    println!("leaks: {} (goal: 0)", report.leaks.len());
    Ok(match (report.leaks.is_empty(), report.is_whole()) {
        (false, _) => ExitCode::from(1),
        (true, false) => {
            println!("there is nothing of some kind, so this says little");
            ExitCode::from(2)
        }
        (true, true) => ExitCode::SUCCESS,
    })
}
