//! Pages of the sealed log, which is read to its end when it is verified and may have millions of entries.

use doorward_domain::store::{ChainLink, EventSeal, SealedRecord};
use doorward_domain::{EventId, EventRecord, SessionId, StoreError, Timestamp, UserId};
use serde::Deserialize;
use uuid::Uuid;

use super::column;
use super::events::{bytes, record};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;

/// A page of entries with their seals; the entry's id is the seal's where there is one.
macro_rules! page {
    () => {
        "SELECT s.position, s.event_id, s.link, e.id, e.at, e.kind, e.reason, e.user_id, e.session_id, e.ip, e.user_agent, \
         e.request_id, e.count FROM event_seals s LEFT JOIN events e ON e.id = s.event_id WHERE s.position > $1 \
         ORDER BY s.position LIMIT $2"
    };
}

const ROWS: &str = page!();

// As bytes: whatever somebody has put into a text, the others have to be read.
const ONE_VALUE: &str = concat!(
    "SELECT CAST(json_group_array(json_array(position, hex(event_id), hex(link), at, kind, reason, \
     CASE WHEN user_id IS NOT NULL THEN hex(user_id) END, CASE WHEN session_id IS NOT NULL THEN hex(session_id) END, \
     ip, user_agent, request_id, count)) AS BLOB) AS page FROM (",
    page!(),
    ")"
);

/// Up to `limit` entries that were sealed behind this position.
pub(super) async fn sealed_page<D: Dialect>(
    connection: &mut D::Connection,
    after: i64,
    limit: u32,
) -> Result<Vec<SealedRecord>, StoreError> {
    let sql = if D::HANDS_OVER_ROWS { ONE_VALUE } else { ROWS };
    let rows = Statement::<D>::new(sql).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    if !D::HANDS_OVER_ROWS {
        return rows.iter().map(from_row::<D>).collect();
    }
    let mut page = Vec::new();
    for row in &rows {
        let json = column::<D, Vec<u8>>(row, "page")?;
        let json = String::from_utf8_lossy(&json);
        let entries: Vec<Entry<'_>> = serde_json::from_str(&json).map_err(corrupt("sealed events"))?;
        for entry in entries {
            page.push(entry.into_record()?);
        }
    }
    Ok(page)
}

fn from_row<D: Dialect>(row: &D::Row) -> Result<SealedRecord, StoreError> {
    Ok(SealedRecord {
        seal: EventSeal {
            position: column::<D, i64>(row, "position")?,
            event_id: EventId::from_uuid(column::<D, _>(row, "event_id")?),
            // A link of another length is none, and breaks the chain as any other wrong one.
            link: bytes::<D>(row, "link").unwrap_or_default(),
        },
        // What somebody made unreadable is no entry any more, and the others can still be looked at.
        record: record::<D>(row).ok(),
    })
}

/// The same as a JSON array, in this order; ids and links in hexadecimal digits.
#[derive(Deserialize)]
struct Entry<'a> {
    position: i64,
    event_id: &'a str,
    link: &'a str,
    at: Option<i64>,
    kind: Option<String>,
    reason: Option<String>,
    user_id: Option<&'a str>,
    session_id: Option<&'a str>,
    ip: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    count: Option<i64>,
}

impl Entry<'_> {
    fn into_record(self) -> Result<SealedRecord, StoreError> {
        let event_id = EventId::from_uuid(Uuid::try_parse(self.event_id).map_err(corrupt("event_id"))?);
        let mut link = ChainLink::default();
        hex::decode_to_slice(self.link, &mut link).unwrap_or_default();
        let seal = EventSeal { position: self.position, event_id, link };
        Ok(SealedRecord { seal, record: self.entry(event_id) })
    }

    fn entry(self, id: EventId) -> Option<EventRecord> {
        let uuid = |hex: Option<&str>| hex.map(Uuid::try_parse).transpose().ok();
        Some(EventRecord {
            id,
            at: Timestamp::from_unix_micros(self.at?),
            kind: self.kind?,
            reason: self.reason,
            user_id: uuid(self.user_id)?.map(UserId::from_uuid),
            session_id: uuid(self.session_id)?.map(SessionId::from_uuid),
            ip: self.ip,
            user_agent: self.user_agent,
            request_id: self.request_id,
            count: self.count?,
        })
    }
}
