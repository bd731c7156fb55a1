use async_trait::async_trait;

use crate::{EndpointName, QueuedWebhook, StoreError, Timestamp, WebhookDelivery, WebhookId};

/// The webhooks that wait to be delivered.
///
/// They are leased as mails are ([`Outbox`](super::Outbox)): while a lease lasts nobody else gets the delivery, and with
/// its end anybody does. What ends a lease names it by its moment, and does nothing when the lease has passed to somebody
/// else.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WebhookOutbox: Send {
    /// Adds a delivery that has not been tried, due at the moment it was made.
    async fn push(&mut self, delivery: &WebhookDelivery) -> Result<(), StoreError>;

    /// Whether a delivery to the endpoint is due.
    async fn has_due(&mut self, endpoint: &EndpointName, now: Timestamp) -> Result<bool, StoreError>;

    /// Leases up to `limit` deliveries to the endpoint that are due, the longest due first. Of any number of callers,
    /// one gets each.
    async fn lease(
        &mut self,
        endpoint: &EndpointName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookDelivery>, StoreError>;

    /// Removes a leased delivery, which was delivered; says whether the lease stood.
    async fn finish(&mut self, id: WebhookId, until: Timestamp) -> Result<bool, StoreError>;

    /// Ends a lease after a failed attempt. The delivery is due again at `due_at`; with `None` it is a dead letter. Says
    /// whether the lease stood.
    async fn postpone(
        &mut self,
        id: WebhookId,
        until: Timestamp,
        due_at: Option<Timestamp>,
        attempts: u32,
        error: &str,
    ) -> Result<bool, StoreError>;

    /// Up to `limit` deliveries, oldest first.
    async fn list(&mut self, limit: u32) -> Result<Vec<QueuedWebhook>, StoreError>;

    /// The delivery, or `None`.
    async fn find(&mut self, id: WebhookId) -> Result<Option<QueuedWebhook>, StoreError>;

    /// Makes a delivery that nobody is at work on due now, a dead letter as well; says whether there was one.
    async fn requeue(&mut self, id: WebhookId, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a delivery that nobody is at work on; says whether there was one.
    async fn remove(&mut self, id: WebhookId, now: Timestamp) -> Result<bool, StoreError>;
}
