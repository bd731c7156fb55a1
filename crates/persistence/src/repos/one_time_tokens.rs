use async_trait::async_trait;
use doorward_domain::store::OneTimeTokenRepo;
use doorward_domain::{
    EmailAddress, MailId, OneTimePurpose, OneTimeToken, OneTimeTokenHash, StoreError, Timestamp, UserId,
};

use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

fn token<D: Dialect>(
    row: &D::Row,
    purpose: OneTimePurpose,
    hash: &OneTimeTokenHash,
) -> Result<OneTimeToken, StoreError> {
    Ok(OneTimeToken {
        mail_id: MailId::from_uuid(column::<D, _>(row, "mail_id")?),
        user_id: UserId::from_uuid(column::<D, _>(row, "user_id")?),
        purpose,
        hash: *hash,
        address: EmailAddress::parse(&column::<D, String>(row, "address")?).map_err(corrupt("address"))?,
        expires_at: moment::<D>(row, "expires_at")?,
    })
}

#[async_trait]
impl<D: Dialect> OneTimeTokenRepo for Unit<D> {
    async fn issue(&mut self, token: &OneTimeToken) -> Result<bool, StoreError> {
        let OneTimeToken { mail_id, user_id, purpose, hash, address, expires_at } = token;
        Statement::<D>::new(
            "INSERT INTO one_time_tokens (user_id, purpose, mail_id, hash, address, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, purpose) DO UPDATE SET \
             mail_id = excluded.mail_id, hash = excluded.hash, address = excluded.address, \
             expires_at = excluded.expires_at, used_at = NULL \
             WHERE one_time_tokens.mail_id < excluded.mail_id \
             OR (one_time_tokens.mail_id = excluded.mail_id AND one_time_tokens.used_at IS NULL)",
        )
        .bind(user_id.uuid())
        .bind(purpose.as_str().to_owned())
        .bind(mail_id.uuid())
        .bind(hash.as_bytes().to_vec())
        .bind(address.as_str().to_owned())
        .bind(expires_at.unix_micros())
        .happened(self.connection())
        .await
    }

    async fn find(
        &mut self,
        purpose: OneTimePurpose,
        hash: &OneTimeTokenHash,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>, StoreError> {
        let row = Statement::<D>::new(
            "SELECT mail_id, user_id, address, expires_at FROM one_time_tokens \
             WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
        )
        .bind(hash.as_bytes().to_vec())
        .bind(purpose.as_str().to_owned())
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| token::<D>(&row, purpose, hash)).transpose()
    }

    async fn consume(
        &mut self,
        purpose: OneTimePurpose,
        hash: &OneTimeTokenHash,
        now: Timestamp,
    ) -> Result<Option<OneTimeToken>, StoreError> {
        let row = Statement::<D>::new(
            "UPDATE one_time_tokens SET used_at = $3 \
             WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 \
             RETURNING mail_id, user_id, address, expires_at",
        )
        .bind(hash.as_bytes().to_vec())
        .bind(purpose.as_str().to_owned())
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| token::<D>(&row, purpose, hash)).transpose()
    }

    async fn is_outstanding(
        &mut self,
        user_id: UserId,
        purpose: OneTimePurpose,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let row = Statement::<D>::new(
            "SELECT mail_id FROM one_time_tokens \
             WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
        )
        .bind(user_id.uuid())
        .bind(purpose.as_str().to_owned())
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        Ok(row.is_some())
    }

    async fn revoke_all(
        &mut self,
        user_id: UserId,
        except: Option<OneTimePurpose>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        Statement::<D>::new(
            "UPDATE one_time_tokens SET used_at = $3 WHERE user_id = $1 AND purpose <> $2 AND used_at IS NULL",
        )
        .bind(user_id.uuid())
        .bind(except.map_or("", OneTimePurpose::as_str).to_owned())
        .bind(now.unix_micros())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn delete_expired(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Statement::<D>::new(
            "DELETE FROM one_time_tokens WHERE hash IN \
             (SELECT hash FROM one_time_tokens WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
        )
        .bind(moment.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await
    }
}
