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

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_domain::{
    Client, Clock, CredentialVersion, DisplayName, EmailAddress, EndReason, Entropy, EntropyUnavailable, EventId,
    EventKind, EventReason, KeyAlgorithm, KeyId, PasswordCredential, PasswordHashString, RefreshTokenHash,
    RefreshTokenRecord, RequestId, SealedKey, SecurityEvent, Session, SessionId, StoreError, Timestamp, User,
    UserAgent, UserId,
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

#[doc(no_inline)]
pub use doorward_domain::Store;

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
            return Err(Violation::Broken(format!($($message)+)));
        }
    };
}

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

/// Every field of a user comes back as it was written.
pub async fn a_user_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let plain = user()?;
    let full = User {
        email: address("Full.Name+tag@xn--bcher-kva.example")?,
        email_verified_at: Some(after(1)),
        name: DisplayName::parse("Zoë \"O'Brien\" 李 🦊; DROP TABLE users").ok(),
        roles: vec!["admin".to_owned(), "a \"quoted\", role".to_owned()],
        disabled_at: Some(after(2)),
        created_at: Timestamp::from_unix_micros(1),
        updated_at: Timestamp::from_unix_micros(253_402_300_799_999_999),
        ..user()?
    };
    for user in [plain, full] {
        let mut unit = store.write().await?;
        must!(unit.users().insert_new(&user).await?, "a new user was not added");
        unit.commit().await?;
        let mut unit = store.read().await?;
        must!(unit.users().find(user.id).await?.as_ref() == Some(&user), "the user came back changed");
    }
    let mut unit = store.read().await?;
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    must!(unit.users().find(nobody).await?.is_none(), "an unknown user was found");
    Ok(())
}

/// Of many who register one address in any spelling, exactly one gets the account.
pub async fn one_address_is_one_account_however_many_ask(store: Arc<dyn Store>) -> Outcome {
    let writer = Arc::clone(&store);
    let added = crowd(move |n| {
        let store = Arc::clone(&writer);
        async move {
            let spelling = if n % 2 == 0 { "Crowd@Example.com" } else { "cROWD@eXAMPLE.COM" };
            let corrupt = |_| StoreError::Conflict { constraint: "case".to_owned() };
            let mut candidate = user().map_err(|_| StoreError::Conflict { constraint: "case".to_owned() })?;
            candidate.email = EmailAddress::parse(spelling).map_err(corrupt)?;
            let mut unit = store.write().await?;
            let added = unit.users().insert_new(&candidate).await?;
            unit.commit().await?;
            Ok(added)
        }
    })
    .await?;
    must!(count_true(&added) == 1, "{} of {CROWD} got the account", count_true(&added));
    Ok(())
}

/// A unit that is not committed did nothing, whatever it did.
pub async fn a_unit_that_is_dropped_leaves_no_trace(store: Arc<dyn Store>) -> Outcome {
    let user = user()?;
    let mut unit = store.write().await?;
    unit.users().insert_new(&user).await?;
    unit.credentials().insert(&credential(&user)?).await?;
    must!(unit.users().find(user.id).await?.is_some(), "a unit does not see its own work");
    drop(unit);
    must!(store.read().await?.users().find(user.id).await?.is_none(), "a dropped unit left a user");
    Ok(())
}

/// A read unit refuses to write, or what it wrote is gone with it.
pub async fn a_read_unit_changes_nothing(store: Arc<dyn Store>) -> Outcome {
    let user = user()?;
    let mut unit = store.read().await?;
    must!(unit.users().insert_new(&user).await.is_err(), "a read unit took a write");
    drop(unit);
    must!(store.read().await?.users().find(user.id).await?.is_none(), "a read unit left a user");
    Ok(())
}

/// Renaming returns the user as it is then, and nobody for an unknown id.
pub async fn a_renamed_user_is_returned(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    for name in [DisplayName::parse("Grace").ok(), None] {
        let mut unit = store.write().await?;
        let renamed = unit.users().rename(user.id, name.clone(), after(3)).await?;
        unit.commit().await?;
        let expected = User { name, updated_at: after(3), ..user.clone() };
        must!(renamed.as_ref() == Some(&expected), "the renamed user is {renamed:?}");
        must!(store.read().await?.users().find(user.id).await?.as_ref() == Some(&expected), "the name did not stay");
    }
    let nobody = UserId::new(&Surroundings, &Surroundings)?;
    must!(store.write().await?.users().rename(nobody, None, NOW).await?.is_none(), "an unknown user was renamed");
    Ok(())
}

/// The password of an account is found by every spelling of its address and by no other.
pub async fn a_password_is_found_by_any_spelling_of_the_address(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let credential = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&credential).await?;
    unit.commit().await?;
    for spelling in [user.email.as_str().to_owned(), user.email.as_str().to_uppercase()] {
        let found = store.read().await?.credentials().find_by_address(&address(&spelling)?).await?;
        let Some((found_user, found)) = found else {
            return Err(Violation::Broken(format!("{spelling} was not found")));
        };
        must!(found_user == user, "another user was found");
        must!(found.version == credential.version && found.hash == credential.hash, "the password came back changed");
    }
    let nobody = store.read().await?.credentials().find_by_address(&address("nobody@example.com")?).await?;
    must!(nobody.is_none(), "an unknown address was found");
    Ok(())
}

/// A second password for one user is a conflict.
pub async fn a_user_has_one_password(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&credential(&user)?).await?;
    let second = unit.credentials().insert(&credential(&user)?).await;
    must!(matches!(second, Err(StoreError::Conflict { .. })), "a second password gave {second:?}");
    Ok(())
}

/// Holding a setting of the password that is not the present one finds nobody.
pub async fn a_changed_password_is_not_held(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let present = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&present).await?;
    must!(unit.credentials().hold(user.id, present.version).await?.as_ref() == Some(&user), "it was not held");
    let former = CredentialVersion::new(&Surroundings, &Surroundings)?;
    must!(unit.credentials().hold(user.id, former).await?.is_none(), "a former password was held");
    Ok(())
}

/// While one unit holds a user, another does not change them.
pub async fn what_is_held_stays_until_the_unit_ends(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut holder = store.write().await?;
    must!(holder.users().hold(user.id).await?.is_some(), "the user was not held");

    let changed = Arc::new(AtomicBool::new(false));
    let (flag, other, id) = (Arc::clone(&changed), Arc::clone(&store), user.id);
    let changer = tokio::spawn(async move {
        let mut unit = other.write().await?;
        unit.users().rename(id, None, after(9)).await?;
        flag.store(true, Ordering::SeqCst);
        unit.commit().await
    });
    for _ in 0..CROWD {
        tokio::task::yield_now().await;
        let seen = holder.users().find(user.id).await?;
        must!(seen.as_ref() == Some(&user), "the held user changed");
        must!(!changed.load(Ordering::SeqCst), "another unit changed what was held");
    }
    holder.commit().await?;
    changer.await.map_err(|error| Violation::Broken(error.to_string()))??;
    let seen = store.read().await?.users().find(user.id).await?;
    must!(seen.is_some_and(|user| user.updated_at == after(9)), "the waiting unit's change was lost");
    Ok(())
}

/// Of many logins that upgrade one hash at once, one does.
pub async fn a_hash_is_upgraded_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let old = credential(&user)?;
    let mut unit = store.write().await?;
    unit.credentials().insert(&old).await?;
    unit.commit().await?;
    let (writer, id, hash) = (Arc::clone(&store), user.id, old.hash.clone());
    let upgraded = crowd(move |n| {
        let (store, old) = (Arc::clone(&writer), hash.clone());
        async move {
            let new = PasswordHashString::new(format!("$argon2id$new{n}"));
            let mut unit = store.write().await?;
            let happened = unit.credentials().upgrade_hash(id, &old, &new).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&upgraded) == 1, "the hash was upgraded {} times", count_true(&upgraded));
    let found = store.read().await?.credentials().find_by_address(&user.email).await?;
    let unchanged = found.is_some_and(|(_, found)| found.version == old.version && found.hash != old.hash);
    must!(unchanged, "an upgrade is the same setting of the password with another hash");
    Ok(())
}

/// Every field of a session comes back as it was written.
pub async fn a_session_survives_the_round_trip(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let mut session = session(&user)?;
    session.client = Client {
        ip: "2001:db8::7".parse().ok(),
        user_agent: Some(UserAgent::sanitized("agent \"7\"; '--")),
        request_id: None,
    };
    let mut unit = store.write().await?;
    unit.sessions().insert(&session, &hash(7)).await?;
    unit.sessions().touch(session.id, after(4), after(14)).await?;
    unit.commit().await?;
    let expected = Session { last_seen_at: after(4), idle_expires_at: after(14), ..session.clone() };
    let mut unit = store.write().await?;
    must!(unit.sessions().find(session.id).await?.as_ref() == Some(&expected), "the session came back changed");
    must!(unit.sessions().hold(session.id).await?.as_ref() == Some(&expected), "the held session is another");
    let first = unit.sessions().find_refresh(session.id, 0).await?;
    let expected = RefreshTokenRecord { generation: 0, hash: hash(7), used_at: None };
    must!(first == Some(expected), "the first refresh token is {first:?}");
    let nothing = SessionId::new(&Surroundings, &Surroundings)?;
    must!(unit.sessions().find(nothing).await?.is_none(), "an unknown session was found");
    must!(unit.sessions().hold(nothing).await?.is_none(), "an unknown session was held");
    Ok(())
}

/// A session of nobody is a conflict.
pub async fn a_session_needs_its_user(store: Arc<dyn Store>) -> Outcome {
    let orphan = session(&user()?)?;
    let mut unit = store.write().await?;
    let outcome = unit.sessions().insert(&orphan, &hash(0)).await;
    must!(matches!(outcome, Err(StoreError::Conflict { .. })), "a session of nobody gave {outcome:?}");
    Ok(())
}

/// Of many who present one refresh token, exactly one consumes it; nobody does with another hash.
pub async fn a_refresh_token_is_consumed_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    must!(!unit.sessions().consume_refresh(session.id, 0, &hash(9), NOW).await?, "a wrong hash was consumed");
    must!(!unit.sessions().consume_refresh(session.id, 1, &hash(0), NOW).await?, "a wrong generation was consumed");
    unit.commit().await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    let consumed = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let happened = unit.sessions().consume_refresh(id, 0, &hash(0), after(1)).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&consumed) == 1, "the token was consumed {} times", count_true(&consumed));
    let record = store.read().await?.sessions().find_refresh(session.id, 0).await?;
    must!(record.is_some_and(|record| record.used_at == Some(after(1))), "the use was not noted");
    Ok(())
}

/// A session has one token of each generation.
pub async fn a_chain_never_forks(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    unit.sessions().insert_refresh(session.id, 1, &hash(1)).await?;
    unit.commit().await?;
    let mut unit = store.write().await?;
    let fork = unit.sessions().insert_refresh(session.id, 1, &hash(2)).await;
    must!(matches!(fork, Err(StoreError::Conflict { .. })), "a fork gave {fork:?}");
    Ok(())
}

/// Forgetting takes the tokens whose successor was used before the cutoff, and no other.
pub async fn a_forgotten_token_leaves_its_successor(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let other = stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    // Generation n is used at second n, up to 4; generation 5 is unused.
    for generation in 0..5 {
        let (this, next) = (u8::try_from(generation).unwrap_or(0), generation + 1);
        let used_at = after(u64::from(generation));
        let consumed = unit.sessions().consume_refresh(session.id, generation, &hash(this), used_at).await?;
        must!(consumed, "generation {generation} was not consumed");
        unit.sessions().insert_refresh(session.id, next, &hash(this + 1)).await?;
    }
    unit.sessions().forget_refresh(session.id, after(3)).await?;
    let mut left = Vec::new();
    for generation in 0..6 {
        if unit.sessions().find_refresh(session.id, generation).await?.is_some() {
            left.push(generation);
        }
    }
    // 0 and 1 go: their successors were used at seconds 1 and 2. The successor of 2 was used at second 3.
    must!(left == [2, 3, 4, 5], "generations {left:?} were left");
    must!(unit.sessions().find_refresh(other.id, 0).await?.is_some(), "another session lost its token");
    Ok(())
}

/// Units that hold a session read what the ones before them wrote.
pub async fn units_that_hold_a_session_lose_no_update(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            if let Some(session) = unit.sessions().hold(id).await? {
                let next = session.last_seen_at.plus(Duration::from_secs(1));
                unit.sessions().touch(id, next, session.idle_expires_at).await?;
            }
            unit.commit().await
        }
    })
    .await?;
    let seen = store.read().await?.sessions().find(id).await?.map(|session| session.last_seen_at);
    must!(seen == Some(after(CROWD as u64)), "updates were lost: {seen:?}");
    Ok(())
}

/// Ending a session happens once, and the session stays to be asked about.
pub async fn a_session_ends_once(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let session = stored_session(&*store, &user).await?;
    let (writer, id) = (Arc::clone(&store), session.id);
    let ended = crowd(move |_| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let happened = unit.sessions().end(id, EndReason::LoggedOut, after(1)).await?;
            unit.commit().await?;
            Ok(happened)
        }
    })
    .await?;
    must!(count_true(&ended) == 1, "the session ended {} times", count_true(&ended));
    let found = store.read().await?.sessions().find(id).await?;
    must!(found.is_some_and(|session| session.ended_at == Some(after(1))), "the end was not noted");
    Ok(())
}

/// Ending all sessions of a user ends those that have not ended, names them, and touches nobody else's.
pub async fn all_sessions_of_one_user_end(store: Arc<dyn Store>) -> Outcome {
    let (user, stranger) = (stored_user(&*store).await?, stored_user(&*store).await?);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(stored_session(&*store, &user).await?.id);
    }
    let ended_before = stored_session(&*store, &user).await?.id;
    let strangers = stored_session(&*store, &stranger).await?.id;
    let mut unit = store.write().await?;
    unit.sessions().end(ended_before, EndReason::Replayed, NOW).await?;
    let mut ended = unit.sessions().end_all(user.id, EndReason::LoggedOutEverywhere, after(1)).await?;
    unit.commit().await?;
    ended.sort_unstable();
    expected.sort_unstable();
    must!(ended == expected, "{ended:?} were named, {expected:?} had to be");
    let mut unit = store.read().await?;
    for id in ended {
        let found = unit.sessions().find(id).await?;
        must!(found.is_some_and(|session| session.ended_at == Some(after(1))), "a named session did not end");
    }
    let found = unit.sessions().find(strangers).await?;
    must!(found.is_some_and(|session| session.ended_at.is_none()), "a stranger's session ended");
    Ok(())
}

/// Sessions that ended at or after a moment are named, others are not.
pub async fn ended_sessions_are_named_since_a_moment(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (early, late) = (stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id);
    stored_session(&*store, &user).await?;
    let mut unit = store.write().await?;
    unit.sessions().end(early, EndReason::LoggedOut, after(1)).await?;
    unit.sessions().end(late, EndReason::LoggedOut, after(2)).await?;
    unit.commit().await?;
    let named = store.read().await?.sessions().ended_since(after(2)).await?;
    must!(named == [late], "{named:?} were named, {late:?} had to be");
    Ok(())
}

/// Expired and ended sessions go in batches, with their tokens; live ones stay.
pub async fn expired_sessions_are_deleted_in_batches(store: Arc<dyn Store>) -> Outcome {
    let user = stored_user(&*store).await?;
    let (ended, idle) = (stored_session(&*store, &user).await?.id, stored_session(&*store, &user).await?.id);
    let live = stored_session(&*store, &user).await?.id;
    let mut unit = store.write().await?;
    unit.sessions().end(ended, EndReason::LoggedOut, NOW).await?;
    unit.sessions().touch(idle, NOW, after(1)).await?;
    unit.commit().await?;
    let mut batches = Vec::new();
    for _ in 0..3 {
        let mut unit = store.write().await?;
        batches.push(unit.sessions().delete_expired(after(2), 1).await?);
        unit.commit().await?;
    }
    must!(batches == [1, 1, 0], "batches of {batches:?} were deleted");
    let mut unit = store.read().await?;
    for gone in [ended, idle] {
        must!(unit.sessions().find(gone).await?.is_none(), "a session stayed");
        must!(unit.sessions().find_refresh(gone, 0).await?.is_none(), "a refresh token outlived its session");
    }
    must!(unit.sessions().find(live).await?.is_some(), "a live session was deleted");
    Ok(())
}

/// Every field of an event comes back as it was written, newest first.
pub async fn events_survive_the_round_trip_newest_first(store: Arc<dyn Store>) -> Outcome {
    let event = |seconds: u64| -> Result<SecurityEvent, Violation> {
        struct At(Timestamp);
        impl Clock for At {
            fn now(&self) -> Timestamp {
                self.0
            }
        }
        Ok(SecurityEvent {
            id: EventId::new(&At(after(seconds)), &Surroundings)?,
            at: after(seconds),
            kind: EventKind::Login,
            reason: None,
            user_id: None,
            session_id: None,
            client: Client::default(),
        })
    };
    let older = event(1)?;
    let newer = SecurityEvent {
        kind: EventKind::Refresh,
        reason: Some(EventReason::Replay),
        user_id: Some(UserId::new(&Surroundings, &Surroundings)?),
        session_id: Some(SessionId::new(&Surroundings, &Surroundings)?),
        client: Client {
            ip: "192.0.2.1".parse().ok(),
            user_agent: Some(UserAgent::sanitized("curl/8")),
            request_id: RequestId::parse("request-1"),
        },
        ..event(2)?
    };
    let mut unit = store.write().await?;
    unit.events().append(&older).await?;
    unit.events().append(&newer).await?;
    unit.commit().await?;
    let newest = store.read().await?.events().newest(10).await?;
    must!(newest == [newer.clone(), older], "the events came back changed: {newest:?}");
    let newest = store.read().await?.events().newest(1).await?;
    must!(newest == [newer], "one event was asked for: {newest:?}");
    Ok(())
}

/// Of many nodes that start at once, one makes the first key of an algorithm; all then read the same.
pub async fn the_first_key_is_made_once(store: Arc<dyn Store>) -> Outcome {
    let writer = Arc::clone(&store);
    let made = crowd(move |n| {
        let store = Arc::clone(&writer);
        async move {
            let key = SealedKey {
                id: KeyId::new(format!("key-{n}")),
                algorithm: KeyAlgorithm::EdDsa,
                sealed: vec![0, 255, 7],
                created_at: NOW,
            };
            let mut unit = store.write().await?;
            let made = unit.keys().insert_first(&key).await?;
            unit.commit().await?;
            Ok(made)
        }
    })
    .await?;
    must!(count_true(&made) == 1, "{} first keys were made", count_true(&made));
    let other = SealedKey {
        id: KeyId::new("other".to_owned()),
        algorithm: KeyAlgorithm::Es256,
        sealed: vec![1],
        created_at: after(1),
    };
    let mut unit = store.write().await?;
    must!(unit.keys().insert_first(&other).await?, "another algorithm has a first key of its own");
    unit.commit().await?;
    let keys = store.read().await?.keys().all().await?;
    must!(keys.len() == 2 && keys.last() == Some(&other), "the keys are {keys:?}");
    Ok(())
}
