use std::sync::Arc;

use doorward_domain::{EndpointName, MockWebhookTransport};
use secrecy::SecretString;

use crate::{WebhookEndpoint, WebhookEvents, WebhookSecret};

/// An endpoint for webhooks with a secret of its own.
pub(crate) fn webhook_endpoint(
    name: &str,
    events: WebhookEvents,
    transport: MockWebhookTransport,
) -> Arc<WebhookEndpoint> {
    let secret = SecretString::from("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned());
    Arc::new(WebhookEndpoint {
        name: EndpointName::parse(name).unwrap(),
        secret: WebhookSecret::parse(&secret).unwrap(),
        events,
        transport: Arc::new(transport),
    })
}
