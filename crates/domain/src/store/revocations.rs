use async_trait::async_trait;

use crate::{RecordedRevocation, StoreError, Timestamp};

/// How far a reader of the [`RevocationLog`] has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationPosition(i64);

impl RevocationPosition {
    /// Before everything.
    pub const START: Self = Self(0);

    /// The position as an adapter counts.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The adapter's number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

/// What no longer holds though access tokens say it, in the order in which it can be read.
///
/// The other repositories add to it: a unit that ends a session, deletes a user, sets roles or changes the signing
/// keys records that here, and so it is read exactly when that has been committed.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait RevocationLog: Send {
    /// What a reader who has got to `position` has not read, and how far that brings it. Roles are those that the
    /// user has now.
    ///
    /// Whatever is committed after this has been read is read next time, however long its unit took. Something may
    /// be read twice.
    async fn since(
        &mut self,
        position: RevocationPosition,
    ) -> Result<(Vec<RecordedRevocation>, RevocationPosition), StoreError>;

    /// Forgets up to `limit` entries from before `moment`; says how many.
    async fn forget(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
