//! What many do at once: one address makes one account, one refresh token has one successor, a replay ends the
//! session.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use doorward_auth::{Register, RegisterError, Registration, RotateRefresh, SessionGrant};
use doorward_domain::{Client, EmailAddress, Password};
use doorward_tests::in_process::InProcess;
use doorward_tests::{Database, PASSWORD, rounds};
use secrecy::{ExposeSecret, SecretString};

const CROWD: usize = 50;

async fn register(doorward: &InProcess, address: &str) -> Result<Box<SessionGrant>, RegisterError> {
    let request = Register {
        email: EmailAddress::parse(address).unwrap(),
        password: Password::parse(&SecretString::from(PASSWORD)).unwrap(),
        name: None,
        device: None,
        proof: None,
    };
    match doorward.auth.register(request, &Client::default()).await? {
        Registration::SessionStarted(grant) => Ok(grant),
        Registration::VerificationPending => panic!("a verified address was asked for"),
    }
}

/// The successor of a refresh token, as its text.
async fn refresh(doorward: &InProcess, token: &str) -> Option<String> {
    let request = RotateRefresh { refresh_token: SecretString::from(token) };
    let grant = doorward.auth.refresh(request, &Client::default()).await.ok()?;
    Some(grant.refresh_token.to_text().expose_secret().to_owned())
}

async fn one_round(doorward: &Arc<InProcess>, round: usize) {
    let registering: Vec<_> = (0..CROWD)
        .map(|n| {
            let doorward = Arc::clone(doorward);
            let address =
                if n % 2 == 0 { format!("ada{round}@example.com") } else { format!("ADA{round}@Example.COM") };
            tokio::spawn(async move { register(&doorward, &address).await })
        })
        .collect();
    let mut grants = Vec::new();
    for task in registering {
        match task.await.unwrap() {
            Ok(grant) => grants.push(grant),
            Err(RegisterError::EmailTaken) => {}
            Err(error) => panic!("round {round}: {error:?}"),
        }
    }
    assert_eq!(grants.len(), 1, "round {round}: one address made {} accounts", grants.len());

    let first = grants[0].refresh_token.to_text().expose_secret().to_owned();
    let refreshing: Vec<_> = (0..CROWD)
        .map(|_| {
            let (doorward, token) = (Arc::clone(doorward), first.clone());
            tokio::spawn(async move { refresh(&doorward, &token).await })
        })
        .collect();
    let mut successors = HashSet::new();
    for task in refreshing {
        successors.insert(task.await.unwrap().expect("a parallel refresh was refused"));
    }
    assert_eq!(successors.len(), 1, "round {round}: one token had {} successors", successors.len());
    let second = successors.into_iter().next().unwrap();

    // Using the successor starts the window in which its predecessor still gives it.
    let third = refresh(doorward, &second).await.expect("the successor works");
    assert_eq!(refresh(doorward, &first).await.as_ref(), Some(&second), "round {round}: within the window");
    doorward.clock.advance(Duration::from_secs(10));
    // Exactly one works now: the newest, which `second` still leads to because `third` is unused.
    assert_eq!(refresh(doorward, &second).await.as_ref(), Some(&third), "round {round}: retry");
    assert_eq!(refresh(doorward, &first).await, None, "round {round}: a replay was answered");
    for token in [&first, &second, &third] {
        assert_eq!(refresh(doorward, token).await, None, "round {round}: a token outlived the replay");
    }
}

async fn rounds_on(database: Database) {
    let doorward = Arc::new(InProcess::start(database).await);
    for round in 0..rounds(25) {
        one_round(&doorward, round).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_make_one_account_and_one_successor_on_sqlite() {
    rounds_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crowds_make_one_account_and_one_successor_on_postgres() {
    rounds_on(Database::Postgres).await;
}
