//! Whether those who register or ask for another password feel that the mail server is in trouble, and whether their
//! mails arrive once that is over.
//!
//! For each kind of trouble two services, one of them with a sound mail server, get the same requests in turns, one at a
//! time: what the machine does meanwhile falls on both alike. One pair is sound twice, which tells how much of a ratio is
//! noise. Takes about an hour; `DOORWARD_ROUNDS` sets the number of registrations of each, and `DOORWARD_ONLY` names the pairs
//! that are wanted, such as `Postgres:Tarpit,Sqlite:Tarpit`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use doorward_tests::smtp::{certificates, page};
use doorward_tests::{Client, Database, Service, SmtpSink, rounds};
use serde_json::Value;
use tempfile::TempDir;

use super::accounts::{self, Standing};
use super::{figure, quantile, runtime};

/// Registrations of each service; resets take less time, so there are more of them.
const REGISTRATIONS: usize = 1_000;
const RESETS_PER_REGISTRATION: usize = 4;
/// Between two requests, so that mail is delivered meanwhile.
const PAUSE: Duration = Duration::from_millis(2);
/// For mail to be delivered once nothing is in its way.
const PATIENCE: Duration = Duration::from_secs(600);
const CA_FILE: &str = "MAIL__SMTP__CA_FILE";

/// What the mail server does to half of the mails or, where it concerns the connection, to all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Healthy,
    /// The same once more.
    HealthyToo,
    RefusedConnection,
    Temporary,
    Permanent,
    DroppedAfterData,
    WrongCertificate,
    Tarpit,
}

impl Mode {
    /// What a sound one is set against.
    const ALL: [Self; 7] = [
        Self::HealthyToo,
        Self::RefusedConnection,
        Self::Temporary,
        Self::Permanent,
        Self::DroppedAfterData,
        Self::WrongCertificate,
        Self::Tarpit,
    ];

    /// The domain that the mail server treats so.
    fn domain(self) -> &'static str {
        match self {
            Self::Healthy | Self::HealthyToo | Self::RefusedConnection | Self::WrongCertificate => SOUND,
            Self::Temporary => "temporary.example",
            Self::Permanent => REFUSED_FOR_GOOD,
            Self::DroppedAfterData => "dropped.example",
            Self::Tarpit => "tarpit.example",
        }
    }
}

const SOUND: &str = "example.com";
const REFUSED_FOR_GOOD: &str = "permanent.example";

/// A mail that an answer promised: to whom, and which page it leads to.
type Promise = (String, &'static str);

/// A service whose mail server is in one mode.
struct Stage {
    mode: Mode,
    service: Service,
    sink: SmtpSink,
    authorities: TempDir,
    promised: BTreeSet<Promise>,
}

/// What the part is called on the command line. It takes long, so it runs only when it is named.
pub(crate) const NAME: &str = "mail";

pub(crate) fn run() {
    let runtime = runtime();
    let only = std::env::var("DOORWARD_ONLY").ok();
    let is_wanted = |pair: String| only.as_ref().is_none_or(|only| only.split(',').any(|name| name == pair));
    for database in Database::BOTH {
        for mode in Mode::ALL.into_iter().filter(|mode| is_wanted(format!("{database:?}:{mode:?}"))) {
            runtime.block_on(compare(database, mode));
        }
    }
}

/// A request, and the page that its mail leads to.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Registration,
    Reset,
}

async fn compare(database: Database, mode: Mode) {
    let registrations = rounds(REGISTRATIONS);
    let resets = registrations * RESETS_PER_REGISTRATION;
    let mut pair = [Stage::start(Mode::Healthy, database, resets).await, Stage::start(mode, database, resets).await];
    for (ask, count) in [(Ask::Registration, registrations), (Ask::Reset, resets)] {
        let [mut healthy, mut other] = alternate(&mut pair, ask, count).await;
        let mut at = |q| (quantile(&mut healthy, q), quantile(&mut other, q));
        let ((p50, other_p50), (p99, other_p99)) = (at(0.5), at(0.99));
        let what = format!("{database:?}: {ask:?}, {mode:?}");
        println!("{what}: p50 {other_p50:.2?} against {p50:.2?}, p99 {other_p99:.2?} against {p99:.2?}, {count} each");
        let ratio = other_p99.as_secs_f64() / p99.as_secs_f64();
        figure(&format!("{what}: p99 / healthy p99"), ratio, "", "at most 1.10");
    }
    for stage in pair {
        stage.account_for_every_mail(database).await;
    }
}

/// Sends requests to both in turns; returns how long each took.
async fn alternate(pair: &mut [Stage; 2], ask: Ask, count: usize) -> [Vec<Duration>; 2] {
    let clients = pair.each_ref().map(|stage| Client::new(&stage.service.url()));
    let mut samples = [Vec::new(), Vec::new()];
    for n in 0..count {
        // Neither always goes first.
        let order = if n.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        for place in order {
            let (client, stage) = (&clients[place], &mut pair[place]);
            let (address, page) = match ask {
                Ask::Registration => (stage.address("new", n), page::VERIFY_EMAIL),
                Ask::Reset => (stage.address("old", n), page::RESET_PASSWORD),
            };
            let begun = Instant::now();
            let answer = match ask {
                Ask::Registration => client.register(&address).await,
                Ask::Reset => client.request_reset(&address).await,
            };
            samples[place].push(begun.elapsed());
            answer.answered(202);
            stage.promised.insert((address, page));
            tokio::time::sleep(PAUSE).await;
        }
    }
    samples
}

impl Stage {
    async fn start(mode: Mode, database: Database, resets: usize) -> Self {
        let authorities = tempfile::tempdir().unwrap();
        let (mut sink, service) = if mode == Mode::WrongCertificate {
            let right = certificates();
            std::fs::write(authorities.path().join("right.pem"), &right.ca_pem).unwrap();
            std::fs::write(authorities.path().join("wrong.pem"), &certificates().ca_pem).unwrap();
            let sink = SmtpSink::start_with_tls(&right.cert_pem, &right.key_pem);
            let wrong = authorities.path().join("wrong.pem");
            let service = Service::start_with_mail(database, &sink, &[(CA_FILE, wrong.to_str().unwrap())]);
            (sink, service)
        } else {
            let sink = SmtpSink::start();
            let service = Service::start_with_mail(database, &sink, &[]);
            (sink, service)
        };
        if mode == Mode::RefusedConnection {
            sink.stop();
        }
        let stage = Self { mode, service, sink, authorities, promised: BTreeSet::new() };
        let accounts: Vec<_> = (0..resets).map(|n| (stage.address("old", n), Standing::Verified)).collect();
        accounts::insert(&stage.service, &accounts).await;
        stage
    }

    /// An address for one request: five mails an hour is all that one gets. Every second one is of a domain that nothing
    /// is wrong with, whoever comes first.
    fn address(&self, kind: &str, n: usize) -> String {
        let domain = if (n / 2).is_multiple_of(2) { self.mode.domain() } else { SOUND };
        format!("{kind}-{n}@{domain}")
    }

    /// Ends the trouble, waits until nothing waits any more, and prints what became of each promise.
    async fn account_for_every_mail(mut self, database: Database) {
        match self.mode {
            Mode::Healthy | Mode::HealthyToo | Mode::Permanent | Mode::DroppedAfterData => {}
            Mode::RefusedConnection => self.sink.start_again(),
            Mode::Temporary => self.sink.accept_temporary(),
            Mode::Tarpit => self.sink.release_tarpit(),
            Mode::WrongCertificate => {
                self.service.terminate();
                let right = self.authorities.path().join("right.pem");
                self.service.set(CA_FILE, right.to_str().unwrap());
                self.service.start_again();
            }
        }
        let dead = self.dead_letters_at_rest().await;
        let pages = [page::VERIFY_EMAIL, page::RESET_PASSWORD];
        let mut delivered = BTreeSet::<Promise>::new();
        for mail in self.sink.received() {
            for page in pages.into_iter().filter(|page| mail.leads_to(page)) {
                delivered.extend(mail.envelope_to.iter().map(|to| (to.clone(), page)));
            }
        }
        let kept = self.promised.iter().filter(|promise| delivered.contains(*promise)).count();
        let buried = self.promised.iter().filter(|promise| dead.contains(*promise)).count();
        let lost =
            self.promised.iter().filter(|promise| !delivered.contains(*promise) && !dead.contains(*promise)).count();
        let wrongly = dead.iter().filter(|(to, _)| !to.ends_with(REFUSED_FOR_GOOD)).count();
        let name = format!("{database:?}, {:?}", self.mode);
        println!("{name}: {} mails promised, {kept} delivered, {buried} dead letters", self.promised.len());
        figure(&format!("{name}: lost"), lost as f64, "", "0");
        figure(&format!("{name}: dead letters to addresses that would take them"), wrongly as f64, "", "0");
    }

    /// Waits until only dead letters are left in the outbox; returns those.
    async fn dead_letters_at_rest(&self) -> BTreeSet<Promise> {
        let started = Instant::now();
        loop {
            // What an operator does with `doorward mail retry`, for all at once: by now some wait for many minutes.
            let retry = "UPDATE outbox SET due_at = created_at WHERE due_at > created_at AND locked_until IS NULL";
            accounts::execute(&self.service, retry).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let mails = self.listed();
            let waiting = mails.iter().filter(|mail| mail["state"] != "dead").count();
            if waiting == 0 {
                return mails.iter().filter_map(promise).collect();
            }
            assert!(started.elapsed() < PATIENCE, "{:?}: {waiting} mails wait after {PATIENCE:?}", self.mode);
        }
    }

    fn listed(&self) -> Vec<Value> {
        let output = self.service.command(&["mail", "list", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What a listed mail was to keep.
fn promise(mail: &Value) -> Option<Promise> {
    let page = match mail["kind"].as_str()? {
        "verify_email" => page::VERIFY_EMAIL,
        "reset_password" => page::RESET_PASSWORD,
        _ => return None,
    };
    Some((mail["to"].as_str()?.to_owned(), page))
}
