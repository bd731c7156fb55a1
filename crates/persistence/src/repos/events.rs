use std::net::IpAddr;

use async_trait::async_trait;
use doorward_domain::store::EventLog;
use doorward_domain::{
    Client, EventId, EventKind, EventReason, RequestId, SecurityEvent, SessionId, StoreError, UserAgent, UserId,
};
use uuid::Uuid;

use super::{column, moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

fn event<D: Dialect>(row: &D::Row) -> Result<SecurityEvent, StoreError> {
    let unknown = |what| move || corrupt::<String>(what)("a name that this version does not know".to_owned());
    let reason = column::<D, Option<String>>(row, "reason")?;
    let ip = column::<D, Option<String>>(row, "ip")?;
    Ok(SecurityEvent {
        id: EventId::from_uuid(column::<D, _>(row, "id")?),
        at: moment::<D>(row, "at")?,
        kind: EventKind::from_name(&column::<D, String>(row, "kind")?).ok_or_else(unknown("kind"))?,
        reason: reason.map(|name| EventReason::from_name(&name).ok_or_else(unknown("reason"))).transpose()?,
        user_id: column::<D, Option<_>>(row, "user_id")?.map(UserId::from_uuid),
        session_id: column::<D, Option<_>>(row, "session_id")?.map(SessionId::from_uuid),
        client: Client {
            ip: ip.map(|ip| ip.parse::<IpAddr>()).transpose().map_err(corrupt("address"))?,
            user_agent: column::<D, Option<String>>(row, "user_agent")?.as_deref().map(UserAgent::sanitized),
            request_id: column::<D, Option<String>>(row, "request_id")?.as_deref().and_then(RequestId::parse),
            locale: None,
        },
    })
}

#[async_trait]
impl<D: Dialect> EventLog for Unit<D> {
    async fn append(&mut self, event: &SecurityEvent) -> Result<(), StoreError> {
        let SecurityEvent { id, at, kind, reason, user_id, session_id, client } = event;
        Statement::<D>::new(
            "INSERT INTO events (id, at, kind, reason, user_id, session_id, ip, user_agent, request_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id.uuid())
        .bind(at.unix_micros())
        .bind(kind.as_str().to_owned())
        .bind(reason.map(|reason| reason.as_str().to_owned()))
        .bind(user_id.map(UserId::uuid))
        .bind(session_id.map(SessionId::uuid))
        .bind(client.ip.map(|ip| ip.to_string()))
        .bind(client.user_agent.as_ref().map(|agent| agent.as_str().to_owned()))
        .bind(client.request_id.as_ref().map(|id| id.as_str().to_owned()))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn newest(&mut self, limit: u32) -> Result<Vec<SecurityEvent>, StoreError> {
        let rows = Statement::<D>::new(
            "SELECT id, at, kind, reason, user_id, session_id, ip, user_agent, request_id FROM events \
             ORDER BY id DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(event::<D>).collect()
    }

    async fn of_user(
        &mut self,
        user_id: UserId,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<Vec<SecurityEvent>, StoreError> {
        let rows = Statement::<D>::new(
            "SELECT id, at, kind, reason, user_id, session_id, ip, user_agent, request_id FROM events \
             WHERE user_id = $1 AND id < $2 AND (kind <> 'refresh' OR reason IS NOT NULL) ORDER BY id DESC LIMIT $3",
        )
        .bind(user_id.uuid())
        .bind(before.map_or(Uuid::max(), EventId::uuid))
        .bind(i64::from(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(event::<D>).collect()
    }
}
