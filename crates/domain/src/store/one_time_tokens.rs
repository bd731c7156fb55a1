use async_trait::async_trait;

use crate::{OneTimePurpose, OneTimeToken, OneTimeTokenHash, StoreError, Timestamp, UserId};

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
