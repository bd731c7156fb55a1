use std::time::Duration;

use async_trait::async_trait;

use crate::{EndReason, RefreshTokenHash, RefreshTokenRecord, Session, SessionId, StoreError, Timestamp, UserId};

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
///
/// Whatever ends one records it in the [`RevocationLog`](super::RevocationLog).
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
    /// A unit that holds the user ([`UserRepo::hold`](super::UserRepo::hold)) while it opens a session is either seen by this one or
    /// waits for it, when this unit holds the user as well.
    async fn end_all(
        &mut self,
        user_id: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError>;

    /// Ends the user's oldest sessions so that this many go on, and names those that were ended. The unit MUST hold
    /// the user.
    async fn end_oldest(&mut self, user_id: UserId, most: u32, now: Timestamp) -> Result<Vec<SessionId>, StoreError>;

    /// The sessions of a user that go on, the newest first.
    async fn live(&mut self, user_id: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError>;

    /// Notes when these sessions were seen, where that is later by `apart` at least than what was noted before.
    async fn note_seen(&mut self, seen: &[(SessionId, Timestamp)], apart: Duration) -> Result<(), StoreError>;

    /// Deletes up to `limit` sessions, with their refresh tokens, that ended or expired before `moment`;
    /// says how many.
    async fn delete_expired(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Remembers a device of a user by its digest, and says whether it was known.
    async fn note_device(
        &mut self,
        user_id: UserId,
        device: [u8; 32],
        now: Timestamp,
    ) -> Result<DeviceSeen, StoreError>;

    /// Whether the user has logged in from the device with this digest, which the device itself can show: one statement,
    /// whether or not there is such a user.
    async fn trusts_device(&mut self, user_id: UserId, device: [u8; 32]) -> Result<bool, StoreError>;

    /// Trusts a device of the user from now on, and forgets those that were longest not seen so that `most` are left.
    async fn trust_device(
        &mut self,
        user_id: UserId,
        device: [u8; 32],
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Trusts none of the user's devices any more.
    async fn forget_trusted_devices(&mut self, user_id: UserId) -> Result<(), StoreError>;
}
