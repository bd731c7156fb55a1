use anyhow::bail;
use doorward::settings::Settings;
use doorward_domain::{Clock as _, EndpointName, QueuedWebhook, Store, Timestamp, WebhookDelivery, WebhookId};
use serde::Serialize;
use serde_json::Value;

use super::serve::runtime;
use super::{Tool, json, say};

/// The webhooks that wait to be delivered, and those that were given up
#[derive(clap::Args)]
pub(super) struct Webhooks {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Every webhook, oldest first
    List,
    /// One webhook with everything that is known of it
    Show { id: String },
    /// Has a webhook tried again at once, a dead letter as well
    Retry { id: String },
    /// Throws a webhook away
    Drop { id: String },
}

/// More than an operator reads. What is left out is said.
const MOST_LISTED: u32 = 10_000;

impl Webhooks {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.tool.settings()?;
        runtime()?.block_on(async {
            let store = doorward::open_store(&settings.database).await?;
            match self.act {
                Act::List => list(&*store, &settings, self.tool.json).await,
                Act::Show { id } => show(&*store, &settings, webhook_id(&id)?, self.tool.json).await,
                Act::Retry { id } => retry(&*store, webhook_id(&id)?).await,
                Act::Drop { id } => throw_away(&*store, webhook_id(&id)?).await,
            }
        })
    }
}

fn webhook_id(text: &str) -> Result<WebhookId, super::BadUsage> {
    let refused = |_| super::BadUsage(format!("{text:?} is not the id of a webhook"));
    uuid::Uuid::parse_str(text).map(WebhookId::from_uuid).map_err(refused)
}

async fn list(store: &dyn Store, settings: &Settings, json: bool) -> anyhow::Result<()> {
    let webhooks = store.read().await?.webhooks().list(MOST_LISTED).await?;
    let views: Vec<View<'_>> = webhooks.iter().map(|webhook| View::new(webhook, settings)).collect();
    if json {
        say(&json::pretty(&views)?);
        return Ok(());
    }
    for view in &views {
        let View { id, state, attempts, endpoint, .. } = view;
        say(&format!("{id}  {state:<8}  {attempts:>3}  {:<22}  {endpoint}", view.kind()));
    }
    if webhooks.len() >= MOST_LISTED as usize {
        say(&format!("and more: these are the {MOST_LISTED} oldest"));
    }
    Ok(())
}

async fn show(store: &dyn Store, settings: &Settings, id: WebhookId, json: bool) -> anyhow::Result<()> {
    let Some(webhook) = store.read().await?.webhooks().find(id).await? else { bail!("there is no webhook {id}") };
    let view = View::new(&webhook, settings);
    if json {
        say(&json::pretty(&view)?);
        return Ok(());
    }
    let none = || "-".to_owned();
    for (name, value) in [
        ("id", view.id),
        ("state", view.state.to_owned()),
        ("endpoint", view.endpoint.to_owned()),
        ("event", view.event.to_string()),
        ("created", view.created_at),
        ("due", view.due_at.unwrap_or_else(none)),
        ("locked until", view.locked_until.unwrap_or_else(none)),
        ("attempts", view.attempts.to_string()),
        ("last error", view.last_error.map_or_else(none, str::to_owned)),
    ] {
        say(&format!("{name:<14}{value}"));
    }
    Ok(())
}

async fn retry(store: &dyn Store, id: WebhookId) -> anyhow::Result<()> {
    let mut unit = store.write().await?;
    if !unit.webhooks().requeue(id, doorward::SystemClock.now()).await? {
        bail!("there is no webhook {id}, or it is being sent at this moment");
    }
    unit.commit().await?;
    say("it is due now");
    Ok(())
}

async fn throw_away(store: &dyn Store, id: WebhookId) -> anyhow::Result<()> {
    let mut unit = store.write().await?;
    if !unit.webhooks().remove(id, doorward::SystemClock.now()).await? {
        bail!("there is no webhook {id}, or it is being sent at this moment");
    }
    unit.commit().await?;
    say("it is gone");
    Ok(())
}

/// A webhook as an operator sees it.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    state: &'static str,
    endpoint: &'a str,
    event: Value,
    created_at: String,
    due_at: Option<String>,
    locked_until: Option<String>,
    attempts: u32,
    last_error: Option<&'a str>,
}

impl<'a> View<'a> {
    fn new(queued: &'a QueuedWebhook, settings: &Settings) -> Self {
        let QueuedWebhook { delivery, due_at, locked_until, last_error } = queued;
        let WebhookDelivery { id, endpoint, event_id: _, payload, created_at, attempts } = delivery;
        let known = settings.webhooks.iter().any(|known| known.name == *endpoint);
        Self {
            id: id.to_string(),
            state: match (due_at, known) {
                (None, _) => "dead",
                (Some(_), true) => "waiting",
                // For an endpoint of this name to be configured again.
                (Some(_), false) => "orphaned",
            },
            endpoint: EndpointName::as_str(endpoint),
            event: serde_json::from_str(payload).unwrap_or_default(),
            created_at: created_at.to_rfc3339(),
            due_at: due_at.map(Timestamp::to_rfc3339),
            locked_until: locked_until.map(Timestamp::to_rfc3339),
            attempts: *attempts,
            last_error: last_error.as_deref(),
        }
    }

    fn kind(&self) -> &str {
        self.event.get("type").and_then(Value::as_str).unwrap_or_default()
    }
}
