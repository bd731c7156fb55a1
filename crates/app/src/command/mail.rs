use anyhow::bail;
use doorward_auth::Administration;
use doorward_domain::{EmailAddress, Locale, MailId, MailKind, QueuedMail, Store, Timestamp};
use serde::Serialize;

use super::serve::runtime;
use super::{Tool, json, say};

/// The mails that wait to be delivered, and those that were given up
#[derive(clap::Args)]
pub(super) struct Mail {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Every mail, oldest first
    List,
    /// One mail with everything that is known of it
    Show { id: String },
    /// Has a mail tried again at once, a dead letter as well
    Retry { id: String },
    /// Throws a mail away
    Drop { id: String },
}

/// More than an operator reads. What is left out is said.
const MOST_LISTED: u32 = 10_000;

impl Mail {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.tool.settings()?;
        runtime()?.block_on(async {
            let store = || doorward::open_store(&settings.database);
            let administration = || doorward::administer(&settings.database);
            match self.act {
                Act::List => list(&*store().await?, self.tool.json).await,
                Act::Show { id } => show(&*store().await?, mail_id(&id)?, self.tool.json).await,
                Act::Retry { id } => retry(&administration().await?, mail_id(&id)?).await,
                Act::Drop { id } => throw_away(&administration().await?, mail_id(&id)?).await,
            }
        })
    }
}

fn mail_id(text: &str) -> Result<MailId, super::BadUsage> {
    let refused = |_| super::BadUsage(format!("{text:?} is not the id of a mail"));
    uuid::Uuid::parse_str(text).map(MailId::from_uuid).map_err(refused)
}

async fn list(store: &dyn Store, json: bool) -> anyhow::Result<()> {
    let mails = store.read().await?.outbox().list(MOST_LISTED).await?;
    if json {
        let views: Vec<View<'_>> = mails.iter().map(View::from).collect();
        say(&json::pretty(&views)?);
        return Ok(());
    }
    for mail in &mails {
        let View { id, state, kind, to, attempts, .. } = View::from(mail);
        say(&format!("{id}  {state:<7}  {attempts:>3}  {kind:<22}  {to}"));
    }
    if mails.len() >= MOST_LISTED as usize {
        say(&format!("and more: these are the {MOST_LISTED} oldest"));
    }
    Ok(())
}

async fn show(store: &dyn Store, id: MailId, json: bool) -> anyhow::Result<()> {
    let Some(mail) = store.read().await?.outbox().find(id).await? else { bail!("there is no mail {id}") };
    let view = View::from(&mail);
    if json {
        say(&json::pretty(&view)?);
        return Ok(());
    }
    let none = || "-".to_owned();
    for (name, value) in [
        ("id", view.id),
        ("state", view.state.to_owned()),
        ("kind", view.kind.to_owned()),
        ("to", view.to.to_owned()),
        ("user", view.user_id.unwrap_or_else(none)),
        ("language", view.locale.map_or_else(none, str::to_owned)),
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

async fn retry(administration: &Administration, id: MailId) -> anyhow::Result<()> {
    if !administration.retry_mail(id).await? {
        bail!("there is no mail {id}, or it is being sent at this moment");
    }
    say("it is due now");
    Ok(())
}

async fn throw_away(administration: &Administration, id: MailId) -> anyhow::Result<()> {
    if !administration.drop_mail(id).await? {
        bail!("there is no mail {id}, or it is being sent at this moment");
    }
    say("it is gone");
    Ok(())
}

/// A mail as an operator sees it. There is no token in it.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    state: &'static str,
    kind: &'static str,
    to: &'a str,
    user_id: Option<String>,
    locale: Option<&'a str>,
    created_at: String,
    due_at: Option<String>,
    locked_until: Option<String>,
    attempts: u32,
    last_error: Option<&'a str>,
}

impl<'a> From<&'a QueuedMail> for View<'a> {
    fn from(queued: &'a QueuedMail) -> Self {
        let QueuedMail { mail, due_at, locked_until, last_error } = queued;
        Self {
            id: mail.id.to_string(),
            state: if due_at.is_some() { "waiting" } else { "dead" },
            kind: MailKind::as_str(mail.kind),
            to: EmailAddress::as_str(&mail.to),
            user_id: mail.user_id.map(|id| id.to_string()),
            locale: mail.locale.as_ref().map(Locale::as_str),
            created_at: mail.created_at.to_rfc3339(),
            due_at: due_at.map(Timestamp::to_rfc3339),
            locked_until: locked_until.map(Timestamp::to_rfc3339),
            attempts: mail.attempts,
            last_error: last_error.as_deref(),
        }
    }
}
