//! A node that cannot hear of ended sessions goes on for as long as the configuration allows, and no longer.

use std::time::{Duration, Instant};

use doorward_tests::{Cable, Client, Grant, Service, Verdict, postgres};

const STALENESS: Duration = Duration::from_secs(1);
/// What a request and a look at the database may take on a busy machine.
const GRACE: Duration = Duration::from_millis(250);
/// How soon a node has to be back when its database is.
const RECOVERY: Duration = Duration::from_secs(10);

/// A node behind a cable, and one that always reaches the database.
struct Nodes {
    cable: Cable,
    far: Service,
    near: Service,
}

impl Nodes {
    fn start() -> Self {
        let (cable, schema) = (Cable::to_postgres(), postgres::fresh_schema());
        let issuer = ("TOKENS__ISSUER", "https://auth.example.com");
        let schema = ("DATABASE__SCHEMA", schema.as_str());
        let near = Service::start_on(postgres::url().to_owned(), &[issuer, schema]);
        let far = Service::start_on(cable.url(), &[issuer, schema, ("SESSIONS__STALENESS", "1s")]);
        Self { cable, far, near }
    }
}

/// Asks until the answer is another one than this; returns when the last request began that got this one.
async fn last_time(client: &Client, grant: &Grant, verdict: Verdict, patience: Duration) -> (Option<Instant>, Verdict) {
    let began = Instant::now();
    let mut last = None;
    loop {
        let started = Instant::now();
        let now = client.judge(&grant.access_token).await;
        if now != verdict {
            return (last, now);
        }
        last = Some(started);
        assert!(began.elapsed() < patience, "still {verdict:?} after {patience:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn story(lose: impl Fn(&Cable)) {
    let nodes = Nodes::start();
    let (far, near) = (Client::new(&nodes.far.url()), Client::new(&nodes.near.url()));
    let live = near.register("ada@example.com").await.grant();
    let ended = near.log_in("ada@example.com").await.grant();

    // While the database answers, nothing is stale.
    let began = Instant::now();
    while began.elapsed() < 3 * STALENESS {
        assert_eq!(far.judge(&live.access_token).await, Verdict::Accepted);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    lose(&nodes.cable);
    let lost = Instant::now();
    near.log_out(&ended.access_token).await.answered(204);
    let (last, verdict) = last_time(&far, &live, Verdict::Accepted, STALENESS + RECOVERY).await;
    assert_eq!(verdict, Verdict::Stale);
    let went_on = last.expect("a node gave up at once").saturating_duration_since(lost);
    println!("a node that cannot hear went on for {went_on:?}");
    assert!(went_on <= STALENESS + GRACE, "went on for {went_on:?}");
    for _ in 0..20 {
        assert_eq!(far.judge(&ended.access_token).await, Verdict::Stale);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for path in ["/healthz", "/.well-known/jwks.json"] {
        far.get(path).await.answered(200);
    }
    assert_eq!(near.judge(&live.access_token).await, Verdict::Accepted, "the other node hears as before");

    nodes.cable.mend();
    let (_, verdict) = last_time(&far, &ended, Verdict::Stale, RECOVERY).await;
    assert_eq!(verdict, Verdict::Refused, "what ended meanwhile was accepted once more");
    // An answer that had been on its way for long says how things were then, so one more look may be needed.
    let (_, verdict) = last_time(&far, &live, Verdict::Stale, RECOVERY).await;
    assert_eq!(verdict, Verdict::Accepted, "no restart should be needed");
    assert!(far.me(&live.access_token).await.status.is_success());
}

#[tokio::test]
async fn a_node_without_its_database_answers_503_once_it_is_stale() {
    story(Cable::cut).await;
}

#[tokio::test]
async fn a_node_whose_database_falls_silent_answers_503_once_it_is_stale() {
    story(Cable::silence).await;
}
