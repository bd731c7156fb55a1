//! What every storage adapter has to do, as cases that run against it.
//!
//! In the tests of an adapter, with `tokio` (features `macros`, `rt-multi-thread`) among the dev-dependencies:
//!
//! ```text
//! doorward_persistence::conformance_suite!(async { Arc::new(MyStore::open_empty().await) });
//! ```
//!
//! The expression is awaited once for each case and has to give an empty store each time. Every case becomes a
//! test of its own name.

#![allow(clippy::missing_errors_doc, reason = "every case returns the violation that it found")]

mod credentials;
mod events;
mod keys;
mod refresh_tokens;
mod sessions;
mod units;
mod users;

use std::future::Future;
use std::time::Duration;

use doorward_domain::{
    Client, Clock, CredentialVersion, EmailAddress, Entropy, EntropyUnavailable, PasswordCredential,
    PasswordHashString, RefreshTokenHash, Session, SessionId, StoreError, Timestamp, User, UserId,
};
use thiserror::Error;

/// Makes a test of every case for the store that the expression gives.
#[macro_export]
macro_rules! conformance_suite {
    ($store:expr) => {
        $crate::conformance_suite!(@cases $store;
            a_user_survives_the_round_trip,
            one_address_is_one_account_however_many_ask,
            a_unit_that_is_dropped_leaves_no_trace,
            a_read_unit_changes_nothing,
            a_renamed_user_is_returned,
            a_password_is_found_by_any_spelling_of_the_address,
            a_user_has_one_password,
            a_changed_password_is_not_held,
            what_is_held_stays_until_the_unit_ends,
            a_hash_is_upgraded_once,
            a_session_survives_the_round_trip,
            a_session_needs_its_user,
            a_refresh_token_is_consumed_once,
            a_chain_never_forks,
            a_forgotten_token_leaves_its_successor,
            units_that_hold_a_session_lose_no_update,
            a_session_ends_once,
            all_sessions_of_one_user_end,
            ended_sessions_are_named_since_a_moment,
            expired_sessions_are_deleted_in_batches,
            events_survive_the_round_trip_newest_first,
            the_first_key_is_made_once,
        );
    };
    (@cases $store:expr; $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let store: std::sync::Arc<dyn $crate::conformance::Store> = ($store).await;
                if let Err(violation) = $crate::conformance::$case(store).await {
                    panic!("{violation}");
                }
            }
        )*
    };
}

pub use credentials::*;
#[doc(no_inline)]
pub use doorward_domain::Store;
pub use events::*;
pub use keys::*;
pub use refresh_tokens::*;
pub use sessions::*;
pub use units::*;
pub use users::*;

/// What an adapter did that it must not, or did not that it must.
#[derive(Debug, Error)]
pub enum Violation {
    /// Something else happened than has to.
    #[error("{0}")]
    Broken(String),
    /// An operation failed that has to succeed.
    #[error("an operation failed: {0:?}")]
    Failed(#[from] StoreError),
    /// The system gave no randomness for the case.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}

type Outcome = Result<(), Violation>;

macro_rules! must {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::Broken(format!($($message)+)));
        }
    };
}
use must;

/// How many units compete where the port speaks of "any number".
const CROWD: usize = 50;

/// The surroundings of a case: a clock that stands still, and randomness so that ids do not collide.
struct Surroundings;

const NOW: Timestamp = Timestamp::from_unix_micros(1_700_000_000_123_456);

impl Clock for Surroundings {
    fn now(&self) -> Timestamp {
        NOW
    }
}

impl Entropy for Surroundings {
    #[expect(clippy::disallowed_methods, reason = "a suite for adapters brings its own surroundings")]
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        getrandom::fill(bytes).map_err(|_| EntropyUnavailable)
    }
}

fn address(text: &str) -> Result<EmailAddress, Violation> {
    EmailAddress::parse(text).map_err(|error| Violation::Broken(error.to_string()))
}

fn user() -> Result<User, Violation> {
    let id = UserId::new(&Surroundings, &Surroundings)?;
    Ok(User {
        id,
        email: address(&format!("User.{id}@Example.com"))?,
        email_verified_at: None,
        name: None,
        locale: None,
        roles: Vec::new(),
        disabled_at: None,
        created_at: NOW,
        updated_at: NOW,
    })
}

fn credential(user: &User) -> Result<PasswordCredential, Violation> {
    Ok(PasswordCredential {
        user_id: user.id,
        version: CredentialVersion::new(&Surroundings, &Surroundings)?,
        hash: PasswordHashString::new("$argon2id$old".to_owned()),
    })
}

fn session(user: &User) -> Result<Session, Violation> {
    Ok(Session {
        id: SessionId::new(&Surroundings, &Surroundings)?,
        user_id: user.id,
        credential_version: CredentialVersion::new(&Surroundings, &Surroundings)?,
        authenticated_at: NOW,
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        last_seen_at: NOW,
        idle_expires_at: after(10),
        expires_at: after(20),
        ended_at: None,
        client: Client::default(),
    })
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

const fn hash(byte: u8) -> RefreshTokenHash {
    RefreshTokenHash::from_bytes([byte; 32])
}

async fn stored_user(store: &dyn Store) -> Result<User, Violation> {
    let user = user()?;
    let mut unit = store.write().await?;
    unit.users().insert_new(&user).await?;
    unit.commit().await?;
    Ok(user)
}

async fn stored_session(store: &dyn Store, user: &User) -> Result<Session, Violation> {
    let session = session(user)?;
    let mut unit = store.write().await?;
    unit.sessions().insert(&session, &hash(0)).await?;
    unit.commit().await?;
    Ok(session)
}

/// Runs `work` a number of times at once, each on a task of its own, and repeats what collides as use cases do.
async fn crowd<T, F, Work>(work: F) -> Result<Vec<T>, Violation>
where
    T: Send + 'static,
    F: Fn(usize) -> Work + Clone + Send + 'static,
    Work: Future<Output = Result<T, StoreError>> + Send,
{
    let tasks: Vec<_> = (0..CROWD)
        .map(|n| {
            let work = work.clone();
            tokio::spawn(async move {
                let mut attempts = 0;
                loop {
                    match work(n).await {
                        Err(StoreError::Retryable(_)) if attempts < 10 => attempts += 1,
                        outcome => return outcome,
                    }
                }
            })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.map_err(|error| Violation::Broken(error.to_string()))??);
    }
    Ok(outcomes)
}

fn count_true(outcomes: &[bool]) -> usize {
    outcomes.iter().filter(|happened| **happened).count()
}
