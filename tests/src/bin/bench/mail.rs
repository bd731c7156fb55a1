//! Whether those who register or ask for another password feel that the mail server is in trouble, and whether their
//! mails arrive once that is over.
//!
//! Eight services with a mail server each, two of them sound, get the same requests in turns. What the second sound one
//! takes in relation to the first tells how much of a ratio is the machine's noise. Takes about 30 minutes;
//! `DOORWARD_ROUNDS` sets the number of turns.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use doorward_tests::smtp::{certificates, page};
use doorward_tests::{Answer, Client, Database, Service, SmtpSink, rounds};
use serde_json::Value;
use tempfile::TempDir;

use super::accounts::{self, Standing};
use super::{figure, logins, quantile, runtime};

/// How long one turn lasts, for each kind of request.
const TURN: Duration = Duration::from_secs(5);
/// Registrations offered, as a share of what the machine can hash.
const SHARE_OF_CAPACITY: f64 = 0.25;
/// Resets offered; below what any of the databases can write.
const RESETS_PER_SECOND: f64 = 40.0;
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
    /// The sound one first.
    const ALL: [Self; 8] = [
        Self::Healthy,
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
    /// By turn.
    registrations: Vec<Vec<Duration>>,
    resets: Vec<Vec<Duration>>,
    promised: BTreeSet<Promise>,
}

/// What the part is called on the command line. It takes long, so it runs only when it is named.
pub(crate) const NAME: &str = "mail";

pub(crate) fn run() {
    let threads = std::thread::available_parallelism().unwrap().get();
    let registrations_per_second = logins::bare_hashes(threads) * SHARE_OF_CAPACITY;
    println!("{registrations_per_second:.0} registrations/s and {RESETS_PER_SECOND:.0} resets/s offered");
    let runtime = runtime();
    for database in Database::BOTH {
        runtime.block_on(measure(database, registrations_per_second));
    }
}

async fn measure(database: Database, registrations_per_second: f64) {
    let rounds = rounds(10);
    let mut stages = Vec::new();
    for mode in Mode::ALL {
        stages.push(Stage::start(mode, database, rounds).await);
    }
    for round in 0..rounds {
        for n in 0..stages.len() {
            let place = (n + round) % stages.len();
            stages[place].turn(round, registrations_per_second).await;
            // What the last requests queued should not meet the next service.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    report(
        &format!("{database:?}: registration"),
        stages.iter_mut().map(|stage| (stage.mode, &mut stage.registrations)),
    );
    report(&format!("{database:?}: reset"), stages.iter_mut().map(|stage| (stage.mode, &mut stage.resets)));
    for stage in stages {
        stage.account_for_every_mail(database).await;
    }
}

/// Prints what each mode's requests took, in relation to the first mode's.
///
/// The figure is the median over the turns, each of which sets a mode against the sound service a moment before or
/// after: whatever else the machine does for a second falls on one turn and not on the result.
fn report<'a>(what: &str, samples: impl Iterator<Item = (Mode, &'a mut Vec<Vec<Duration>>)>) {
    let mut healthy: Option<Vec<Duration>> = None;
    for (mode, turns) in samples {
        let by_turn: Vec<Duration> = turns.iter_mut().map(|turn| quantile(turn, 0.99)).collect();
        let mut all: Vec<Duration> = turns.iter().flatten().copied().collect();
        let (p50, p99) = (quantile(&mut all, 0.5), quantile(&mut all, 0.99));
        println!("{what}, {mode:?}: p50 {p50:.2?}, p99 {p99:.2?} of {}; by turn {by_turn:.1?}", all.len());
        let base = healthy.get_or_insert_with(|| by_turn.clone());
        if mode != Mode::Healthy {
            let ratio = |(turn, base): (&Duration, &Duration)| turn.as_secs_f64() / base.as_secs_f64();
            let mut ratios: Vec<f64> = by_turn.iter().zip(base.iter()).map(ratio).collect();
            ratios.sort_unstable_by(f64::total_cmp);
            let median = ratios[ratios.len() / 2];
            figure(&format!("{what}, {mode:?}: p99 / healthy p99, median of the turns"), median, "", "at most 1.10");
        }
    }
}

impl Stage {
    async fn start(mode: Mode, database: Database, rounds: usize) -> Self {
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
        let mut stage = Self {
            mode,
            service,
            sink,
            authorities,
            registrations: Vec::new(),
            resets: Vec::new(),
            promised: BTreeSet::new(),
        };
        let accounts: Vec<_> = (0..rounds)
            .flat_map(|round| stage.addresses("old", round, RESETS_PER_SECOND))
            .map(|address| (address, Standing::Verified))
            .collect();
        accounts::insert(&stage.service, &accounts).await;
        // Its connections and threads are there by the time that counts.
        stage.turn(WARM_UP, 10.0).await;
        stage.registrations.clear();
        stage.resets.clear();
        stage
    }

    /// Offers one turn's requests, the same to every service.
    async fn turn(&mut self, round: usize, registrations_per_second: f64) {
        // Connections that have been idle since the last turn may be about to be closed.
        let client = &Client::new(&self.service.url());
        let register = |address: String| {
            let client = client.clone();
            async move { client.register(&address).await }
        };
        let addresses = self.addresses("new", round, registrations_per_second);
        self.registrations.push(offer(registrations_per_second, &addresses, register).await);
        self.promised.extend(addresses.into_iter().map(|address| (address, page::VERIFY_EMAIL)));
        if round == WARM_UP {
            return;
        }

        let reset = |address: String| {
            let client = client.clone();
            async move { client.request_reset(&address).await }
        };
        let addresses = self.addresses("old", round, RESETS_PER_SECOND);
        self.resets.push(offer(RESETS_PER_SECOND, &addresses, reset).await);
        self.promised.extend(addresses.into_iter().map(|address| (address, page::RESET_PASSWORD)));
    }

    /// The addresses of a turn, each used once: five mails an hour is all that one gets. Every second one is of a
    /// domain that nothing is wrong with.
    fn addresses(&self, kind: &str, round: usize, rate: f64) -> Vec<String> {
        let count = (rate * TURN.as_secs_f64()) as usize;
        let domain = |n: usize| if n.is_multiple_of(2) { self.mode.domain() } else { SOUND };
        (0..count).map(|n| format!("{kind}-{round}-{n}@{}", domain(n))).collect()
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

/// The number of the turn that is not measured.
const WARM_UP: usize = usize::MAX;

/// What a listed mail was to keep.
fn promise(mail: &Value) -> Option<Promise> {
    let page = match mail["kind"].as_str()? {
        "verify_email" => page::VERIFY_EMAIL,
        "reset_password" => page::RESET_PASSWORD,
        _ => return None,
    };
    Some((mail["to"].as_str()?.to_owned(), page))
}

/// Requests begun at fixed moments, whether or not the ones before have been answered; returns how long each took.
async fn offer<Request>(rate: f64, addresses: &[String], request: impl Fn(String) -> Request) -> Vec<Duration>
where
    Request: Future<Output = Answer> + Send + 'static,
{
    let started = Instant::now();
    let mut requests = Vec::new();
    for (n, address) in addresses.iter().enumerate() {
        let due = started + Duration::from_secs_f64(n as f64 / rate);
        tokio::time::sleep_until(due.into()).await;
        let request = request(address.clone());
        requests.push(tokio::spawn(async move {
            let begun = Instant::now();
            request.await.answered(202);
            begun.elapsed()
        }));
    }
    let mut samples = Vec::new();
    for request in requests {
        samples.push(request.await.unwrap());
    }
    samples
}
