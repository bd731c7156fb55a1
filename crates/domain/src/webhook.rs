use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use thiserror::Error;

use crate::{EventId, Timestamp, WebhookId};

/// What an endpoint for webhooks is called here: 1 to 64 of `a` to `z`, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(String);

/// The text is not an [`EndpointName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 64 lower-case letters, digits, _ and -")]
pub struct InvalidEndpointName;

impl EndpointName {
    /// The longest, in bytes.
    pub const LONGEST: usize = 64;

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpointName`].
    pub fn parse(text: &str) -> Result<Self, InvalidEndpointName> {
        let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        let taken = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(sane);
        taken.then(|| Self(text.to_owned())).ok_or(InvalidEndpointName)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one endpoint is to be told of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Names the delivery through all attempts.
    pub id: WebhookId,
    /// Who is told.
    pub endpoint: EndpointName,
    /// What they are told of.
    pub event_id: EventId,
    /// What they are told, in JSON.
    pub payload: String,
    /// When it was queued.
    pub created_at: Timestamp,
    /// How often it was tried to deliver it.
    pub attempts: u32,
}

/// A delivery as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedWebhook {
    /// The delivery.
    pub delivery: WebhookDelivery,
    /// When it is to be tried next; `None` for a dead letter, which is not tried again by itself.
    pub due_at: Option<Timestamp>,
    /// Until when somebody is at work on it.
    pub locked_until: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// One attempt to deliver, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedWebhook {
    /// The header `webhook-id`, the same for every attempt.
    pub id: WebhookId,
    /// The header `webhook-timestamp`: when the attempt began, in Unix seconds.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The body, in JSON.
    pub body: String,
}

/// The port to one endpoint for webhooks.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait WebhookTransport: Send + Sync {
    /// Hands one webhook to the endpoint, within [`WEBHOOK_LIMIT`].
    ///
    /// # Errors
    ///
    /// [`WebhookError`]. Whether the endpoint took the webhook is not known then.
    async fn send(&self, webhook: &SignedWebhook) -> Result<(), WebhookError>;
}

/// How long sending one webhook may take. Longer than this, and the endpoint counts as unreachable.
pub const WEBHOOK_LIMIT: Duration = Duration::from_secs(10);

/// Why a webhook was not delivered. The text is for the operator and never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WebhookError {
    /// The endpoint will never take this webhook.
    #[error("refused for good: {0}")]
    Permanent(String),
    /// The endpoint does not take this webhook now.
    #[error("refused for now: {0}")]
    Temporary(String),
    /// The endpoint does not answer, whatever the webhook.
    #[error("the endpoint cannot be reached: {0}")]
    Unreachable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_plain_word() {
        for text in ["a", "0", "-", "audit-log_2", &"a".repeat(64)] {
            assert_eq!(EndpointName::parse(text).map(|name| name.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Audit", "a b", "a.b", "a\n", "ä", &"a".repeat(65)] {
            assert_eq!(EndpointName::parse(text), Err(InvalidEndpointName), "{text:?}");
        }
    }
}
