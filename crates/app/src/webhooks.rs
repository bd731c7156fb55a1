//! Who is told of security events, and the loops that tell them.

use std::fmt;
use std::sync::Arc;

use doorward_auth::{
    Auth, FailedDelivery, Fault, WebhookBatch, WebhookEndpoint, WebhookEvents, WebhookReport, WebhookSecret,
};
use doorward_domain::{EndpointName, WebhookId, WebhookTransport};
use doorward_webhooks::{HttpTransport, Target, UnusableClient};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::lanes::{self, Deliveries};

/// An endpoint that is told of security events.
pub struct WebhookSettings {
    /// What it is called here, and no other endpoint.
    pub name: EndpointName,
    /// What webhooks to it are signed with.
    pub secret: WebhookSecret,
    /// What it is told of.
    pub events: WebhookEvents,
    /// How webhooks get there.
    pub route: WebhookRoute,
}

/// How webhooks get to an endpoint.
#[derive(Clone)]
pub enum WebhookRoute {
    /// They are posted there.
    Http(Target),
    /// By a transport of the embedding service's own.
    Transport(Arc<dyn WebhookTransport>),
}

impl WebhookSettings {
    pub(crate) fn open(self) -> Result<Arc<WebhookEndpoint>, UnusableClient> {
        let Self { name, secret, events, route } = self;
        let transport: Arc<dyn WebhookTransport> = match route {
            WebhookRoute::Http(target) => Arc::new(HttpTransport::new(target)?),
            WebhookRoute::Transport(transport) => transport,
        };
        Ok(Arc::new(WebhookEndpoint { name, secret, events, transport }))
    }
}

impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSettings").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Delivers webhooks as they fall due, until the other half of `end` is dropped. Each endpoint has a loop of its own, so
/// that one that is slow holds up no other.
pub(crate) async fn deliver(auth: &Auth, end: &watch::Receiver<()>) {
    let mut endpoints = JoinSet::new();
    for endpoint in auth.webhooks() {
        let (to_endpoint, mut end) = (ToEndpoint { auth: auth.clone(), endpoint: Arc::clone(endpoint) }, end.clone());
        endpoints.spawn(lanes::deliver(to_endpoint, async move { while end.changed().await.is_ok() {} }));
    }
    while let Some(ended) = endpoints.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a loop that delivers webhooks panicked");
        }
    }
}

#[derive(Clone)]
struct ToEndpoint {
    auth: Auth,
    endpoint: Arc<WebhookEndpoint>,
}

impl Deliveries for ToEndpoint {
    type Batch = WebhookBatch;
    type Id = WebhookId;

    const WHAT: &'static str = "a webhook";
    const LANES: usize = 8;

    async fn lease(&self) -> Result<Option<WebhookBatch>, Fault> {
        self.auth.lease_webhooks(&self.endpoint).await
    }

    async fn deliver(&self, batch: WebhookBatch) -> Result<WebhookReport, Fault> {
        self.auth.deliver_webhooks(batch).await
    }

    fn complain(&self, failed: &FailedDelivery<WebhookId>) {
        let FailedDelivery { id, error, dead } = failed;
        tracing::warn!(webhook = %id, endpoint = %self.endpoint.name, dead, error, "webhook not delivered");
    }
}
