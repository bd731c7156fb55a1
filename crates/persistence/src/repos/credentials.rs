use async_trait::async_trait;
use doorward_domain::store::CredentialRepo;
use doorward_domain::{
    CredentialVersion, EmailAddress, PasswordCredential, PasswordHashString, StoreError, User, UserId,
};

use super::column;
use super::users::{user, user_columns};
use crate::dialect::{Dialect, Statement};
use crate::unit::Unit;

macro_rules! remove_unverified {
    ($locking:literal) => {
        concat!(
            "DELETE FROM credentials WHERE user_id = \
             (SELECT u.id FROM users u WHERE u.email_key = $1 AND u.email_verified_at IS NULL \
             AND u.disabled_at IS NULL AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.user_id = u.id)",
            $locking,
            ")"
        )
    };
}

const FIND_UNCHANGED: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.id = $1 AND c.version = $2"
);
const HOLD_UNCHANGED: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.id = $1 AND c.version = $2 FOR NO KEY UPDATE"
);

fn credential<D: Dialect>(row: &D::Row, user_id: UserId) -> Result<PasswordCredential, StoreError> {
    Ok(PasswordCredential {
        user_id,
        version: CredentialVersion::from_uuid(column::<D, _>(row, "version")?),
        hash: PasswordHashString::new(column::<D, _>(row, "password_hash")?),
    })
}

#[async_trait]
impl<D: Dialect> CredentialRepo for Unit<D> {
    async fn insert(&mut self, credential: &PasswordCredential) -> Result<(), StoreError> {
        Statement::<D>::new("INSERT INTO credentials (user_id, version, password_hash) VALUES ($1, $2, $3)")
            .bind(credential.user_id.uuid())
            .bind(credential.version.uuid())
            .bind(credential.hash.as_str().to_owned())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn find_by_address(
        &mut self,
        address: &EmailAddress,
    ) -> Result<Option<(User, PasswordCredential)>, StoreError> {
        let row = Statement::<D>::new(concat!(
            "SELECT ",
            user_columns!(),
            ", c.version, c.password_hash FROM users u JOIN credentials c ON c.user_id = u.id WHERE u.email_key = $1"
        ))
        .bind(address.canonical())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| {
            let user = user::<D>(&row)?;
            let credential = credential::<D>(&row, user.id)?;
            Ok((user, credential))
        })
        .transpose()
    }

    async fn hold(&mut self, user_id: UserId, version: CredentialVersion) -> Result<Option<User>, StoreError> {
        let row = Statement::<D>::holding(HOLD_UNCHANGED, FIND_UNCHANGED)
            .bind(user_id.uuid())
            .bind(version.uuid())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(user::<D>).transpose()
    }

    async fn upgrade_hash(
        &mut self,
        user_id: UserId,
        old: &PasswordHashString,
        new: &PasswordHashString,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new("UPDATE credentials SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2")
            .bind(user_id.uuid())
            .bind(old.as_str().to_owned())
            .bind(new.as_str().to_owned())
            .happened(self.connection())
            .await
    }

    async fn find(&mut self, user_id: UserId) -> Result<Option<PasswordCredential>, StoreError> {
        let row = Statement::<D>::new("SELECT version, password_hash FROM credentials WHERE user_id = $1")
            .bind(user_id.uuid())
            .fetch_optional(self.connection())
            .await?;
        row.map(|row| credential::<D>(&row, user_id)).transpose()
    }

    async fn set(&mut self, credential: &PasswordCredential) -> Result<(), StoreError> {
        Statement::<D>::new(
            "INSERT INTO credentials (user_id, version, password_hash) VALUES ($1, $2, $3) ON CONFLICT (user_id) \
             DO UPDATE SET version = excluded.version, password_hash = excluded.password_hash, failed_logins = 0",
        )
        .bind(credential.user_id.uuid())
        .bind(credential.version.uuid())
        .bind(credential.hash.as_str().to_owned())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn remove_unverified(&mut self, address: &EmailAddress) -> Result<bool, StoreError> {
        Statement::<D>::holding(remove_unverified!(" FOR NO KEY UPDATE"), remove_unverified!(""))
            .bind(address.canonical())
            .happened(self.connection())
            .await
    }

    async fn remove(&mut self, user_id: UserId) -> Result<(), StoreError> {
        Statement::<D>::new("DELETE FROM credentials WHERE user_id = $1")
            .bind(user_id.uuid())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn note_failure(&mut self, user_id: UserId) -> Result<(), StoreError> {
        Statement::<D>::new("UPDATE credentials SET failed_logins = failed_logins + 1 WHERE user_id = $1")
            .bind(user_id.uuid())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn take_failures(&mut self, user_id: UserId) -> Result<u32, StoreError> {
        let row = Statement::<D>::holding(
            "SELECT failed_logins FROM credentials WHERE user_id = $1 AND failed_logins > 0 FOR UPDATE",
            "SELECT failed_logins FROM credentials WHERE user_id = $1 AND failed_logins > 0",
        )
        .bind(user_id.uuid())
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(0) };
        Statement::<D>::new("UPDATE credentials SET failed_logins = 0 WHERE user_id = $1")
            .bind(user_id.uuid())
            .execute(self.connection())
            .await?;
        Ok(u32::try_from(column::<D, i64>(&row, "failed_logins")?).unwrap_or(u32::MAX))
    }
}
