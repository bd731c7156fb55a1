//! A way to the database that can be slow, silent or cut.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::postgres;

/// A way to the run's PostgreSQL.
pub struct Cable {
    port: u16,
    line: Arc<Line>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connected,
    /// Nothing gets through, and neither side is told.
    Silent,
    /// Both sides know that the other is gone, and nobody gets in.
    Cut,
}

struct Line {
    state: Mutex<State>,
    streams: Mutex<Vec<TcpStream>>,
    /// How long what a client sends is held up at most.
    longest_delay: Duration,
    dice: AtomicU64,
}

impl Cable {
    /// One that holds nothing up.
    pub fn to_postgres() -> Self {
        Self::delaying(Duration::ZERO)
    }

    /// One that holds up everything that a client sends for some time of its own, from none to this.
    pub fn delaying(longest_delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let line = Arc::new(Line {
            state: Mutex::new(State::Connected),
            streams: Mutex::new(Vec::new()),
            longest_delay,
            dice: AtomicU64::new(1),
        });
        let accepting = Arc::clone(&line);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                accepting.connect(client);
            }
        });
        Self { port, line }
    }

    /// The URL of the database at the other end.
    pub fn url(&self) -> String {
        postgres::url().replacen(postgres::address(), &format!("127.0.0.1:{}", self.port), 1)
    }

    pub fn cut(&self) {
        self.line.set(State::Cut);
        for stream in self.line.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }

    /// Loses whatever is said from now on, as a firewall does that forgets its connections.
    pub fn silence(&self) {
        self.line.set(State::Silent);
    }

    /// Connects again. What was said during a silence arrives now.
    pub fn mend(&self) {
        self.line.set(State::Connected);
    }
}

impl Line {
    fn set(&self, state: State) {
        *self.state.lock().unwrap() = state;
    }

    fn is(&self, state: State) -> bool {
        *self.state.lock().unwrap() == state
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let mut streams = self.streams.lock().unwrap();
        if self.is(State::Cut) {
            return;
        }
        let server = TcpStream::connect(postgres::address()).unwrap();
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
            streams.push(stream.try_clone().unwrap());
        }
        let (from_client, from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || there.carry(from_client, server, there.longest_delay));
        thread::spawn(move || back.carry(from_server, client, Duration::ZERO));
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, longest_delay: Duration) {
        let mut buffer = vec![0; 64 * 1024];
        // The end of either side is the end of this connection.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            thread::sleep(self.delay(longest_delay));
            while self.is(State::Silent) {
                thread::sleep(Duration::from_millis(5));
            }
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        to.shutdown(Shutdown::Both).unwrap_or_default();
    }

    /// Any time up to `longest`, from a series that is the same in every run (`SplitMix64`).
    fn delay(&self, longest: Duration) -> Duration {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let micros = u64::try_from(longest.as_micros()).unwrap();
        if micros == 0 {
            return Duration::ZERO;
        }
        let seed = self.dice.fetch_add(STEP, Ordering::Relaxed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((mixed ^ (mixed >> 31)) % (micros + 1))
    }
}
