use async_trait::async_trait;
use doorward_domain::store::WebhookOutbox;
use doorward_domain::{EndpointName, EventId, QueuedWebhook, StoreError, Timestamp, WebhookDelivery, WebhookId};

use super::leases::{LeasedTable, leased, leased_table};
use super::{column, moment, optional_moment};
use crate::dialect::{Dialect, Statement};
use crate::error::corrupt;
use crate::unit::Unit;

/// What [`delivery`] reads.
macro_rules! delivery_columns {
    () => {
        "id, endpoint, event_id, payload, created_at, attempts"
    };
}
macro_rules! queued_columns {
    () => {
        concat!(delivery_columns!(), ", due_at, locked_until, last_error")
    };
}

const TABLE: LeasedTable = leased_table!("webhooks", "endpoint = $4", delivery_columns!());

fn delivery<D: Dialect>(row: &D::Row) -> Result<WebhookDelivery, StoreError> {
    Ok(WebhookDelivery {
        id: WebhookId::from_uuid(column::<D, _>(row, "id")?),
        endpoint: EndpointName::parse(&column::<D, String>(row, "endpoint")?).map_err(corrupt("endpoint"))?,
        event_id: EventId::from_uuid(column::<D, _>(row, "event_id")?),
        payload: column::<D, _>(row, "payload")?,
        created_at: moment::<D>(row, "created_at")?,
        attempts: u32::try_from(column::<D, i64>(row, "attempts")?).map_err(corrupt("attempts"))?,
    })
}

fn queued<D: Dialect>(row: &D::Row) -> Result<QueuedWebhook, StoreError> {
    Ok(QueuedWebhook {
        delivery: delivery::<D>(row)?,
        due_at: optional_moment::<D>(row, "due_at")?,
        locked_until: optional_moment::<D>(row, "locked_until")?,
        last_error: column::<D, _>(row, "last_error")?,
    })
}

#[async_trait]
impl<D: Dialect> WebhookOutbox for Unit<D> {
    async fn push(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError> {
        let WebhookDelivery { id, endpoint, event_id, payload, created_at, attempts: _ } = delivery;
        Statement::<D>::new(
            "INSERT INTO webhooks (id, endpoint, event_id, payload, created_at, due_at) VALUES ($1, $2, $3, $4, $5, $5)",
        )
        .bind(id.uuid())
        .bind(endpoint.as_str().to_owned())
        .bind(event_id.uuid())
        .bind(payload.clone())
        .bind(created_at.unix_micros())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn has_due(&mut self, endpoint: &EndpointName, now: Timestamp) -> Result<bool, StoreError> {
        let row = Statement::<D>::new(
            "SELECT id FROM webhooks WHERE endpoint = $1 AND due_at <= $2 \
             AND (locked_until IS NULL OR locked_until <= $2) LIMIT 1",
        )
        .bind(endpoint.as_str().to_owned())
        .bind(now.unix_micros())
        .fetch_optional(self.connection())
        .await?;
        Ok(row.is_some())
    }

    async fn lease(
        &mut self,
        endpoint: &EndpointName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError> {
        let statement = TABLE.lease::<D>(now, until, limit).bind(endpoint.as_str().to_owned());
        leased::<D, _>(&statement.fetch_all(self.connection()).await?, delivery::<D>)
    }

    async fn finish(&mut self, id: WebhookId, until: Timestamp) -> Result<bool, StoreError> {
        TABLE.finish::<D>(self.connection(), id.uuid(), until).await
    }

    async fn postpone(
        &mut self,
        id: WebhookId,
        until: Timestamp,
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError> {
        TABLE.postpone::<D>(self.connection(), (id.uuid(), until), due_at, attempts, error).await
    }

    async fn list(&mut self, limit: u32) -> Result<Vec<QueuedWebhook>, StoreError> {
        let rows = Statement::<D>::new(concat!("SELECT ", queued_columns!(), " FROM webhooks ORDER BY id LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(queued::<D>).collect()
    }

    async fn find(&mut self, id: WebhookId) -> Result<Option<QueuedWebhook>, StoreError> {
        let row = Statement::<D>::new(concat!("SELECT ", queued_columns!(), " FROM webhooks WHERE id = $1"))
            .bind(id.uuid())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(queued::<D>).transpose()
    }

    async fn requeue(&mut self, id: WebhookId, now: Timestamp) -> Result<bool, StoreError> {
        TABLE.requeue::<D>(self.connection(), id.uuid(), now).await
    }

    async fn remove(&mut self, id: WebhookId, now: Timestamp) -> Result<bool, StoreError> {
        TABLE.remove::<D>(self.connection(), id.uuid(), now).await
    }
}
