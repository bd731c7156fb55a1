use async_trait::async_trait;

use crate::{GuessPolicy, Rate, StoreError, Timestamp};

/// Names what is counted, as a digest: the table holds no address of anybody who has no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottleKey([u8; 32]);

impl ThrottleKey {
    /// The digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, for a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There was, and it is taken.
    Yes,
    /// There was not, and nothing was taken; there may be at this moment.
    NotBefore(Timestamp),
}

/// What is counted for all nodes together: so that a second node doubles nobody's budget.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ThrottleRepo: Send {
    /// Takes one of what a rate allows. MUST be decided by one statement: of any number of callers at one moment, as many
    /// get one as the rate allows at once.
    async fn take(&mut self, key: &ThrottleKey, rate: Rate, now: Timestamp) -> Result<Taken, StoreError>;

    /// Gives one back that was taken and not used.
    async fn give_back(&mut self, key: &ThrottleKey, rate: Rate) -> Result<(), StoreError>;

    /// Counts a password that is about to be tried, unless the policy forbids a further one at this moment. MUST be
    /// decided by one statement: of any number of callers at one moment, as many may try as the policy allows.
    ///
    /// What is `kept` counts over any time; the rest may be forgotten.
    async fn begin_guess(
        &mut self,
        key: &ThrottleKey,
        policy: &GuessPolicy,
        kept: bool,
        now: Timestamp,
    ) -> Result<Taken, StoreError>;

    /// Counts one less: the password was not tried after all. A further one may be tried at once.
    async fn take_back_guess(&mut self, key: &ThrottleKey, now: Timestamp) -> Result<(), StoreError>;

    /// Counts from the start: the password was the right one.
    async fn clear_guesses(&mut self, key: &ThrottleKey) -> Result<(), StoreError>;

    /// How many passwords in a row have been counted.
    async fn guesses(&mut self, key: &ThrottleKey) -> Result<u32, StoreError>;

    /// Forgets up to `limit` each of rates that have come back, and of guesses that are not kept and before `moment`;
    /// says how many of the more numerous.
    async fn forget(&mut self, now: Timestamp, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
