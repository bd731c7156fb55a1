use async_trait::async_trait;
use doorward_domain::store::KeyRepo;
use doorward_domain::{KeyId, SealedKey, StoreError};

use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

#[async_trait]
impl<D: Dialect> KeyRepo for Unit<D> {
    async fn all(&mut self) -> Result<Vec<SealedKey>, StoreError> {
        let rows =
            Statement::<D>::new("SELECT id, algorithm, sealed, created_at FROM signing_keys ORDER BY created_at, id")
                .fetch_all(self.connection())
                .await?;
        rows.iter()
            .map(|row| {
                Ok(SealedKey {
                    id: KeyId::new(column::<D, _>(row, "id")?),
                    algorithm: column::<D, String>(row, "algorithm")?.parse().map_err(corrupt("algorithm"))?,
                    sealed: column::<D, _>(row, "sealed")?,
                    created_at: moment::<D>(row, "created_at")?,
                })
            })
            .collect()
    }

    async fn insert_first(&mut self, key: &SealedKey) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "INSERT INTO signing_keys (id, algorithm, sealed, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (algorithm) DO NOTHING",
        )
        .bind(key.id.as_str().to_owned())
        .bind(key.algorithm.as_str().to_owned())
        .bind(key.sealed.clone())
        .bind(key.created_at.unix_micros())
        .happened(self.connection())
        .await
    }
}
