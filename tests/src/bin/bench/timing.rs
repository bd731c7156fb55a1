//! Whether the time of a refused login tells a known address from an unknown one: Welch's t over interleaved
//! samples. Each address is used once, since few wrong passwords in a row are looked at.

use std::time::Instant;

use doorward_tests::{Client, Database, Service};

use super::accounts::{self, Standing};
use super::{figure, runtime};

const SAMPLES: usize = 2_000;

pub(crate) fn run() {
    for database in Database::BOTH {
        let service = Service::start(database, &[("REGISTRATION__MODE", "verified")]);
        let client = Client::new(&service.url());
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        runtime().block_on(async {
            let everybody: Vec<_> = (0..SAMPLES).map(|n| (address(true, n), Standing::Verified)).collect();
            accounts::insert(&service, &everybody).await;
            for n in 0..SAMPLES {
                // Which of the two comes first alternates as well.
                for known_now in [n % 2 == 0, n % 2 != 0] {
                    let email = address(known_now, n);
                    let begun = Instant::now();
                    client.log_in_with(&email, "not the password").await.refused(401, "invalid_credentials");
                    let took = begun.elapsed().as_secs_f64() * 1000.0;
                    if known_now { known.push(took) } else { unknown.push(took) }
                }
            }
        });
        let (here, there) = (mean_and_variance(&known), mean_and_variance(&unknown));
        println!("{database:?}: known {:.3} ms, unknown {:.3} ms, {SAMPLES} samples each", here.0, there.0);
        figure(&format!("{database:?}: Welch's |t|"), welch(&known, &unknown), "", "under 4.5");
    }
}

/// An address that nothing else is asked with. All are of one length.
fn address(known: bool, n: usize) -> String {
    format!("{}{n:05}@example.com", if known { "known" } else { "other" })
}

/// Welch's |t|: how many standard errors the means of two sets of samples lie apart.
pub(super) fn welch(one: &[f64], other: &[f64]) -> f64 {
    let (here, there) = (mean_and_variance(one), mean_and_variance(other));
    ((here.0 - there.0) / (here.1 / one.len() as f64 + there.1 / other.len() as f64).sqrt()).abs()
}

pub(super) fn mean_and_variance(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    (mean, samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (count - 1.0))
}
