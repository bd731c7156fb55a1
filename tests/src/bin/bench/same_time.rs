//! Whether the time of an answer that is the same for everybody tells who has an account: Welch's t over interleaved
//! samples, of registering, asking for another password and asking for another verification.
//!
//! One request at a time, since several would disturb each other; each address is used once, since the sixth mail
//! within an hour is not written. Takes about 10 minutes.

use std::time::Instant;

use doorward_tests::{Answer, Client, Database, Service};

use super::accounts::{self, Standing};
use super::timing::{mean_and_variance, welch};
use super::{figure, runtime};

const SAMPLES: usize = 2_000;
/// Requests before the first that counts.
const WARM_UP: usize = 25;

/// What there is to know of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    Known,
    Unverified,
    Disabled,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Unknown, Self::Known, Self::Unverified, Self::Disabled];

    fn standing(self) -> Option<Standing> {
        match self {
            Self::Unknown => None,
            Self::Known => Some(Standing::Verified),
            Self::Unverified => Some(Standing::Unverified),
            Self::Disabled => Some(Standing::Disabled),
        }
    }

    /// The kinds in an order that is another one for each of 24 turns, so that each follows each equally often.
    fn in_turn(turn: usize) -> Vec<Self> {
        let (mut left, mut choice) = (Self::ALL.to_vec(), turn);
        let mut order = Vec::new();
        while !left.is_empty() {
            let count = left.len();
            order.push(left.remove(choice % count));
            choice /= count;
        }
        order
    }
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Register,
    Reset,
    Resend,
}

impl Request {
    const ALL: [Self; 3] = [Self::Register, Self::Reset, Self::Resend];

    async fn send(self, client: &Client, address: &str) -> Answer {
        match self {
            Self::Register => client.register(address).await,
            Self::Reset => client.request_reset(address).await,
            Self::Resend => client.resend_verification(address).await,
        }
    }

    /// An address of this kind that nothing else is asked with. All are of one length.
    fn address(self, kind: Kind, n: usize) -> String {
        format!("r{}k{}n{n:05}@example.com", self as usize, kind as usize)
    }
}

/// What the part is called on the command line. It takes long, so it runs only when it is named.
pub(crate) const NAME: &str = "same_time";

pub(crate) fn run() {
    for database in Database::BOTH {
        let service = Service::start(database, &[("REGISTRATION__MODE", "verified")]);
        let client = Client::new(&service.url());
        let runtime = runtime();
        runtime.block_on(accounts::insert(&service, &everybody()));
        for request in Request::ALL {
            let times = runtime.block_on(measure(&client, request));
            report(database, request, &times);
        }
    }
}

/// Everybody who has an account, mixed as they would be.
fn everybody() -> Vec<(String, Standing)> {
    let mut everybody = Vec::new();
    for n in 0..WARM_UP + SAMPLES {
        for request in Request::ALL {
            let known = Kind::in_turn(n).into_iter().filter_map(|kind| Some((kind, kind.standing()?)));
            everybody.extend(known.map(|(kind, standing)| (request.address(kind, n), standing)));
        }
    }
    everybody
}

/// The time of each request in milliseconds, by kind of address.
async fn measure(client: &Client, request: Request) -> [Vec<f64>; 4] {
    let mut times = Kind::ALL.map(|_| Vec::new());
    for n in 0..WARM_UP + SAMPLES {
        for kind in Kind::in_turn(n) {
            let address = request.address(kind, n);
            let begun = Instant::now();
            let answer = request.send(client, &address).await;
            let took = begun.elapsed().as_secs_f64() * 1000.0;
            answer.answered(202);
            if n >= WARM_UP {
                times[kind as usize].push(took);
            }
        }
    }
    times
}

fn report(database: Database, request: Request, times: &[Vec<f64>; 4]) {
    for kind in Kind::ALL {
        println!("{database:?}, {request:?}, {kind:?}: {:.3} ms", mean_and_variance(&times[kind as usize]).0);
    }
    for kind in [Kind::Known, Kind::Unverified, Kind::Disabled] {
        let t = welch(&times[kind as usize], &times[Kind::Unknown as usize]);
        figure(&format!("{database:?}, {request:?}, {kind:?} or unknown: Welch's |t|"), t, "", "under 4.5");
    }
}
