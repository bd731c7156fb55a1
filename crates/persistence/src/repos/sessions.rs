use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use doorward_domain::store::{DeviceSeen, SessionRepo};
use doorward_domain::{
    Client, CredentialVersion, EndReason, RefreshTokenHash, RefreshTokenRecord, Session, SessionId, StoreError,
    Timestamp, UserAgent, UserId,
};

use uuid::Uuid;

use super::{column, moment, optional_moment, words, words_to_json};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

macro_rules! session_columns {
    () => {
        "id, user_id, credential_version, authenticated_at, amr, last_seen_at, idle_expires_at, expires_at, \
         ended_at, ip, user_agent"
    };
}

const FIND: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1");
const HOLD: &str = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = $1 FOR NO KEY UPDATE");

fn session<D: Dialect>(row: &D::Row) -> Result<Session, StoreError> {
    let ip = column::<D, Option<String>>(row, "ip")?;
    Ok(Session {
        id: SessionId::from_uuid(column::<D, _>(row, "id")?),
        user_id: UserId::from_uuid(column::<D, _>(row, "user_id")?),
        credential_version: CredentialVersion::from_uuid(column::<D, _>(row, "credential_version")?),
        authenticated_at: moment::<D>(row, "authenticated_at")?,
        amr: words::<D>(row, "amr")?,
        last_seen_at: moment::<D>(row, "last_seen_at")?,
        idle_expires_at: moment::<D>(row, "idle_expires_at")?,
        expires_at: moment::<D>(row, "expires_at")?,
        ended_at: optional_moment::<D>(row, "ended_at")?,
        client: Client {
            ip: ip.map(|ip| ip.parse::<IpAddr>()).transpose().map_err(corrupt("address"))?,
            user_agent: column::<D, Option<String>>(row, "user_agent")?.as_deref().map(UserAgent::sanitized),
            ..Client::default()
        },
    })
}

pub(super) fn session_id<D: Dialect>(row: &D::Row) -> Result<SessionId, StoreError> {
    column::<D, _>(row, "id").map(SessionId::from_uuid)
}

#[async_trait]
impl<D: Dialect> SessionRepo for Unit<D> {
    async fn insert(&mut self, session: &Session, first: &RefreshTokenHash) -> Result<(), StoreError> {
        Statement::<D>::new(
            "INSERT INTO sessions (id, user_id, credential_version, authenticated_at, amr, last_seen_at, \
             idle_expires_at, expires_at, ip, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(session.id.uuid())
        .bind(session.user_id.uuid())
        .bind(session.credential_version.uuid())
        .bind(session.authenticated_at.unix_micros())
        .bind(words_to_json(&session.amr))
        .bind(session.last_seen_at.unix_micros())
        .bind(session.idle_expires_at.unix_micros())
        .bind(session.expires_at.unix_micros())
        .bind(session.client.ip.map(|ip| ip.to_string()))
        .bind(session.client.user_agent.as_ref().map(|agent| agent.as_str().to_owned()))
        .execute(self.connection())
        .await?;
        self.insert_refresh(session.id, 0, first).await
    }

    async fn find(&mut self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let row = Statement::<D>::new(FIND).bind(id.uuid()).fetch_optional(self.connection()).await?;
        row.as_ref().map(session::<D>).transpose()
    }

    async fn hold(&mut self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let row = Statement::<D>::holding(HOLD, FIND).bind(id.uuid()).fetch_optional(self.connection()).await?;
        row.as_ref().map(session::<D>).transpose()
    }

    async fn consume_refresh(
        &mut self,
        id: SessionId,
        generation: u32,
        hash: &RefreshTokenHash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Statement::<D>::new(
            "UPDATE refresh_tokens SET used_at = $4 \
             WHERE session_id = $1 AND generation = $2 AND hash = $3 AND used_at IS NULL",
        )
        .bind(id.uuid())
        .bind(i64::from(generation))
        .bind(hash.as_bytes().to_vec())
        .bind(now.unix_micros())
        .happened(self.connection())
        .await
    }

    async fn insert_refresh(
        &mut self,
        id: SessionId,
        generation: u32,
        hash: &RefreshTokenHash,
    ) -> Result<(), StoreError> {
        Statement::<D>::new("INSERT INTO refresh_tokens (session_id, generation, hash) VALUES ($1, $2, $3)")
            .bind(id.uuid())
            .bind(i64::from(generation))
            .bind(hash.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn find_refresh(&mut self, id: SessionId, generation: u32) -> Result<Option<RefreshTokenRecord>, StoreError> {
        let row =
            Statement::<D>::new("SELECT hash, used_at FROM refresh_tokens WHERE session_id = $1 AND generation = $2")
                .bind(id.uuid())
                .bind(i64::from(generation))
                .fetch_optional(self.connection())
                .await?;
        row.map(|row| {
            let hash: Vec<u8> = column::<D, _>(&row, "hash")?;
            let hash = <[u8; 32]>::try_from(hash.as_slice()).map_err(corrupt("token hash"))?;
            let used_at = optional_moment::<D>(&row, "used_at")?;
            Ok(RefreshTokenRecord { generation, hash: RefreshTokenHash::from_bytes(hash), used_at })
        })
        .transpose()
    }

    async fn forget_refresh(&mut self, id: SessionId, cutoff: Timestamp) -> Result<(), StoreError> {
        // The newest token used before the cutoff stays: its own successor may have been used since.
        Statement::<D>::new(
            "DELETE FROM refresh_tokens WHERE session_id = $1 AND generation < \
             (SELECT max(generation) FROM refresh_tokens WHERE session_id = $1 AND used_at < $2)",
        )
        .bind(id.uuid())
        .bind(cutoff.unix_micros())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn touch(&mut self, id: SessionId, now: Timestamp, idle_expires_at: Timestamp) -> Result<(), StoreError> {
        Statement::<D>::new("UPDATE sessions SET last_seen_at = $2, idle_expires_at = $3 WHERE id = $1")
            .bind(id.uuid())
            .bind(now.unix_micros())
            .bind(idle_expires_at.unix_micros())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn end(&mut self, id: SessionId, reason: EndReason, now: Timestamp) -> Result<bool, StoreError> {
        let ended = Statement::<D>::new(
            "UPDATE sessions SET ended_at = $2, end_reason = $3 WHERE id = $1 AND ended_at IS NULL",
        )
        .bind(id.uuid())
        .bind(now.unix_micros())
        .bind(reason.as_str().to_owned())
        .happened(self.connection())
        .await?;
        if ended {
            self.record_ended(&[id], now).await?;
        }
        Ok(ended)
    }

    async fn end_all(
        &mut self,
        user_id: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let rows = Statement::<D>::new(
            "UPDATE sessions SET ended_at = $2, end_reason = $3 \
             WHERE user_id = $1 AND ended_at IS NULL AND id <> $4 RETURNING id",
        )
        .bind(user_id.uuid())
        .bind(now.unix_micros())
        .bind(reason.as_str().to_owned())
        // No session has this id.
        .bind(except.map_or(Uuid::nil(), SessionId::uuid))
        .fetch_all(self.connection())
        .await?;
        let ended: Vec<SessionId> = rows.iter().map(session_id::<D>).collect::<Result<_, _>>()?;
        self.record_ended(&ended, now).await?;
        Ok(ended)
    }

    async fn end_oldest(&mut self, user_id: UserId, most: u32, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let rows = Statement::<D>::new(
            "UPDATE sessions SET ended_at = $2, end_reason = $3 \
             WHERE user_id = $1 AND ended_at IS NULL AND id IN \
             (SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND idle_expires_at > $2 \
              ORDER BY authenticated_at DESC, id DESC LIMIT 1000 OFFSET $4) RETURNING id",
        )
        .bind(user_id.uuid())
        .bind(now.unix_micros())
        .bind(EndReason::SessionLimit.as_str().to_owned())
        .bind(i64::from(most))
        .fetch_all(self.connection())
        .await?;
        let ended: Vec<SessionId> = rows.iter().map(session_id::<D>).collect::<Result<_, _>>()?;
        self.record_ended(&ended, now).await?;
        Ok(ended)
    }

    async fn live(&mut self, user_id: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        let rows = Statement::<D>::new(concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND idle_expires_at > $2 AND expires_at > $2 \
              ORDER BY authenticated_at DESC, id DESC"
        ))
        .bind(user_id.uuid())
        .bind(now.unix_micros())
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(session::<D>).collect()
    }

    async fn note_seen(&mut self, seen: &[(SessionId, Timestamp)], apart: Duration) -> Result<(), StoreError> {
        for (id, at) in seen {
            Statement::<D>::new("UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at <= $3")
                .bind(id.uuid())
                .bind(at.unix_micros())
                .bind(at.minus(apart).unix_micros())
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    async fn delete_expired(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Statement::<D>::new(
            "DELETE FROM sessions WHERE id IN \
             (SELECT id FROM sessions WHERE idle_expires_at < $1 OR ended_at < $1 LIMIT $2) \
             AND (idle_expires_at < $1 OR ended_at < $1)",
        )
        .bind(moment.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await
    }

    async fn note_device(
        &mut self,
        user_id: UserId,
        device: [u8; 32],
        now: Timestamp,
    ) -> Result<DeviceSeen, StoreError> {
        let known = Statement::<D>::new("UPDATE devices SET last_seen_at = $3 WHERE user_id = $1 AND digest = $2")
            .bind(user_id.uuid())
            .bind(device.to_vec())
            .bind(now.unix_micros())
            .happened(self.connection())
            .await?;
        if known {
            return Ok(DeviceSeen::Known);
        }
        let other = Statement::<D>::new("SELECT user_id FROM devices WHERE user_id = $1 LIMIT 1")
            .bind(user_id.uuid())
            .fetch_optional(self.connection())
            .await?;
        let added = Statement::<D>::new(
            "INSERT INTO devices (user_id, digest, last_seen_at) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id, digest) DO NOTHING",
        )
        .bind(user_id.uuid())
        .bind(device.to_vec())
        .bind(now.unix_micros())
        .happened(self.connection())
        .await?;
        Ok(match (added, other) {
            (false, _) => DeviceSeen::Known,
            (true, Some(_)) => DeviceSeen::New,
            (true, None) => DeviceSeen::First,
        })
    }

    async fn trusts_device(&mut self, user_id: UserId, device: [u8; 32]) -> Result<bool, StoreError> {
        let row = Statement::<D>::new("SELECT user_id FROM trusted_devices WHERE user_id = $1 AND digest = $2")
            .bind(user_id.uuid())
            .bind(device.to_vec())
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some())
    }

    async fn trust_device(
        &mut self,
        user_id: UserId,
        device: [u8; 32],
        most: u32,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        Statement::<D>::new(
            "INSERT INTO trusted_devices (user_id, digest, last_seen_at) VALUES ($1, $2, $3) \
             ON CONFLICT (user_id, digest) DO UPDATE SET last_seen_at = excluded.last_seen_at",
        )
        .bind(user_id.uuid())
        .bind(device.to_vec())
        .bind(now.unix_micros())
        .execute(self.connection())
        .await?;
        Statement::<D>::new(
            "DELETE FROM trusted_devices WHERE user_id = $1 AND digest IN (SELECT digest FROM trusted_devices \
             WHERE user_id = $1 ORDER BY last_seen_at DESC, digest LIMIT 1000 OFFSET $2)",
        )
        .bind(user_id.uuid())
        .bind(i64::from(most))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn forget_trusted_devices(&mut self, user_id: UserId) -> Result<(), StoreError> {
        Statement::<D>::new("DELETE FROM trusted_devices WHERE user_id = $1")
            .bind(user_id.uuid())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
