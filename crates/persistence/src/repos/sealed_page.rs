//! Pages of the sealed log, which is read to its end when it is verified and may have millions of entries.

use doorward_domain::store::{ChainLink, EventSeal, SealedRecord};
use doorward_domain::{EventId, EventRecord, SessionId, StoreError, Timestamp, UserId};
use serde::Deserialize;
use uuid::Uuid;

use super::column;
use super::events::{bytes, record};
use crate::dialect::{Dialect, Statement};

/// A page of entries with their seals, and whether all values are of the types that Doorward writes.
macro_rules! page {
    ($sound:literal) => {
        concat!(
            "SELECT CAST(s.position AS bigint) AS position, s.event_id, s.link, e.id, e.at, e.kind, e.reason, e.user_id, \
             e.session_id, e.ip, e.user_agent, e.request_id, e.count, ",
            $sound,
            " AS sound FROM event_seals s LEFT JOIN events e ON e.id = s.event_id WHERE s.position > $1 \
             ORDER BY s.position LIMIT $2"
        )
    };
}

// Where a column has another type the driver refuses it.
const ROWS: &str = page!("true");

// SQLite has types for values, and the driver takes a text for a blob, and nothing for a number.
macro_rules! page_on_sqlite {
    () => {
        page!(
            "(typeof(s.position) = 'integer' AND typeof(s.event_id) = 'blob' AND typeof(s.link) = 'blob' AND (e.id IS NULL \
             OR typeof(e.id) = 'blob' AND typeof(e.at) = 'integer' AND typeof(e.kind) = 'text' \
             AND typeof(e.reason) IN ('text', 'null') AND typeof(e.user_id) IN ('blob', 'null') \
             AND typeof(e.session_id) IN ('blob', 'null') AND typeof(e.ip) IN ('text', 'null') \
             AND typeof(e.user_agent) IN ('text', 'null') AND typeof(e.request_id) IN ('text', 'null') \
             AND typeof(e.count) = 'integer'))"
        )
    };
}

const ROWS_ON_SQLITE: &str = page_on_sqlite!();

// As bytes, since a text would have to be one before anybody can look at it.
const ONE_VALUE: &str = concat!(
    "SELECT CAST(json_group_array(json_array(position, hex(event_id), hex(link), at, kind, reason, \
     CASE WHEN user_id IS NOT NULL THEN hex(user_id) END, CASE WHEN session_id IS NOT NULL THEN hex(session_id) END, \
     ip, user_agent, request_id, count)) AS BLOB) AS page, min(sound) AS sound FROM (",
    page_on_sqlite!(),
    ")"
);

/// Up to `limit` entries that were sealed behind this position. Whatever somebody has put into one of them, the others are
/// read as they are.
pub(super) async fn sealed_page<D: Dialect>(
    connection: &mut D::Connection,
    after: i64,
    limit: u32,
) -> Result<Vec<SealedRecord>, StoreError> {
    if D::HANDS_OVER_ROWS
        && let Some(page) = as_one_value::<D>(connection, after, limit).await
    {
        return Ok(page);
    }
    let sql = if D::HANDS_OVER_ROWS { ROWS_ON_SQLITE } else { ROWS };
    let rows = Statement::<D>::new(sql).bind(after).bind(i64::from(limit)).fetch_all(connection).await?;
    rows.iter().map(from_row::<D>).collect()
}

/// The page in one piece; `None` where something in it is not as Doorward writes it, and has to be looked at by itself.
async fn as_one_value<D: Dialect>(connection: &mut D::Connection, after: i64, limit: u32) -> Option<Vec<SealedRecord>> {
    let rows = Statement::<D>::new(ONE_VALUE).bind(after).bind(i64::from(limit)).fetch_all(connection).await.ok()?;
    let row = rows.first()?;
    if column::<D, Option<i64>>(row, "sound").ok()? == Some(0) {
        return None;
    }
    let json = column::<D, Vec<u8>>(row, "page").ok()?;
    let entries: Vec<Entry<'_>> = serde_json::from_slice(&json).ok()?;
    entries.into_iter().map(Entry::into_record).collect()
}

fn from_row<D: Dialect>(row: &D::Row) -> Result<SealedRecord, StoreError> {
    let sound = column::<D, bool>(row, "sound")?;
    Ok(SealedRecord {
        seal: EventSeal {
            position: column::<D, i64>(row, "position")?,
            event_id: any_id::<D>(row, "event_id"),
            // A link of another length is none, and breaks the chain as any other wrong one.
            link: bytes::<D>(row, "link").unwrap_or_default(),
        },
        // What somebody made unreadable is no entry any more, and the others can still be looked at.
        record: record::<D>(row).ok().filter(|_| sound),
    })
}

/// The id of an entry; zeros for what is none.
pub(super) fn any_id<D: Dialect>(row: &D::Row, name: &'static str) -> EventId {
    EventId::from_uuid(column::<D, Uuid>(row, name).unwrap_or_default())
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
    fn into_record(self) -> Option<SealedRecord> {
        let event_id = EventId::from_uuid(Uuid::try_parse(self.event_id).ok()?);
        let mut link = ChainLink::default();
        hex::decode_to_slice(self.link, &mut link).ok()?;
        let seal = EventSeal { position: self.position, event_id, link };
        Some(SealedRecord { seal, record: self.entry(event_id) })
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
