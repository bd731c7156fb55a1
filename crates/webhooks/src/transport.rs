use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use doorward_domain::{SignedWebhook, WEBHOOK_LIMIT, WebhookError, WebhookTransport};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use thiserror::Error;
use url::Url;

use crate::Target;
use crate::resolver::{CheckedResolver, Lookup, SystemLookup};
use crate::target::Reach;

/// How long sending may take.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// To look the host up and connect.
    pub(crate) connect: Duration,
    /// In all.
    pub(crate) total: Duration,
    /// To read what an answer says besides its status.
    pub(crate) body: Duration,
}

const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), total: WEBHOOK_LIMIT, body: Duration::from_millis(500) };

/// How much of an answer is read. A longer one costs its connection.
const LONGEST_BODY: usize = 1024;

/// Posts webhooks to one target.
///
/// What answers with 2xx has taken the webhook; 410 will never take it; whatever else answers does not take it now,
/// redirects included.
pub struct HttpTransport {
    client: Client,
    url: Url,
    drain: Duration,
}

/// No client could be made, for one because the system has no certificates to trust.
#[derive(Debug, Error)]
#[error("webhooks cannot be sent")]
pub struct UnusableClient(#[from] reqwest::Error);

impl HttpTransport {
    /// The way to this target.
    ///
    /// # Errors
    ///
    /// [`UnusableClient`] when TLS cannot be set up.
    pub fn new(target: Target) -> Result<Self, UnusableClient> {
        Self::with(target, Arc::new(SystemLookup), LIMITS)
    }

    pub(crate) fn with(target: Target, lookup: Arc<dyn Lookup>, limits: Limits) -> Result<Self, UnusableClient> {
        let Target { url, reach } = target;
        let builder = Client::builder()
            .redirect(Policy::none())
            .referer(false)
            // A proxy would look the host up for itself.
            .no_proxy()
            .dns_resolver(CheckedResolver { lookup, reach })
            .connect_timeout(limits.connect)
            .timeout(limits.total)
            .user_agent(concat!("doorward-webhooks/", env!("CARGO_PKG_VERSION")));
        // Plain HTTP needs no certificates, and a bare container has none.
        let builder = if reach == Reach::ThisMachine { builder.tls_certs_only(Vec::new()) } else { builder };
        Ok(Self { client: builder.build()?, url, drain: limits.body })
    }
}

#[async_trait]
impl WebhookTransport for HttpTransport {
    async fn send(&self, webhook: &SignedWebhook) -> Result<(), WebhookError> {
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", webhook.id.to_string())
            .header("webhook-timestamp", webhook.timestamp)
            .header("webhook-signature", &webhook.signature)
            .body(webhook.body.clone());
        let answer = request.send().await.map_err(|error| WebhookError::Unreachable(describe(error)))?;
        let status = answer.status();
        // Time or not, the status says what became of the webhook.
        tokio::time::timeout(self.drain, drain(answer)).await.unwrap_or_default();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err(WebhookError::Permanent(format!("the endpoint answers {status}"))),
            status if status.is_redirection() => {
                Err(WebhookError::Temporary(format!("the endpoint answers {status}; redirects are not followed")))
            }
            status => Err(WebhookError::Temporary(format!("the endpoint answers {status}"))),
        }
    }
}

/// Reads a short body to its end, so that the connection can be used again, and gives up on a long one.
async fn drain(mut answer: Response) {
    let mut read = 0;
    while read <= LONGEST_BODY
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read += chunk.len();
    }
}

/// What went wrong, without the URL: there may be a secret in its path.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some repeat what is below them.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
