use async_trait::async_trait;
use doorward_domain::store::{ChainEnds, ChainPlace, EventLog, EventSeal, LooseEvent, SealedRecord};
use doorward_domain::{EventId, EventRecord, SecurityEvent, SessionId, StoreError, Timestamp, UserId};
use serde_json::json;
use uuid::Uuid;

use super::sealed_page::{any_id, sealed_page};
use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

/// What [`record`] reads, of the table alias `e`.
macro_rules! event_columns {
    () => {
        "e.id, e.at, e.kind, e.reason, e.user_id, e.session_id, e.ip, e.user_agent, e.request_id, e.count"
    };
}

const CHAIN: &str =
    "SELECT head_position, head_link, head_tag, cut_position, cut_link, cut_tag FROM event_chain WHERE id = 1";
const HOLD_CHAIN: &str = "SELECT head_position, head_link, head_tag, cut_position, cut_link, cut_tag FROM event_chain \
     WHERE id = 1 FOR UPDATE SKIP LOCKED";

// All seals of a batch in one statement, as JSON: a round trip each would hold the chain for long.
const SEAL: &str = "INSERT INTO event_seals (position, event_id, link) \
     SELECT (s ->> 'position')::bigint, (s ->> 'event')::uuid, decode(s ->> 'link', 'hex') \
     FROM jsonb_array_elements($1::jsonb) AS s";
const SEAL_ON_SQLITE: &str = "INSERT INTO event_seals (position, event_id, link) \
     SELECT value ->> 'position', unhex(value ->> 'event', '-'), unhex(value ->> 'link') FROM json_each($1)";

pub(super) fn record<D: Dialect>(row: &D::Row) -> Result<EventRecord, StoreError> {
    Ok(EventRecord {
        id: EventId::from_uuid(column::<D, _>(row, "id")?),
        at: moment::<D>(row, "at")?,
        kind: column::<D, _>(row, "kind")?,
        reason: column::<D, _>(row, "reason")?,
        user_id: column::<D, Option<_>>(row, "user_id")?.map(UserId::from_uuid),
        session_id: column::<D, Option<_>>(row, "session_id")?.map(SessionId::from_uuid),
        ip: column::<D, _>(row, "ip")?,
        user_agent: column::<D, _>(row, "user_agent")?,
        request_id: column::<D, _>(row, "request_id")?,
        count: column::<D, _>(row, "count")?,
    })
}

/// The entry as this version knows it; `None` for one that a later version wrote, or somebody made unreadable: that must
/// not hide the others.
fn known<D: Dialect>(row: &D::Row) -> Option<SecurityEvent> {
    record::<D>(row).ok()?.try_into().ok()
}

pub(super) fn bytes<D: Dialect>(row: &D::Row, name: &'static str) -> Result<[u8; 32], StoreError> {
    <[u8; 32]>::try_from(column::<D, Vec<u8>>(row, name)?.as_slice()).map_err(corrupt(name))
}

fn ends<D: Dialect>(row: &D::Row) -> Result<ChainEnds, StoreError> {
    let place = |position, link, tag| {
        // SQLite's driver gives 0 for nothing.
        let position =
            column::<D, Option<i64>>(row, position)?.ok_or_else(|| corrupt("chain")("a position is gone"))?;
        Ok::<_, StoreError>(ChainPlace { position, link: bytes::<D>(row, link)?, tag: bytes::<D>(row, tag)? })
    };
    Ok(ChainEnds {
        head: place("head_position", "head_link", "head_tag")?,
        cut: place("cut_position", "cut_link", "cut_tag")?,
    })
}

#[async_trait]
impl<D: Dialect> EventLog for Unit<D> {
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError> {
        let EventRecord { id, at, kind, reason, user_id, session_id, ip, user_agent, request_id, count } = event.into();
        Statement::<D>::new(
            "INSERT INTO events (id, at, kind, reason, user_id, session_id, ip, user_agent, request_id, count) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(id.uuid())
        .bind(at.unix_micros())
        .bind(kind)
        .bind(reason)
        .bind(user_id.map(UserId::uuid))
        .bind(session_id.map(SessionId::uuid))
        .bind(ip)
        .bind(user_agent)
        .bind(request_id)
        .bind(count)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError> {
        let rows =
            Statement::<D>::new(concat!("SELECT ", event_columns!(), " FROM events e ORDER BY e.id DESC LIMIT $1"))
                .bind(i64::from(limit))
                .fetch_all(self.connection())
                .await?;
        Ok(rows.iter().filter_map(known::<D>).collect())
    }

    async fn of_user(
        &mut self,
        user_id: UserId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<SecurityEvent>, StoreError> {
        let rows = Statement::<D>::new(concat!(
            "SELECT ",
            event_columns!(),
            " FROM events e WHERE e.user_id = $1 AND e.id < $2 AND (e.kind <> 'refresh' OR e.reason IS NOT NULL) \
              ORDER BY e.id DESC LIMIT $3"
        ))
        .bind(user_id.uuid())
        .bind(before.map_or(Uuid::max(), EventId::uuid))
        .bind(i64::from(limit))
        .fetch_all(self.connection())
        .await?;
        Ok(rows.iter().filter_map(known::<D>).collect())
    }

    async fn has_unsealed(&mut self) -> Result<bool, StoreError> {
        let row = Statement::<D>::new("SELECT event_id FROM event_queue LIMIT 1");
        Ok(row.fetch_optional(self.connection()).await?.is_some())
    }

    async fn unsealed(&mut self, limit: u32) -> Result<Vec<EventRecord>, StoreError> {
        let rows = Statement::<D>::new(concat!(
            "SELECT ",
            event_columns!(),
            " FROM event_queue q JOIN events e ON e.id = q.event_id ORDER BY q.event_id LIMIT $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(record::<D>).collect()
    }

    async fn hold_chain(&mut self) -> Result<Option<ChainEnds>, StoreError> {
        let row = Statement::<D>::holding(HOLD_CHAIN, CHAIN).fetch_optional(self.connection()).await?;
        row.as_ref().map(ends::<D>).transpose()
    }

    async fn chain(&mut self) -> Result<ChainEnds, StoreError> {
        let row = Statement::<D>::new(CHAIN).fetch_optional(self.connection()).await?;
        row.as_ref().map_or_else(|| Err(corrupt("chain")("its row is gone")), ends::<D>)
    }

    async fn seal(&mut self, seals: &[EventSeal], head: &ChainPlace) -> Result<(), StoreError> {
        let batch: Vec<_> = seals
            .iter()
            .map(|seal| json!({"position": seal.position, "event": seal.event_id.to_string(), "link": hex::encode(seal.link)}))
            .collect();
        Statement::<D>::holding(SEAL, SEAL_ON_SQLITE)
            .bind(serde_json::Value::from(batch).to_string())
            .execute(self.connection())
            .await?;
        Statement::<D>::new(
            "DELETE FROM event_queue WHERE event_id IN (SELECT event_id FROM event_seals WHERE position >= $1)",
        )
        .bind(seals.first().map_or(i64::MAX, |seal| seal.position))
        .execute(self.connection())
        .await?;
        Statement::<D>::new("UPDATE event_chain SET head_position = $1, head_link = $2, head_tag = $3 WHERE id = 1")
            .bind(head.position)
            .bind(head.link.to_vec())
            .bind(head.tag.to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    async fn sealed(&mut self, after: i64, limit: u32) -> Result<Vec<SealedRecord>, StoreError> {
        sealed_page::<D>(self.connection(), after, limit).await
    }

    async fn loose(&mut self, waiting_since: Timestamp, limit: u32) -> Result<Vec<LooseEvent>, StoreError> {
        let rows = Statement::<D>::new(
            "SELECT e.id, CAST(0 AS bigint) AS how FROM events e \
             WHERE NOT EXISTS (SELECT 1 FROM event_seals s WHERE s.event_id = e.id) \
             AND NOT EXISTS (SELECT 1 FROM event_queue q WHERE q.event_id = e.id) \
             UNION ALL SELECT q.event_id, CAST(1 AS bigint) FROM event_queue q \
             WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = q.event_id) \
             UNION ALL SELECT q.event_id, CAST(2 AS bigint) FROM event_queue q JOIN events e ON e.id = q.event_id \
             WHERE e.at < $2 OR EXISTS (SELECT 1 FROM event_seals s WHERE s.event_id = q.event_id) \
             UNION ALL SELECT s.event_id, CAST(3 AS bigint) FROM event_seals s JOIN event_chain c ON c.id = 1 \
             WHERE (s.position <= c.head_position AND s.position > c.cut_position) IS NOT TRUE LIMIT $1",
        )
        .bind(i64::from(limit))
        .bind(waiting_since.unix_micros())
        .fetch_all(self.connection())
        .await?;
        rows.iter()
            .map(|row| {
                let id = any_id::<D>(row, "id");
                Ok(match column::<D, Option<i64>>(row, "how")? {
                    Some(1) => LooseEvent::Vanished(id),
                    Some(2) => LooseEvent::Waiting(id),
                    Some(3) => LooseEvent::OffTheChain(id),
                    _ => LooseEvent::Unsealed(id),
                })
            })
            .collect()
    }

    async fn cut(&mut self, cut: &ChainPlace) -> Result<(), StoreError> {
        Statement::<D>::new("UPDATE event_chain SET cut_position = $1, cut_link = $2, cut_tag = $3 WHERE id = 1")
            .bind(cut.position)
            .bind(cut.link.to_vec())
            .bind(cut.tag.to_vec())
            .execute(self.connection())
            .await?;
        for statement in [
            "DELETE FROM events WHERE id IN (SELECT event_id FROM event_seals WHERE position <= $1)",
            "DELETE FROM event_seals WHERE position <= $1",
        ] {
            Statement::<D>::new(statement).bind(cut.position).execute(self.connection()).await?;
        }
        Ok(())
    }
}
