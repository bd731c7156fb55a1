use std::fmt;
use std::sync::Arc;

use doorward_domain::{EndpointName, EventKind, WebhookTransport};

use crate::WebhookSecret;

/// Who is told of security events, of which, and how they know that it was Doorward who told them.
pub struct WebhookEndpoint {
    /// What it is called here. What waits for it is found by that, so another name is another endpoint.
    pub name: EndpointName,
    /// What it is sent is signed with this.
    pub secret: WebhookSecret,
    /// What it is told of.
    pub events: WebhookEvents,
    /// The way to it.
    pub transport: Arc<dyn WebhookTransport>,
}

/// What an endpoint is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WebhookEvents {
    /// Everything.
    #[default]
    All,
    /// These kinds alone, successes and refusals alike.
    Only(Vec<EventKind>),
}

impl WebhookEvents {
    pub(crate) fn include(&self, kind: EventKind) -> bool {
        match self {
            Self::All => true,
            Self::Only(kinds) => kinds.contains(&kind),
        }
    }
}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEndpoint")
            .field("name", &self.name)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}
