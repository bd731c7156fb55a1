//! The ports to storage.
//!
//! # Units of work
//!
//! [`Store::read`] and [`Store::write`] each open one database transaction, which hands out the repositories.
//! A [`WriteUnit`] that is dropped without [`commit`](WriteUnit::commit) leaves no trace. What belongs together
//! (a user, a credential, a session, a security event) is written in one unit.
//!
//! # What two callers at once see
//!
//! Every method says it for itself. The rule behind all of them: what is decided once is decided by one guarded
//! statement that returns whether it happened, never by reading first and writing then; and where a unit needs
//! a row to stay as it is, it asks for it with `hold`.
//!
//! # Adding an adapter
//!
//! Implement [`Store`] and the unit behind it, then run the conformance suite that `doorward-persistence`
//! exports (`conformance`) against it. The suite is the specification: an adapter that passes can be used.

use std::error::Error;

use async_trait::async_trait;
use thiserror::Error;

use crate::{
    CredentialVersion, DisplayName, EmailAddress, EndReason, Mail, MailId, OneTimePurpose, OneTimeToken,
    OneTimeTokenHash, PasswordCredential, PasswordHashString, QueuedMail, RefreshTokenHash, RefreshTokenRecord,
    SealedKey, SecurityEvent, Session, SessionId, Timestamp, User, UserId,
};

/// What went wrong below a storage port.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A rule of the schema was broken that the use case did not foresee; names the constraint.
    #[error("conflict with {constraint}")]
    Conflict {
        /// The constraint, as the schema names it.
        constraint: String,
    },
    /// The unit met another one and may succeed when it is tried again as a whole.
    #[error("the unit of work collided with another")]
    Retryable(#[source] Box<dyn Error + Send + Sync>),
    /// A row cannot be what Doorward wrote.
    #[error("the stored {what} cannot be read")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
        /// What could not be read in it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database cannot be reached or cannot answer.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// The port to the database.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens a unit that sees one state of the database and MUST refuse to change it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError>;

    /// Opens a unit that can change the database.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError>;
}

/// The repositories that a unit of work hands out.
pub trait Repositories: Send {
    /// Who has an account.
    fn users(&mut self) -> &mut dyn UserRepo;
    /// What proves who they are.
    fn credentials(&mut self) -> &mut dyn CredentialRepo;
    /// Their sessions and refresh tokens.
    fn sessions(&mut self) -> &mut dyn SessionRepo;
    /// The security log.
    fn events(&mut self) -> &mut dyn EventLog;
    /// The keys that sign access tokens.
    fn keys(&mut self) -> &mut dyn KeyRepo;
    /// The tokens that have been mailed.
    fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo;
    /// The mails that wait to be delivered.
    fn outbox(&mut self) -> &mut dyn Outbox;
}

/// A unit of work that only reads. Ends when it is dropped.
pub trait ReadUnit: Repositories {}

/// A unit of work that changes things. Dropping it undoes them.
#[async_trait]
pub trait WriteUnit: Repositories {
    /// Makes everything that the unit did visible to others, and durable, at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Retryable`] when another unit was in the way, [`StoreError::Unavailable`] when the
    /// database went away; whether the unit took effect is not known then.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Users.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait UserRepo: Send {
    /// Adds a user unless the canonical address has an account already; says whether it was added.
    ///
    /// Of any number of callers with one canonical address, exactly one gets `true`.
    async fn insert_new(&mut self, user: &User) -> Result<bool, StoreError>;

    /// The user, or `None`.
    async fn find(&mut self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user, who MUST NOT be changed by another unit until this one ends; or `None`.
    async fn hold(&mut self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Sets or clears the name and returns the user as it is then, or `None` where there is no such user.
    /// Of two callers at once, the later one's name stands.
    async fn rename(
        &mut self,
        id: UserId,
        name: Option<DisplayName>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError>;

    /// The user with this canonical address, or `None`.
    async fn find_by_address(&mut self, address: &EmailAddress) -> Result<Option<User>, StoreError>;

    /// Notes that the user reads mail at this address, unless that was noted before; says whether the address is
    /// still theirs.
    async fn verify_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError>;

    /// Gives the user another address, verified; says whether it could be given. `false` where there is no such
    /// user or another one has the canonical address.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when another unit gave the address away at the same moment.
    async fn change_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError>;

    /// Deletes the account with this canonical address, provided that the address is unverified and the account not
    /// disabled: somebody else has proved that the address is theirs. With `spare_used`, an account stays whose user
    /// has a known device.
    async fn delete_unverified(&mut self, address: &EmailAddress, spare_used: bool) -> Result<(), StoreError>;

    /// Deletes the user with everything that is theirs, the security log and the outbox excepted; says whether there
    /// was one. The unit MUST hold the user, so that no session begins meanwhile.
    ///
    /// [`SessionRepo::ended_since`] goes on naming the deleted sessions as ended now.
    async fn delete(&mut self, id: UserId, now: Timestamp) -> Result<bool, StoreError>;
}

/// Passwords.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait CredentialRepo: Send {
    /// Adds a user's password.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the user has one.
    async fn insert(&mut self, credential: &PasswordCredential) -> Result<(), StoreError>;

    /// The account with this canonical address and its password, or `None`.
    ///
    /// MUST be one statement, whether or not there is such an account, so that the time it takes tells as
    /// little as possible.
    async fn find_by_address(
        &mut self,
        address: &EmailAddress,
    ) -> Result<Option<(User, PasswordCredential)>, StoreError>;

    /// The user, provided that their password is still this setting of it; else `None`.
    ///
    /// Both MUST stay as they are until the unit ends: a unit that changes the password or disables the user
    /// waits for this one, and this one for it.
    async fn hold(&mut self, user_id: UserId, version: CredentialVersion) -> Result<Option<User>, StoreError>;

    /// Replaces the hash of an unchanged password by another hash of the same password; says whether it was
    /// still there to be replaced. Of two callers at once with the same `old`, one gets `true`.
    async fn upgrade_hash(
        &mut self,
        user_id: UserId,
        old: &PasswordHashString,
        new: &PasswordHashString,
    ) -> Result<bool, StoreError>;

    /// The user's password, or `None`.
    async fn find(&mut self, user_id: UserId) -> Result<Option<PasswordCredential>, StoreError>;

    /// Sets a user's password, whether or not they have one, and forgets their failed log-ins.
    async fn set(&mut self, credential: &PasswordCredential) -> Result<(), StoreError>;

    /// Takes the password of the account with this canonical address away, provided that the address is unverified,
    /// the account not disabled, and no device of its user known; says whether it was. One statement, whatever there
    /// is.
    async fn remove_unverified(&mut self, address: &EmailAddress) -> Result<bool, StoreError>;

    /// Takes the user's password away, so that no password is the right one.
    async fn remove(&mut self, user_id: UserId) -> Result<(), StoreError>;

    /// Counts a wrong password. One statement, whether or not there is such a user.
    async fn note_failure(&mut self, user_id: UserId) -> Result<(), StoreError>;

    /// How many wrong passwords were counted since this was last asked.
    async fn take_failures(&mut self, user_id: UserId) -> Result<u32, StoreError>;
}

/// How a device relates to those that a user has logged in from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceSeen {
    /// The user had none before.
    First,
    /// The user had others before.
    New,
    /// It was seen before.
    Known,
}

/// Sessions and their refresh tokens.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait SessionRepo: Send {
    /// Adds a session and its first refresh token, of generation 0.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when there is no such user or the id is taken.
    async fn insert(&mut self, session: &Session, first: &RefreshTokenHash) -> Result<(), StoreError>;

    /// The session, live or not, or `None`.
    async fn find(&mut self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// The session, live or not, which MUST NOT be changed by another unit until this one ends; or `None`.
    /// Callers with one session go one after the other.
    async fn hold(&mut self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// Marks a refresh token as used, unless it has been used before; says whether it was marked. `false` also
    /// where no token of the session has this generation and hash.
    ///
    /// Of any number of callers with one token, exactly one gets `true`.
    async fn consume_refresh(
        &mut self,
        id: SessionId,
        generation: u32,
        hash: &RefreshTokenHash,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Adds the next refresh token of a session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the session has one of this generation: a chain never forks.
    async fn insert_refresh(
        &mut self,
        id: SessionId,
        generation: u32,
        hash: &RefreshTokenHash,
    ) -> Result<(), StoreError>;

    /// What is known of the session's refresh token of this generation; `None` when it never was or has been
    /// forgotten.
    async fn find_refresh(&mut self, id: SessionId, generation: u32) -> Result<Option<RefreshTokenRecord>, StoreError>;

    /// Forgets the session's refresh tokens whose successor was used before `cutoff`. Presenting one of them is
    /// a replay, and that can be told without its record.
    async fn forget_refresh(&mut self, id: SessionId, cutoff: Timestamp) -> Result<(), StoreError>;

    /// Notes that a session was seen and until when it may now be idle.
    async fn touch(&mut self, id: SessionId, now: Timestamp, idle_expires_at: Timestamp) -> Result<(), StoreError>;

    /// Ends a session unless it has been ended before; says whether it was ended now.
    async fn end(&mut self, id: SessionId, reason: EndReason, now: Timestamp) -> Result<bool, StoreError>;

    /// Ends every session of a user but `except` that has not been ended before, and names them.
    ///
    /// A unit that holds the user ([`UserRepo::hold`]) while it opens a session is either seen by this one or
    /// waits for it, when this unit holds the user as well.
    async fn end_all(
        &mut self,
        user_id: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError>;

    /// The sessions that were ended at or after this moment.
    async fn ended_since(&mut self, moment: Timestamp) -> Result<Vec<SessionId>, StoreError>;

    /// Deletes up to `limit` sessions, with their refresh tokens, that ended or expired before `moment`;
    /// says how many. Sessions of deleted users are forgotten in the same batches.
    async fn delete_expired(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Remembers a device of a user by its digest, and says whether it was known.
    async fn note_device(
        &mut self,
        user_id: UserId,
        device: [u8; 32],
        now: Timestamp,
    ) -> Result<DeviceSeen, StoreError>;
}

/// One-time tokens that were mailed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait OneTimeTokenRepo: Send {
    /// Makes a token the only outstanding one of its user and purpose; says whether it is that now.
    ///
    /// A token of a later mail stands, and so does the use or the revocation of this one. Doing it again for an
    /// outstanding token moves its expiry.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when there is no such user.
    async fn issue(&mut self, token: &OneTimeToken) -> Result<bool, StoreError>;

    /// The token with this hash while it can be used for this purpose, or `None`.
    async fn find(
        &mut self,
        purpose: OneTimePurpose,
        hash: &OneTimeTokenHash,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>, StoreError>;

    /// The same, and uses it up. Of any number of callers with one token, exactly one gets it.
    async fn consume(
        &mut self,
        purpose: OneTimePurpose,
        hash: &OneTimeTokenHash,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>, StoreError>;

    /// Whether the user has a token of this purpose that can be used.
    async fn is_outstanding(
        &mut self,
        user_id: UserId,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Makes every outstanding token of a user useless, except those of one purpose.
    async fn revoke_all(
        &mut self,
        user_id: UserId,
        except: Option<OneTimePurpose>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Deletes up to `limit` tokens that expired before `moment`; says how many.
    async fn delete_expired(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Whose turn it is to mail an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// What anybody can ask for by naming the address.
    Requested,
    /// What tells of a log-in that may not have been the owner's. This and the next are used when the first is spent,
    /// so that nobody can spend that to keep an owner in the dark.
    LogIns,
    /// What tells of a change to the account. Apart from log-ins, since whoever knows the password can make as many of
    /// those as they like.
    Notices,
}

/// The mails that wait to be delivered.
///
/// A mail is leased before it is worked on. While the lease lasts nobody else gets the mail, and with its end
/// anybody does, so a node that died holds nothing up. What ends a lease names it by its moment, and does nothing
/// when the lease has passed to somebody else.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Outbox: Send {
    /// Takes one of the five mails that an address gets of an allowance between `since` and `now`, whatever its
    /// spelling; says whether one was left. MUST be one statement: of any number of callers, five get one.
    async fn take_allowance(
        &mut self,
        address: &EmailAddress,
        allowance: Allowance,
        now: Timestamp,
        since: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Adds a mail that has not been tried, due at the moment it was made.
    async fn push(&mut self, mail: &Mail) -> Result<(), StoreError>;

    /// Whether a mail is due.
    async fn has_due(&mut self, now: Timestamp) -> Result<bool, StoreError>;

    /// Leases up to `limit` mails that are due, the longest due first, all to the same domain, preferably one that
    /// nobody is at work on: a domain that is slow holds up no other.
    async fn lease(&mut self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Mail>, StoreError>;

    /// Whether the lease still stands; it MUST NOT be ended by another unit until this one ends.
    async fn hold_lease(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError>;

    /// Removes a leased mail, which was delivered or is moot; says whether the lease stood.
    async fn finish(&mut self, id: MailId, until: Timestamp) -> Result<bool, StoreError>;

    /// Ends a lease after a failed attempt. The mail is due again at `due_at`; with `None` it is a dead letter.
    async fn postpone(
        &mut self,
        id: MailId,
        until: Timestamp,
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError>;

    /// Removes every mail of a user, and of nobody in particular to their address, that would carry a token, except the one that undoes a change
    /// of addresses.
    async fn cancel(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError>;

    /// Removes every mail of a user, and of nobody in particular to their address.
    async fn erase(&mut self, user_id: UserId, address: &EmailAddress) -> Result<(), StoreError>;

    /// Up to `limit` mails, oldest first.
    async fn list(&mut self, limit: u32) -> Result<Vec<QueuedMail>, StoreError>;

    /// The mail, or `None`.
    async fn find(&mut self, id: MailId) -> Result<Option<QueuedMail>, StoreError>;

    /// Makes a mail that nobody is at work on due now, a dead letter as well; says whether there was one.
    async fn requeue(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a mail that nobody is at work on; says whether there was one.
    async fn remove(&mut self, id: MailId, now: Timestamp) -> Result<bool, StoreError>;

    /// Forgets up to `limit` allowances of which nothing was taken since `moment`; says how many.
    async fn forget_allowances(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// The security log. Entries are added and never changed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait EventLog: Send {
    /// Adds an entry.
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError>;

    /// The newest entries, newest first.
    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError>;
}

/// The keys that sign access tokens.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait KeyRepo: Send {
    /// Every key, oldest first.
    async fn all(&mut self) -> Result<Vec<SealedKey>, StoreError>;

    /// Adds the first key for its algorithm unless there is one; says whether it was added.
    ///
    /// Of any number of nodes that start at once, exactly one gets `true`.
    async fn insert_first(&mut self, key: &SealedKey) -> Result<bool, StoreError>;
}

#[cfg(feature = "mocks")]
pub use mocks::MockUnit;

#[cfg(feature = "mocks")]
mod mocks {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{
        CredentialRepo, EventLog, KeyRepo, MockCredentialRepo, MockEventLog, MockKeyRepo, MockOneTimeTokenRepo,
        MockOutbox, MockSessionRepo, MockUserRepo, OneTimeTokenRepo, Outbox, ReadUnit, Repositories, SessionRepo,
        StoreError, UserRepo, WriteUnit, async_trait,
    };

    /// A unit of work whose repositories are mocks, and which remembers whether it was committed.
    #[derive(Default)]
    #[allow(missing_docs, reason = "each field is the mock of the repository it is named for")]
    pub struct MockUnit {
        pub users: MockUserRepo,
        pub credentials: MockCredentialRepo,
        pub sessions: MockSessionRepo,
        pub events: MockEventLog,
        pub keys: MockKeyRepo,
        pub one_time_tokens: MockOneTimeTokenRepo,
        pub outbox: MockOutbox,
        /// Becomes true when the unit is committed; shared with the test.
        pub committed: Arc<AtomicBool>,
    }

    impl Repositories for MockUnit {
        fn users(&mut self) -> &mut dyn UserRepo {
            &mut self.users
        }
        fn credentials(&mut self) -> &mut dyn CredentialRepo {
            &mut self.credentials
        }
        fn sessions(&mut self) -> &mut dyn SessionRepo {
            &mut self.sessions
        }
        fn events(&mut self) -> &mut dyn EventLog {
            &mut self.events
        }
        fn keys(&mut self) -> &mut dyn KeyRepo {
            &mut self.keys
        }
        fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo {
            &mut self.one_time_tokens
        }
        fn outbox(&mut self) -> &mut dyn Outbox {
            &mut self.outbox
        }
    }

    impl ReadUnit for MockUnit {}

    #[async_trait]
    impl WriteUnit for MockUnit {
        async fn commit(self: Box<Self>) -> Result<(), StoreError> {
            self.committed.store(true, Ordering::SeqCst);
            Ok(())
        }
    }
}
