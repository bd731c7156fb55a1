use async_trait::async_trait;
use doorward_domain::store::{RevocationLog, RevocationPosition};
use doorward_domain::{RecordedRevocation, Revocation, SessionId, StoreError, Timestamp, UserId};

use super::{column, moment, words};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

const SESSION_ENDED: &str = "session_ended";
const ROLES_CHANGED: &str = "roles_changed";
const KEYS_CHANGED: &str = "keys_changed";

macro_rules! since {
    ($upto:literal, $lesser:literal) => {
        concat!(
            "SELECT u.upto, r.kind, r.session_id, r.user_id, r.at, o.roles FROM (SELECT ",
            $upto,
            " AS upto) u LEFT JOIN revocations r ON r.position >= ",
            $lesser,
            "($1, u.upto) LEFT JOIN users o ON o.id = r.user_id"
        )
    };
}

// Every transaction below `xmin` has ended, so what it wrote can be seen; the rest is read again. The lesser of the two
// in case the database was restored from a backup, whose numbers begin anew.
const SINCE: &str = since!("pg_snapshot_xmin(pg_current_snapshot())::text::bigint", "least");
const SINCE_ON_SQLITE: &str = since!("(SELECT coalesce(max(position), 0) + 1 FROM revocations)", "min");

fn record<D: Dialect>(row: &D::Row, kind: &str) -> Result<Option<RecordedRevocation>, StoreError> {
    let revocation = match kind {
        SESSION_ENDED => Revocation::SessionEnded(SessionId::from_uuid(column::<D, _>(row, "session_id")?)),
        // The user may have been deleted since.
        ROLES_CHANGED if column::<D, Option<String>>(row, "roles")?.is_none() => return Ok(None),
        ROLES_CHANGED => Revocation::RolesChanged {
            user_id: UserId::from_uuid(column::<D, _>(row, "user_id")?),
            roles: words::<D>(row, "roles")?,
        },
        KEYS_CHANGED => Revocation::KeysChanged,
        _ => return Err(corrupt("revocation")(format!("unknown kind {kind}"))),
    };
    Ok(Some(RecordedRevocation { revocation, at: moment::<D>(row, "at")? }))
}

#[async_trait]
impl<D: Dialect> RevocationLog for Unit<D> {
    async fn since(
        &mut self,
        position: RevocationPosition,
    ) -> Result<(Vec<RecordedRevocation>, RevocationPosition), StoreError> {
        let rows = Statement::<D>::holding(SINCE, SINCE_ON_SQLITE)
            .bind(position.number())
            .fetch_all(self.connection())
            .await?;
        let mut upto = position;
        let mut records = Vec::new();
        for row in &rows {
            upto = RevocationPosition::new(column::<D, i64>(row, "upto")?);
            // Without any entry there is one row all the same, for the position.
            if let Some(kind) = column::<D, Option<String>>(row, "kind")? {
                records.extend(record::<D>(row, &kind)?);
            }
        }
        Ok((records, upto))
    }

    async fn forget(&mut self, moment: Timestamp, limit: u32) -> Result<u64, StoreError> {
        Statement::<D>::new(
            "DELETE FROM revocations WHERE at < $1 AND position IN \
             (SELECT position FROM revocations WHERE at < $1 LIMIT $2)",
        )
        .bind(moment.unix_micros())
        .bind(i64::from(limit))
        .execute(self.connection())
        .await
    }
}

/// Recording what happened, in the unit in which it does.
impl<D: Dialect> Unit<D> {
    pub(super) async fn record_ended(&mut self, sessions: &[SessionId], now: Timestamp) -> Result<(), StoreError> {
        for session in sessions {
            Statement::<D>::new("INSERT INTO revocations (kind, session_id, at) VALUES ($1, $2, $3)")
                .bind(SESSION_ENDED.to_owned())
                .bind(session.uuid())
                .bind(now.unix_micros())
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    pub(super) async fn record_roles(&mut self, user_id: UserId, now: Timestamp) -> Result<(), StoreError> {
        Statement::<D>::new("INSERT INTO revocations (kind, user_id, at) VALUES ($1, $2, $3)")
            .bind(ROLES_CHANGED.to_owned())
            .bind(user_id.uuid())
            .bind(now.unix_micros())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    pub(super) async fn record_keys(&mut self, now: Timestamp) -> Result<(), StoreError> {
        Statement::<D>::new("INSERT INTO revocations (kind, at) VALUES ($1, $2)")
            .bind(KEYS_CHANGED.to_owned())
            .bind(now.unix_micros())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
