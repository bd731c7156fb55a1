use async_trait::async_trait;
use doorward_domain::store::UserRepo;
use doorward_domain::{DisplayName, EmailAddress, Locale, Role, SessionId, StoreError, Timestamp, User, UserId};

use super::sessions::session_id;
use super::{column, moment, optional_moment, words, words_to_json};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

/// What [`user`] reads, of the table alias `u`.
macro_rules! user_columns {
    () => {
        "u.id, u.email, u.email_verified_at, u.name, u.locale, u.roles, u.disabled_at, u.created_at, u.updated_at"
    };
}
pub(super) use user_columns;

const FIND: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1");
const HOLD: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1 FOR NO KEY UPDATE");

pub(super) fn user<D: Dialect>(row: &D::Row) -> Result<User, StoreError> {
    let name = column::<D, Option<String>>(row, "name")?;
    let locale = column::<D, Option<String>>(row, "locale")?;
    Ok(User {
        id: UserId::from_uuid(column::<D, _>(row, "id")?),
        email: EmailAddress::parse(&column::<D, String>(row, "email")?).map_err(corrupt("address"))?,
        email_verified_at: optional_moment::<D>(row, "email_verified_at")?,
        name: name.map(|name| DisplayName::parse(&name)).transpose().map_err(corrupt("name"))?,
        locale: locale.map(|text| Locale::parse(&text)).transpose().map_err(corrupt("locale"))?,
        roles: words::<D>(row, "roles")?,
        disabled_at: optional_moment::<D>(row, "disabled_at")?,
        created_at: moment::<D>(row, "created_at")?,
        updated_at: moment::<D>(row, "updated_at")?,
    })
}

#[async_trait]
impl<D: Dialect> UserRepo for Unit<D> {
    async fn insert_new(&mut self, user: &User) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "INSERT INTO users (id, email, email_key, email_verified_at, name, locale, roles, disabled_at, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (email_key) DO NOTHING",
        )
        .bind(user.id.uuid())
        .bind(user.email.as_str().to_owned())
        .bind(user.email.canonical())
        .bind(user.email_verified_at.map(Timestamp::unix_micros))
        .bind(user.name.as_ref().map(|name| name.as_str().to_owned()))
        .bind(user.locale.as_ref().map(|locale| locale.as_str().to_owned()))
        .bind(words_to_json(&user.roles))
        .bind(user.disabled_at.map(Timestamp::unix_micros))
        .bind(user.created_at.unix_micros())
        .bind(user.updated_at.unix_micros())
        .happened(self.connection())
        .await
    }

    async fn find(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = Statement::<D>::new(FIND).bind(id.uuid()).fetch_optional(self.connection()).await?;
        row.as_ref().map(user::<D>).transpose()
    }

    async fn hold(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        let row = Statement::<D>::holding(HOLD, FIND).bind(id.uuid()).fetch_optional(self.connection()).await?;
        row.as_ref().map(user::<D>).transpose()
    }

    async fn rename(
        &mut self,
        id: UserId,
        name: Option<DisplayName>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let row = Statement::<D>::new(concat!(
            "UPDATE users AS u SET name = $2, updated_at = $3 WHERE u.id = $1 RETURNING ",
            "id, email, email_verified_at, name, locale, roles, disabled_at, created_at, updated_at"
        ))
        .bind(id.uuid())
        .bind(name.map(|name| name.as_str().to_owned()))
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(user::<D>).transpose()
    }

    async fn find_by_address(&mut self, address: &EmailAddress) -> Result<Option<User>, StoreError> {
        let row = Statement::<D>::new(concat!("SELECT ", user_columns!(), " FROM users u WHERE u.email_key = $1"))
            .bind(address.canonical())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(user::<D>).transpose()
    }

    async fn verify_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "UPDATE users SET email_verified_at = $3, updated_at = $3 \
             WHERE id = $1 AND email_key = $2 AND email_verified_at IS NULL",
        )
        .bind(id.uuid())
        .bind(address.canonical())
        .bind(now.unix_micros())
        .execute(self.connection())
        .await?;
        let row = Statement::<D>::new("SELECT id FROM users WHERE id = $1 AND email_key = $2")
            .bind(id.uuid())
            .bind(address.canonical())
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some())
    }

    async fn change_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $4 \
             WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM users o WHERE o.email_key = $3 AND o.id <> $1)",
        )
        .bind(id.uuid())
        .bind(address.as_str().to_owned())
        .bind(address.canonical())
        .bind(now.unix_micros())
        .happened(self.connection())
        .await
    }

    async fn set_disabled(
        &mut self,
        id: UserId,
        disabled_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "UPDATE users SET disabled_at = $2, updated_at = $3 \
             WHERE id = $1 AND (disabled_at IS NULL) = ($4 = 0)",
        )
        .bind(id.uuid())
        .bind(disabled_at.map(Timestamp::unix_micros))
        .bind(now.unix_micros())
        .bind(i64::from(disabled_at.is_none()))
        .happened(self.connection())
        .await
    }

    async fn set_roles(&mut self, id: UserId, roles: &[Role], now: Timestamp) -> Result<bool, StoreError> {
        let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
        let changed = Statement::<D>::new("UPDATE users SET roles = $2, updated_at = $3 WHERE id = $1")
            .bind(id.uuid())
            .bind(words_to_json(&roles))
            .bind(now.unix_micros())
            .happened(self.connection())
            .await?;
        if changed {
            self.record_roles(id, now).await?;
        }
        Ok(changed)
    }

    async fn delete_unverified(
        &mut self,
        address: &EmailAddress,
        spare_used: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = Statement::<D>::new(
            "SELECT s.id FROM sessions s JOIN users ON users.id = s.user_id WHERE users.email_key = $1 \
             AND users.email_verified_at IS NULL AND users.disabled_at IS NULL \
             AND ($2 = 0 OR NOT EXISTS (SELECT 1 FROM devices d WHERE d.user_id = users.id))",
        )
        .bind(address.canonical())
        .bind(i64::from(spare_used))
        .fetch_all(self.connection())
        .await?;
        let sessions: Vec<SessionId> = rows.iter().map(session_id::<D>).collect::<Result<_, _>>()?;
        self.record_ended(&sessions, now).await?;
        Statement::<D>::new(
            "DELETE FROM users WHERE email_key = $1 AND email_verified_at IS NULL AND disabled_at IS NULL \
             AND ($2 = 0 OR NOT EXISTS (SELECT 1 FROM devices d WHERE d.user_id = users.id))",
        )
        .bind(address.canonical())
        .bind(i64::from(spare_used))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn delete(&mut self, id: UserId, now: Timestamp) -> Result<bool, StoreError> {
        // What has ended before is named again: nothing is lost by remembering it a little longer.
        let rows = Statement::<D>::new("SELECT id FROM sessions WHERE user_id = $1")
            .bind(id.uuid())
            .fetch_all(self.connection())
            .await?;
        let sessions: Vec<SessionId> = rows.iter().map(session_id::<D>).collect::<Result<_, _>>()?;
        self.record_ended(&sessions, now).await?;
        Statement::<D>::new("DELETE FROM users WHERE id = $1").bind(id.uuid()).happened(self.connection()).await
    }
}
