//! Logins a second, against bare argon2 with the same parameters, reused memory and as many threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use doorward_tests::{Client, Database, Service};

use super::{SPAN, closed_loop, figure, runtime};

/// Whose log-ins are counted.
pub(crate) const EMAIL: &str = "ada@example.com";
/// As many passwords of one account at once as are tried here.
pub(crate) const MANY: (&str, &str) = ("LIMITS__PASSWORD_FREE", "100");

pub(crate) fn run() {
    let threads = std::thread::available_parallelism().unwrap().get();
    let service = Service::start(Database::Sqlite, &[MANY]);
    let client = Client::new(&service.url());
    runtime().block_on(async {
        client.register(EMAIL).await.grant();
    });
    let (mut bare, mut through) = (0.0, 0.0);
    // Alternating, so that a busy neighbour slows both.
    for _ in 0..3 {
        bare += bare_hashes(threads) / 3.0;
        through += logins(&client, 4 * threads) / 3.0;
    }
    println!("bare argon2: {bare:.1} hashes/s on {threads} threads");
    println!("Doorward: {through:.1} logins/s");
    figure("logins / bare argon2", through / bare, "", "at least 0.90");
}

/// What the machine can do at best: nothing but argon2id, 19 MiB, 2 iterations.
pub(crate) fn bare_hashes(threads: usize) -> f64 {
    let done = AtomicUsize::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let params = Params::new(19 * 1024, 2, 1, Some(32)).unwrap();
                let mut memory = vec![Block::default(); params.block_count()];
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                let mut output = [0; 32];
                while started.elapsed() < SPAN {
                    argon2
                        .hash_password_into_with_memory(b"correct horse", b"0123456789abcdef", &mut output, &mut memory)
                        .unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

fn logins(client: &Client, at_once: usize) -> f64 {
    runtime().block_on(closed_loop(vec![client.clone(); at_once], log_in)).1
}

pub(crate) async fn log_in(client: Client) -> Client {
    client.log_in(EMAIL).await.grant();
    client
}
