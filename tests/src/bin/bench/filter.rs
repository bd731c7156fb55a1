//! The offline filter: what it misses, what it takes for listed, how large it is, and what a check costs.

use std::hint::black_box;
use std::time::{Duration, Instant};

use doorward::SystemEntropy;
use doorward_domain::{Entropy as _, Password};
use doorward_screening::{PasswordFilter, build_filter};
use doorward_tests::range_server::sha1;
use secrecy::SecretString;

use super::figure;

const ENTRIES: u32 = 1_000_000;
/// How many passwords are looked for, of those that are listed and of others.
const SAMPLES: u32 = 100_000;
const ROUNDS: u32 = 20;

pub(crate) fn run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("filter");
    let mut run = [0; 16];
    SystemEntropy.fill(&mut run).unwrap();
    let text = |n: u32| format!("password {n} of run {}", u128::from_le_bytes(run));
    let mut lines: Vec<String> = (0..ENTRIES).map(|n| format!("{}:1\n", sha1(&text(n)))).collect();
    lines.sort_unstable();
    let list = lines.concat();

    let begun = Instant::now();
    build_filter(list.as_bytes(), 1, &path).unwrap();
    println!("built of {ENTRIES} entries in {:.2} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let filter = PasswordFilter::open(&path).unwrap();
    println!("opened in {:.2} ms", begun.elapsed().as_secs_f64() * 1000.0);

    let passwords = |from: u32| -> Vec<Password> {
        let texts = (from..from + SAMPLES).map(|n| SecretString::from(text(n)));
        texts.map(|text| Password::parse(&text).unwrap()).collect()
    };
    let (listed, others) = (passwords(ENTRIES / 2), passwords(ENTRIES));
    let missed = listed.iter().filter(|password| !filter.holds(password)).count();
    let alarms = others.iter().filter(|password| filter.holds(password)).count();
    figure(&format!("missed of {SAMPLES} listed"), missed as f64, "", "0");
    figure("false alarms", 100.0 * alarms as f64 / f64::from(SAMPLES), " %", "under 1");
    figure("size", filter.bytes() as f64 / f64::from(ENTRIES), " bytes an entry", "at most 2");
    for (what, passwords) in [("listed", &listed), ("other", &others)] {
        let took = time_of(&filter, passwords);
        figure(&format!("a check of a {what} password, SHA-1 included"), took.as_secs_f64() * 1e9, " ns", "under 1000");
    }
}

/// What a check takes on average.
fn time_of(filter: &PasswordFilter, passwords: &[Password]) -> Duration {
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        for password in passwords {
            black_box(filter.holds(black_box(password)));
        }
    }
    begun.elapsed() / (ROUNDS * SAMPLES)
}
