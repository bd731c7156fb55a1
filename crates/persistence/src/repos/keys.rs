use async_trait::async_trait;
use doorward_domain::store::KeyRepo;
use doorward_domain::{KeyAlgorithm, KeyId, SealedKey, SealedSecret, StoreError, Timestamp};

use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

const SECRETS: &str = "SELECT name, sealed FROM sealed_secrets ORDER BY name";
const HOLD_SECRETS: &str = "SELECT name, sealed FROM sealed_secrets ORDER BY name FOR NO KEY UPDATE";

fn secret<D: Dialect>(row: &D::Row) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret { name: column::<D, _>(row, "name")?, sealed: column::<D, _>(row, "sealed")? })
}

#[async_trait]
impl<D: Dialect> KeyRepo for Unit<D> {
    async fn all(&mut self) -> Result<Vec<SealedKey>, StoreError> {
        let rows = Statement::<D>::new(
            "SELECT id, algorithm, sealed, created_at, signs_from FROM signing_keys ORDER BY created_at, id",
        )
        .fetch_all(self.connection())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SealedKey {
                    id: KeyId::new(column::<D, _>(row, "id")?),
                    algorithm: column::<D, String>(row, "algorithm")?.parse().map_err(corrupt("algorithm"))?,
                    sealed: column::<D, _>(row, "sealed")?,
                    created_at: moment::<D>(row, "created_at")?,
                    signs_from: moment::<D>(row, "signs_from")?,
                })
            })
            .collect()
    }

    async fn insert(&mut self, key: &SealedKey, follows: Option<KeyId>) -> Result<bool, StoreError> {
        let inserted = Statement::<D>::new(
            "INSERT INTO signing_keys (id, algorithm, sealed, created_at, signs_from, follows) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (algorithm, follows) DO NOTHING",
        )
        .bind(key.id.as_str().to_owned())
        .bind(key.algorithm.as_str().to_owned())
        .bind(key.sealed.clone())
        .bind(key.created_at.unix_micros())
        .bind(key.signs_from.unix_micros())
        .bind(follows.map_or_else(String::new, |id| id.as_str().to_owned()))
        .happened(self.connection())
        .await?;
        if inserted {
            self.record_keys(key.created_at).await?;
        }
        Ok(inserted)
    }

    async fn sign_from(
        &mut self,
        id: &KeyId,
        algorithm: KeyAlgorithm,
        signs_from: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = Statement::<D>::new(
            "UPDATE signing_keys SET signs_from = $3 WHERE id = $1 AND algorithm = $2 AND signs_from > $4",
        )
        .bind(id.as_str().to_owned())
        .bind(algorithm.as_str().to_owned())
        .bind(signs_from.unix_micros())
        .bind(now.unix_micros())
        .happened(self.connection())
        .await?;
        if changed {
            self.record_keys(now).await?;
        }
        Ok(changed)
    }

    async fn remove(&mut self, id: &KeyId, now: Timestamp) -> Result<bool, StoreError> {
        let removed = Statement::<D>::new("DELETE FROM signing_keys WHERE id = $1")
            .bind(id.as_str().to_owned())
            .happened(self.connection())
            .await?;
        if removed {
            self.record_keys(now).await?;
        }
        Ok(removed)
    }

    async fn reseal(&mut self, id: &KeyId, sealed: &[u8], now: Timestamp) -> Result<bool, StoreError> {
        let resealed = Statement::<D>::new("UPDATE signing_keys SET sealed = $2 WHERE id = $1")
            .bind(id.as_str().to_owned())
            .bind(sealed.to_vec())
            .happened(self.connection())
            .await?;
        if resealed {
            self.record_keys(now).await?;
        }
        Ok(resealed)
    }

    async fn secrets(&mut self) -> Result<Vec<SealedSecret>, StoreError> {
        let rows = Statement::<D>::new(SECRETS).fetch_all(self.connection()).await?;
        rows.iter().map(secret::<D>).collect()
    }

    async fn hold_secrets(&mut self) -> Result<Vec<SealedSecret>, StoreError> {
        let rows = Statement::<D>::holding(HOLD_SECRETS, SECRETS).fetch_all(self.connection()).await?;
        rows.iter().map(secret::<D>).collect()
    }

    async fn insert_secret(&mut self, secret: &SealedSecret) -> Result<bool, StoreError> {
        Statement::<D>::new("INSERT INTO sealed_secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(secret.name.clone())
            .bind(secret.sealed.clone())
            .happened(self.connection())
            .await
    }

    async fn reseal_secret(&mut self, secret: &SealedSecret) -> Result<bool, StoreError> {
        Statement::<D>::new("UPDATE sealed_secrets SET sealed = $2 WHERE name = $1")
            .bind(secret.name.clone())
            .bind(secret.sealed.clone())
            .happened(self.connection())
            .await
    }
}
