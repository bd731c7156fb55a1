mod check_config;
mod client_secret;
mod dev;
mod doctor;
mod events;
mod json;
mod keys;
mod logging;
mod mail;
mod migrate;
mod passwords;
mod serve;
mod users;
mod webhooks;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use doorward::settings::{InvalidSettings, Settings, load_serve};

/// Authentication for your users: registration, log-in, sessions, tokens.
#[derive(clap::Parser)]
#[command(name = "doorward", version, arg_required_else_help = true)]
pub(crate) struct Command {
    #[command(subcommand)]
    act: Act,
}

#[derive(clap::Subcommand)]
enum Act {
    /// Starts at once, with everything in one folder; for development
    Dev(dev::Dev),
    /// Runs in production, from a configuration file and the environment
    Serve(Configured),
    /// Says what `serve` would refuse
    CheckConfig(Configured),
    /// Says what `serve` would refuse, and looks at the database and the mail server
    Doctor(Configured),
    /// Brings the database's schema up to date and stops
    Migrate(Configured),
    /// Looks into the mails that wait to be delivered
    Mail(mail::Mail),
    /// Looks into the webhooks that wait to be delivered
    Webhooks(webhooks::Webhooks),
    /// Shows, disables and enables accounts, and gives them roles
    Users(users::Users),
    /// Shows, rotates and revokes the keys that sign access tokens
    Keys(keys::Keys),
    /// Shows, verifies and exports the security log
    Events(events::Events),
    /// Makes and checks filters of breached passwords, and tells what a service would refuse
    Passwords(passwords::Passwords),
    /// Makes a secret for a service that asks about tokens
    ClientSecret,
}

#[derive(clap::Args)]
struct Configured {
    /// A configuration file in TOML; the environment overrides it (`DOORWARD__DATABASE__URL` is database.url)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What every command takes that works on a service's database.
#[derive(clap::Args)]
struct Tool {
    /// A configuration file in TOML; the environment overrides it
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Prints JSON, for machines
    #[arg(long, global = true)]
    json: bool,
}

impl Tool {
    /// Those of `serve`. A tool is no reason to change the schema.
    fn settings(&self) -> anyhow::Result<Settings> {
        let (mut settings, _) = load_serve(self.config.as_deref(), environment()?)?;
        settings.database.migrate = false;
        Ok(settings)
    }
}

/// Bad usage or configuration, as `clap` exits too.
const EXIT_USAGE: u8 = 2;
/// Anything else.
const EXIT_FAILURE: u8 = 1;

impl Command {
    pub(crate) fn run(self) -> ExitCode {
        // Whatever is made (a database, a key) is for its owner alone.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let result = match self.act {
            Act::Dev(dev) => dev.run(),
            Act::Serve(configured) => serve::run(configured.config.as_deref()),
            Act::CheckConfig(configured) => check_config::run(configured.config.as_deref()),
            Act::Doctor(configured) => doctor::run(configured.config.as_deref()),
            Act::Mail(mail) => mail.run(),
            Act::Webhooks(webhooks) => webhooks.run(),
            Act::Users(users) => users.run(),
            Act::Keys(keys) => keys.run(),
            Act::Events(events) => events.run(),
            Act::Passwords(passwords) => passwords.run(),
            Act::ClientSecret => client_secret::run(),
            Act::Migrate(configured) => migrate::run(configured.config.as_deref()),
        };
        match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain(&format!("doorward: {error:#}"));
                let usage = error.is::<InvalidSettings>() || error.is::<BadUsage>();
                ExitCode::from(if usage { EXIT_USAGE } else { EXIT_FAILURE })
            }
        }
    }
}

/// An argument that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BadUsage(String);

/// Doorward's own variables.
fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let own = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"DOORWARD__"));
    own.map(|(name, value)| {
        let unreadable = |name: &std::ffi::OsStr| BadUsage(format!("{} is not UTF-8", name.display()));
        let value = value.into_string().map_err(|_| unreadable(&name))?;
        Ok((name.into_string().map_err(|name| unreadable(&name))?, value))
    })
    .collect()
}

/// Says something to the person at the terminal.
fn say(line: &str) {
    // A closed output is no reason to stop.
    writeln!(std::io::stdout(), "{line}").unwrap_or_default();
}

fn complain(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap_or_default();
}
