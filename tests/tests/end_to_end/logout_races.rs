//! Refreshing against logging out: once the logout is answered, no refresh succeeds and nothing that was got by one
//! is worth anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_auth::{Logout, RefreshError, RotateRefresh};
use doorward_domain::Client;
use doorward_tests::in_process::InProcess;
use doorward_tests::{Cable, Database, postgres, rounds};
use secrecy::SecretString;

use crate::in_process_steps::{log_in, register};

/// How many ask for the same successor at once.
const TABS: usize = 3;

/// One answered attempt to refresh.
struct Attempt {
    started: Instant,
    answered: Instant,
    succeeded: bool,
}

/// What was seen of a session from its beginning to well after its end.
struct Chain {
    attempts: Vec<Attempt>,
    access_tokens: Vec<SecretString>,
    refresh_tokens: Vec<SecretString>,
}

/// Exchanges a token in so many tabs at once.
async fn refresh(
    doorward: &Arc<InProcess>,
    token: &SecretString,
    tabs: usize,
    chain: &mut Chain,
) -> Option<SecretString> {
    let tabs: Vec<_> = (0..tabs)
        .map(|_| {
            let (doorward, refresh_token) = (Arc::clone(doorward), token.clone());
            tokio::spawn(async move {
                let started = Instant::now();
                let outcome = doorward.auth.refresh(RotateRefresh { refresh_token }, &Client::default()).await;
                (started, Instant::now(), outcome)
            })
        })
        .collect();
    let mut successor = None;
    for tab in tabs {
        let (started, answered, outcome) = tab.await.unwrap();
        chain.attempts.push(Attempt { started, answered, succeeded: outcome.is_ok() });
        match outcome {
            Ok(grant) => {
                chain.access_tokens.push(grant.access_token.text);
                chain.refresh_tokens.push(grant.refresh_token.to_text());
                successor = Some(grant.refresh_token.to_text());
            }
            Err(RefreshError::InvalidRefreshToken) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    successor
}

/// Refreshes until that is refused.
async fn keep_refreshing(doorward: Arc<InProcess>, first: SecretString) -> Chain {
    let mut chain = Chain { attempts: Vec::new(), access_tokens: Vec::new(), refresh_tokens: vec![first.clone()] };
    let mut token = first;
    while let Some(successor) = refresh(&doorward, &token, TABS, &mut chain).await {
        token = successor;
    }
    chain
}

/// A session that goes on for so long after its logout has not ended.
const NEVER_REFUSED: Duration = Duration::from_secs(60);

/// How many refreshes succeeded that were under way while the session was being ended.
async fn one_round(doorward: Arc<InProcess>, round: usize, address: String, longest_wait: Duration) -> usize {
    let grant = log_in(&doorward, &address).await;
    let (first, access_token) = (grant.refresh_token.to_text(), grant.access_token.text);
    let refreshing = tokio::spawn(keep_refreshing(Arc::clone(&doorward), first.clone()));
    // Each round at a moment of its own, the same in every run.
    tokio::time::sleep(longest_wait * u32::try_from(round * 37 % 100).unwrap() / 100).await;
    let request =
        if round.is_multiple_of(2) { Logout::AccessToken(access_token.clone()) } else { Logout::RefreshToken(first) };
    let started = Instant::now();
    doorward.auth.logout(request, &Client::default()).await.unwrap();
    let answered = Instant::now();
    assert!(doorward.auth.authenticate(&access_token).is_err(), "round {round}: accepted after the logout");

    let mut chain = tokio::time::timeout(NEVER_REFUSED, refreshing).await.expect("refreshed on and on").unwrap();
    for token in chain.refresh_tokens.clone().iter().rev().take(2) {
        assert!(refresh(&doorward, token, 1, &mut chain).await.is_none(), "round {round}: a refresh token is alive");
    }
    for attempt in &chain.attempts {
        assert!(!attempt.succeeded || attempt.started < answered, "round {round}: refreshed after the logout");
        assert!(attempt.succeeded || attempt.answered > started, "round {round}: ended before the logout");
    }
    for token in &chain.access_tokens {
        assert!(doorward.auth.authenticate(token).is_err(), "round {round}: an access token is alive");
    }
    chain.attempts.iter().filter(|attempt| attempt.succeeded && attempt.answered > started).count()
}

/// So many rounds with so many people whose sessions are ended side by side.
async fn race(how: &str, doorward: InProcess, rounds: usize, people: usize, longest_wait: Duration) {
    let doorward = Arc::new(doorward);
    let address = |n: usize| format!("ada{n}@example.com");
    let registering: Vec<_> = (0..people.min(rounds))
        .map(|n| {
            let (doorward, address) = (Arc::clone(&doorward), address(n));
            tokio::spawn(async move { drop(register(&doorward, &address).await) })
        })
        .collect();
    for task in registering {
        task.await.unwrap();
    }
    let (mut close, mut done) = (0, 0);
    while done < rounds {
        let playing: Vec<_> = (done..rounds.min(done + people))
            .map(|round| tokio::spawn(one_round(Arc::clone(&doorward), round, address(round % people), longest_wait)))
            .collect();
        done += playing.len();
        for round in playing {
            close += round.await.unwrap();
        }
    }
    println!("{how}: {rounds} logouts, {close} refreshes that overlapped with one succeeded, none after one");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_outlives_a_logout_on_sqlite() {
    let doorward = InProcess::start(Database::Sqlite).await;
    race("SQLite", doorward, rounds(80), 8, Duration::from_millis(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_outlives_a_logout_on_postgres() {
    let doorward = InProcess::start(Database::Postgres).await;
    race("PostgreSQL", doorward, rounds(80), 8, Duration::from_millis(40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refresh_outlives_a_logout_when_the_database_dawdles_between_statements() {
    const LONGEST: Duration = Duration::from_millis(500);
    let cable = Cable::delaying(LONGEST);
    let doorward = InProcess::start_at(&cable.url(), &postgres::fresh_schema()).await;
    race("PostgreSQL with delays of up to 500 ms", doorward, rounds(6), 24, 10 * LONGEST).await;
}
