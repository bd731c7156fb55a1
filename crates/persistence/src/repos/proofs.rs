use async_trait::async_trait;
use doorward_domain::store::ProofRepo;
use doorward_domain::{ProofId, StoreError, Timestamp};

use crate::dialect::{Dialect, Statement};
use crate::unit::Unit;

#[async_trait]
impl<D: Dialect> ProofRepo for Unit<D> {
    async fn spend(&mut self, id: &ProofId, expires_at: Timestamp) -> Result<bool, StoreError> {
        Statement::<D>::new("INSERT INTO spent_proofs (id, expires_at) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
            .bind(id.as_bytes().to_vec())
            .bind(expires_at.unix_micros())
            .happened(self.connection())
            .await
    }

    async fn forget(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Statement::<D>::new(
            "DELETE FROM spent_proofs WHERE id IN (SELECT id FROM spent_proofs WHERE expires_at < $1 LIMIT $2)",
        )
        .bind(moment.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await
    }
}
