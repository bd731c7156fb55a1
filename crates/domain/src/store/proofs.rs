use async_trait::async_trait;

use crate::{ProofId, StoreError, Timestamp};

/// The proofs of work that have been used.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait ProofRepo: Send {
    /// Uses a proof up; says whether it had not been used before.
    ///
    /// Of any number of callers with one proof, exactly one gets `true`.
    async fn spend(&mut self, id: &ProofId, expires_at: Timestamp) -> Result<bool, StoreError>;

    /// Forgets up to `limit` proofs that expired before `moment`; says how many.
    async fn forget(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
