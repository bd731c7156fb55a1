use async_trait::async_trait;
use doorward_domain::store::CredentialRepo;
use doorward_domain::{
    CredentialVersion, EmailAddress, PasswordCredential, PasswordHashString, StoreError, User, UserId,
};

use super::column;
use super::users::{user, user_columns};
use crate::dialect::{Dialect, Statement};
use crate::unit::Unit;

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
            let credential = PasswordCredential {
                user_id: user.id,
                version: CredentialVersion::from_uuid(column::<D, _>(&row, "version")?),
                hash: PasswordHashString::new(column::<D, _>(&row, "password_hash")?),
            };
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
}
