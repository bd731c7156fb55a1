use anyhow::{Context as _, bail};
use doorward_auth::{Administration, AdministrationError};
use doorward_domain::{DisplayName, EmailAddress, Role, Timestamp, User};
use serde::Serialize;

use super::serve::runtime;
use super::{BadUsage, Tool, json, say};

/// Accounts, each named by its address
#[derive(clap::Args)]
pub(super) struct Users {
    #[command(subcommand)]
    act: Act,
    #[command(flatten)]
    tool: Tool,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Everything that is known of an account
    Show { email: String },
    /// Keeps an account from logging in, and ends its sessions
    Disable { email: String },
    /// Lets a disabled account log in again
    Enable { email: String },
    /// Gives an account these roles and no others; none takes all away
    SetRoles {
        email: String,
        #[arg(value_name = "ROLE")]
        roles: Vec<String>,
    },
}

impl Users {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let settings = self.tool.settings()?;
        // What is wrong with the arguments is told before the database is asked.
        let (email, change) = match self.act {
            Act::Show { email } => (email, None),
            Act::Disable { email } => (email, Some(Change::Disable)),
            Act::Enable { email } => (email, Some(Change::Enable)),
            Act::SetRoles { email, roles } => (email, Some(Change::SetRoles(parse_roles(&roles)?))),
        };
        let email = parse_address(&email)?;
        runtime()?.block_on(async {
            let administration = doorward::administer(&settings.database).await?;
            if let Some(change) = change {
                change.apply(&administration, &email).await?;
            }
            let user = find(&administration, &email).await?;
            show(&user, self.tool.json)
        })
    }
}

fn parse_address(text: &str) -> Result<EmailAddress, BadUsage> {
    EmailAddress::parse(text).map_err(|refused| BadUsage(format!("{text:?} is not an address: {refused}")))
}

fn parse_roles(texts: &[String]) -> Result<Vec<Role>, BadUsage> {
    let parse = |text: &String| {
        Role::parse(text).map_err(|refused| BadUsage(format!("{text:?} is not the name of a role: it {refused}")))
    };
    texts.iter().map(parse).collect()
}

/// What is done to an account.
enum Change {
    Disable,
    Enable,
    SetRoles(Vec<Role>),
}

impl Change {
    async fn apply(&self, administration: &Administration, email: &EmailAddress) -> anyhow::Result<()> {
        let id = find(administration, email).await?.id;
        let outcome = match self {
            Self::Disable => administration.disable_user(id).await,
            Self::Enable => administration.enable_user(id).await,
            Self::SetRoles(roles) => administration.set_roles(id, roles).await,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(AdministrationError::UnknownUser) => bail!("the account has just been deleted"),
            Err(error @ AdministrationError::TooManyRoles) => Err(BadUsage(error.to_string()).into()),
            Err(error @ AdministrationError::Fault(_)) => Err(error).context("the account was not changed"),
        }
    }
}

async fn find(administration: &Administration, email: &EmailAddress) -> anyhow::Result<User> {
    let user = administration.find_user(email).await?;
    user.with_context(|| format!("no account has the address {}", email.as_str()))
}

fn show(user: &User, json: bool) -> anyhow::Result<()> {
    let view = View::from(user);
    if json {
        say(&json::pretty(&view)?);
        return Ok(());
    }
    let none = || "-".to_owned();
    let state = match &view.disabled_at {
        Some(moment) => format!("disabled since {moment}"),
        None => "enabled".to_owned(),
    };
    for (name, value) in [
        ("id", view.id),
        ("email", view.email.to_owned()),
        ("verified", view.email_verified_at.unwrap_or_else(none)),
        ("name", view.name.map_or_else(none, str::to_owned)),
        ("state", state),
        ("roles", if view.roles.is_empty() { none() } else { view.roles.join(" ") }),
        ("created", view.created_at),
        ("updated", view.updated_at),
    ] {
        say(&format!("{name:<14}{value}"));
    }
    Ok(())
}

/// An account as an operator sees it.
#[derive(Serialize)]
struct View<'a> {
    id: String,
    email: &'a str,
    email_verified_at: Option<String>,
    name: Option<&'a str>,
    roles: &'a [String],
    disabled_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl<'a> From<&'a User> for View<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email.as_str(),
            email_verified_at: user.email_verified_at.map(Timestamp::to_rfc3339),
            name: user.name.as_ref().map(DisplayName::as_str),
            roles: &user.roles,
            disabled_at: user.disabled_at.map(Timestamp::to_rfc3339),
            created_at: user.created_at.to_rfc3339(),
            updated_at: user.updated_at.to_rfc3339(),
        }
    }
}
