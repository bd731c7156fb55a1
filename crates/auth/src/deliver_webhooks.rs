use std::sync::Arc;

use doorward_domain::{SignedWebhook, Timestamp, WEBHOOK_LIMIT, WebhookDelivery, WebhookError, WebhookId};

use crate::delivery::{self, BATCH, DeliveryReport, LEASE, Unsent};
use crate::unit::retrying;
use crate::{Auth, Fault, WebhookEndpoint};

/// Webhooks that this node has to itself for a while, all to one endpoint.
#[derive(Debug)]
pub struct WebhookBatch {
    endpoint: Arc<WebhookEndpoint>,
    deliveries: Vec<WebhookDelivery>,
    until: Timestamp,
}

/// What became of a batch of webhooks.
pub type WebhookReport = DeliveryReport<WebhookId>;

impl Auth {
    /// Who is told of security events.
    #[must_use]
    pub fn webhooks(&self) -> &[Arc<WebhookEndpoint>] {
        &self.parts().webhooks
    }

    /// Takes the webhooks to an endpoint that are due and that nobody is at work on; `None` when there are none.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn lease_webhooks(&self, endpoint: &Arc<WebhookEndpoint>) -> Result<Option<WebhookBatch>, Fault> {
        let now = self.now();
        if !self.store().read().await?.webhooks().has_due(&endpoint.name, now).await? {
            return Ok(None);
        }
        let until = now.plus(LEASE);
        let deliveries = retrying(|| async {
            let mut unit = self.store().write().await?;
            let deliveries = unit.webhooks().lease(&endpoint.name, now, until, BATCH).await?;
            unit.commit().await?;
            Ok(deliveries)
        })
        .await?;
        let endpoint = Arc::clone(endpoint);
        Ok((!deliveries.is_empty()).then_some(WebhookBatch { endpoint, deliveries, until }))
    }

    /// Sends a batch, one webhook after the other. One that is refused does not hold up the next; an endpoint that does
    /// not answer postpones them all.
    ///
    /// # Errors
    ///
    /// [`Fault`]; what was not settled then is delivered by anybody after the lease.
    pub async fn deliver_webhooks(&self, batch: WebhookBatch) -> Result<WebhookReport, Fault> {
        let WebhookBatch { endpoint, deliveries, until } = batch;
        let last_start = until.minus(LEASE).plus(delivery::last_start(WEBHOOK_LIMIT));
        let mut report = WebhookReport::default();
        let mut left = deliveries.as_slice();
        while let Some((delivery, rest)) = left.split_first() {
            let now = self.now();
            // A node that was stopped for a while finds itself here, too: the lease may be somebody else's by now.
            if now >= last_start {
                self.give_webhooks_back(left, until, now).await?;
                break;
            }
            match endpoint.transport.send(&signed(&endpoint, delivery, now)).await {
                Ok(()) => {
                    self.finish_webhook(delivery.id, until).await?;
                    report.sent += 1;
                }
                Err(error) => {
                    report.no_connection = matches!(error, WebhookError::Unreachable(_));
                    let concerned = if report.no_connection { left } else { std::slice::from_ref(delivery) };
                    let for_good = matches!(error, WebhookError::Permanent(_));
                    let text = error.to_string();
                    let unsent = |delivery: &WebhookDelivery| {
                        self.unsent(delivery.id, delivery.created_at, delivery.attempts, for_good)
                    };
                    let unsent = concerned.iter().map(unsent).collect::<Result<Vec<_>, Fault>>()?;
                    self.postpone_webhooks(&unsent, until, &text).await?;
                    report.failed.extend(unsent.into_iter().map(|unsent| unsent.failed(&text)));
                    if report.no_connection {
                        break;
                    }
                }
            }
            left = rest;
        }
        Ok(report)
    }

    async fn finish_webhook(&self, id: WebhookId, until: Timestamp) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.webhooks().finish(id, until).await?;
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Lets somebody else have webhooks that were not tried.
    async fn give_webhooks_back(
        &self,
        deliveries: &[WebhookDelivery],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let unsent =
            |delivery: &WebhookDelivery| Unsent { id: delivery.id, due_at: Some(now), attempts: delivery.attempts };
        let unsent: Vec<_> = deliveries.iter().map(unsent).collect();
        self.postpone_webhooks(&unsent, until, "not tried for want of time").await
    }

    async fn postpone_webhooks(
        &self,
        unsent: &[Unsent<WebhookId>],
        until: Timestamp,
        error: &str,
    ) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            for Unsent { id, due_at, attempts } in unsent {
                unit.webhooks().postpone(*id, until, *due_at, *attempts, error).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }
}

/// The attempt that begins now. A receiver refuses one whose moment is long past, so each is signed anew.
fn signed(endpoint: &WebhookEndpoint, delivery: &WebhookDelivery, now: Timestamp) -> SignedWebhook {
    let WebhookDelivery { id, payload, .. } = delivery;
    let timestamp = now.unix_seconds();
    let signature = endpoint.secret.sign(*id, timestamp, payload);
    SignedWebhook { id: *id, timestamp, signature, body: payload.clone() }
}

#[cfg(test)]
mod tests;
