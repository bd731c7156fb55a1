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

mod allowances;
mod credentials;
mod events;
mod keys;
mod one_time_tokens;
mod outbox;
mod owned;
mod proofs;
mod refresh_tokens;
mod revocations;
mod sessions;
mod throttles;
mod units;
mod users;
mod webhooks;

use std::future::Future;
use std::time::Duration;

use doorward_domain::{
    Client, Clock, CredentialVersion, EmailAddress, Entropy, EntropyUnavailable, PasswordCredential,
    PasswordHashString, RefreshTokenHash, Role, Session, SessionId, StoreError, Timestamp, User, UserId,
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
            the_oldest_sessions_end,
            a_session_is_seen_at_intervals,
            an_ended_session_is_named,
            nothing_that_is_committed_late_is_skipped,
            changed_roles_are_named,
            revocations_are_forgotten_in_batches,
            expired_sessions_are_deleted_in_batches,
            events_survive_the_round_trip_newest_first,
            a_user_s_events_are_their_own_and_without_refreshes,
            an_event_waits_to_be_sealed_from_its_commit_on,
            one_unit_at_a_time_holds_the_chain,
            sealed_events_are_in_the_order_of_the_chain,
            the_log_can_only_be_added_to_and_cut,
            a_key_is_followed_by_one,
            a_published_key_signs_earlier,
            a_change_of_keys_is_named,
            a_secret_is_made_once,
            a_user_is_disabled_once,
            roles_are_replaced,
            a_one_time_token_survives_the_round_trip,
            a_one_time_token_is_consumed_once,
            only_a_usable_one_time_token_is_consumed,
            the_token_of_the_latest_mail_stands,
            tokens_that_are_issued_at_once_leave_the_latest,
            issuing_a_token_again_moves_its_expiry,
            a_used_or_revoked_token_is_not_revived,
            a_one_time_token_needs_its_user,
            revoking_spares_one_purpose_and_other_users,
            one_time_tokens_go_with_their_user,
            expired_one_time_tokens_are_deleted_in_batches,
            a_mail_survives_the_round_trip,
            every_mail_is_leased_once,
            a_lease_excludes_others_until_it_ends,
            a_lost_lease_ends_nothing,
            a_held_lease_stays_until_the_unit_ends,
            a_slow_domain_holds_up_no_other,
            a_domain_is_idle_when_its_leases_have_ended,
            the_longest_due_are_leased,
            leased_mails_are_in_the_order_they_became_due,
            a_postponed_mail_is_due_at_its_moment,
            a_dead_letter_waits_to_be_requeued,
            a_mail_that_nobody_works_on_is_requeued,
            mails_are_listed_oldest_first,
            a_mail_that_nobody_works_on_is_removed,
            cancelling_takes_the_mails_with_tokens,
            erasing_takes_every_mail,
            an_allowance_is_five_however_many_ask,
            an_allowance_comes_back_one_by_one,
            allowances_are_forgotten_in_batches,
            a_proof_is_spent_once,
            a_proof_that_was_not_committed_is_not_spent,
            expired_proofs_are_forgotten_in_batches,
            the_language_of_a_user_survives_the_round_trip,
            a_user_is_found_by_any_spelling_of_the_address,
            an_address_is_verified_while_it_is_theirs,
            an_address_changes_to_a_free_one,
            one_address_is_given_to_one_user,
            a_deleted_user_leaves_nothing_behind,
            a_user_is_deleted_once,
            only_an_unverified_account_is_deleted_by_address,
            a_password_is_set_whether_or_not_there_was_one,
            only_an_unclaimed_password_is_removed_by_address,
            a_removed_password_is_no_password,
            every_failed_login_is_reported_once,
            one_session_is_spared_when_the_others_end,
            a_device_is_the_first_or_new_or_known,
            a_device_is_trusted_by_its_user_alone_and_so_many_at_once,
            a_rate_allows_so_many_at_once_however_many_ask,
            a_rate_comes_back_one_by_one,
            guesses_are_counted_however_many_come_at_once,
            guesses_are_delayed_and_end,
            a_right_password_has_guesses_counted_from_the_start,
            throttles_are_forgotten_in_batches,
            a_webhook_survives_the_round_trip,
            every_webhook_is_leased_once,
            a_leased_webhook_is_nobody_else_s,
            a_lost_lease_of_a_webhook_ends_nothing,
            webhooks_to_one_endpoint_hold_up_no_other,
            the_longest_due_webhooks_are_leased_in_their_order,
            a_postponed_webhook_is_due_at_its_moment,
            a_dead_webhook_waits_to_be_requeued,
            webhooks_are_listed_oldest_first,
            a_webhook_that_nobody_works_on_is_removed,
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

pub use allowances::*;
pub use credentials::*;
#[doc(no_inline)]
pub use doorward_domain::Store;
pub use events::*;
pub use keys::*;
pub use one_time_tokens::*;
pub use outbox::*;
pub use owned::*;
pub use proofs::*;
pub use refresh_tokens::*;
pub use revocations::*;
pub use sessions::*;
pub use throttles::*;
pub use units::*;
pub use users::*;
pub use webhooks::*;

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

/// Returns a [`Violation`] from a case unless the condition holds.
#[macro_export]
macro_rules! must {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Violation::Broken(format!($($message)+)));
        }
    };
}
pub use must;

/// How many units compete where a port speaks of "any number".
pub const CROWD: usize = 50;

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

fn role(text: &str) -> Result<Role, Violation> {
    Role::parse(text).map_err(|error| Violation::Broken(error.to_string()))
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

/// Runs `work` [`CROWD`] times at once, each on a task of its own, and repeats what collides as use cases do.
pub async fn crowd<T, F, Work>(work: F) -> Result<Vec<T>, Violation>
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
