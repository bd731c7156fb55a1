//! Time from start to first answer with an existing database, and resident memory before the first hash.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use doorward_tests::{Database, Service};

use super::{figure, memory_mib, quantile};

pub(crate) fn run() {
    for database in Database::BOTH {
        let mut service = Service::start(database, &[]);
        let mut times = Vec::new();
        for _ in 0..11 {
            service.kill();
            let started = Instant::now();
            service.spawn_again();
            while !answers(&service) {
                std::thread::sleep(Duration::from_micros(200));
            }
            times.push(started.elapsed());
        }
        let middle = quantile(&mut times, 0.5).as_secs_f64() * 1000.0;
        figure(&format!("{database:?}: start to first answer"), middle, " ms", "under 30 ms");
        std::thread::sleep(Duration::from_millis(300));
        let (all, own) = (memory_mib(service.pid(), "VmRSS"), memory_mib(service.pid(), "RssAnon"));
        figure(&format!("{database:?}: idle resident memory"), all, " MiB", "under 12 MiB");
        figure(&format!("{database:?}: of which not mapped from the binary"), own, " MiB", "-");
    }
}

fn answers(service: &Service) -> bool {
    let Ok(mut stream) = TcpStream::connect(service.address) else { return false };
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    asked.is_ok() && stream.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1.1 200")
}
