//! Every option that Doorward has, typed, and how a configuration file and the environment become them.

mod check;
mod limits;
mod mail;
mod pages;
mod parse;
mod passwords;
mod raw;
mod webhooks;

use std::net::SocketAddr;
use std::time::Duration;

use doorward_auth::password::Argon2Params;
use doorward_auth::password::pool::PoolSize;
use doorward_auth::token::{KeyPolicy, SharedSecret, TokenSettings};
use doorward_auth::{AccessTokens, MasterKey, ProofRules, RegistrationMode, ThrottlePolicy};
use doorward_domain::{KeyAlgorithm, PasswordPolicy, SessionPolicy};
use doorward_http::pages::PageSettings;
use doorward_http::{Clients, HttpLimits, OriginList, TrustedProxies};
use doorward_persistence::SchemaName;
use doorward_tasks::Tasks;
use secrecy::SecretString;
use tracing_subscriber::filter::Targets;
use url::Url;

use crate::{MailSettings, WebhookSettings};

pub use check::{InvalidSettings, OptionError};
pub use parse::{load_dev, load_serve};
pub use passwords::ScreenSettings;

/// Everything that makes a [`Doorward`](crate::Doorward).
#[derive(Debug)]
pub struct Settings {
    /// Where clients reach the service.
    pub public_url: Url,
    /// The database.
    pub database: DatabaseSettings,
    /// The secret that every other key is derived from.
    pub master_key: MasterKey,
    /// Who may register.
    pub registration: RegistrationMode,
    /// What a new password must satisfy.
    pub passwords: PasswordPolicy,
    /// What a new password is looked for in, besides the embedded list.
    pub screens: ScreenSettings,
    /// What hashing a password costs.
    pub argon2: Argon2Params,
    /// How many passwords are hashed at once and how many wait.
    pub hashing: PoolSize,
    /// Access tokens.
    pub tokens: TokenOptions,
    /// How long sessions last, and how many a user may have.
    pub sessions: SessionPolicy,
    /// For how long access tokens are taken without word from the database of what has been revoked.
    pub staleness: Duration,
    /// How many verified access tokens are remembered, not to be verified again.
    pub remembered_tokens: usize,
    /// Where a proof of work is asked for, and how much.
    pub proofs: ProofRules,
    /// The services that may ask about tokens.
    pub clients: Clients,
    /// Whose word on a client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Whose scripts may read answers and use the session cookie, besides the service's own.
    pub cors_origins: OriginList,
    /// Other origins of the service itself, under which its pages use the session cookie.
    pub cookie_origins: OriginList,
    /// How much and how long a request may take.
    pub limits: HttpLimits,
    /// How often what may be done.
    pub throttles: ThrottlePolicy,
    /// How long entries of the security log are kept; `None` for ever.
    pub event_retention: Option<Duration>,
    /// How mail leaves.
    pub mail: MailSettings,
    /// Who is told of security events.
    pub webhooks: Vec<WebhookSettings>,
    /// Each user's tasks; `None` where there are to be none.
    pub tasks: Option<TaskSettings>,
    /// What people see.
    pub pages: PageSettings,
}

impl Settings {
    /// For how long a node goes on without the database unless it is told otherwise.
    pub const STALENESS: Duration = Duration::from_secs(30);
    /// How long entries of the security log are kept unless it is told otherwise: a year.
    pub const EVENT_RETENTION: Duration = Duration::from_hours(365 * 24);

    /// Settings with every default.
    ///
    /// # Defaults
    ///
    /// Registration with a verified address; 10 connections, schema `doorward`, migrations applied at start;
    /// EdDSA, a new key every 90 days; stale after 30 seconds; a security log of a year; no proofs of work; no clients; no
    /// webhooks; no tasks; everything else as
    /// documented on its type.
    #[must_use]
    pub fn new(public_url: Url, database_url: SecretString, master_key: MasterKey, mail: MailSettings) -> Self {
        Self {
            public_url,
            database: DatabaseSettings {
                url: database_url,
                max_connections: 10,
                schema: SchemaName::default(),
                migrate: true,
            },
            master_key,
            registration: RegistrationMode::default(),
            passwords: PasswordPolicy::default(),
            screens: ScreenSettings::default(),
            argon2: Argon2Params::default(),
            hashing: PoolSize::default(),
            tokens: TokenOptions::default(),
            sessions: SessionPolicy::default(),
            staleness: Self::STALENESS,
            remembered_tokens: AccessTokens::REMEMBERED,
            proofs: ProofRules::default(),
            clients: Clients::default(),
            trusted_proxies: TrustedProxies::default(),
            cors_origins: OriginList::default(),
            cookie_origins: OriginList::default(),
            limits: HttpLimits::default(),
            throttles: ThrottlePolicy::default(),
            event_retention: Some(Self::EVENT_RETENTION),
            mail,
            webhooks: Vec::new(),
            tasks: None,
            pages: PageSettings::default(),
        }
    }
}

/// How each user's tasks are kept.
///
/// # Defaults
///
/// 10,000 tasks for each user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSettings {
    /// How many tasks a user may have, at least 1.
    pub most_per_user: u32,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self { most_per_user: Tasks::MOST_PER_USER }
    }
}

/// Which database, and how it is used.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// `sqlite:` and a path, or `postgres:` and so on. May hold a password.
    pub url: SecretString,
    /// How many connections a node uses at most, besides one that listens for revocations; with SQLite, how many read
    /// at once.
    pub max_connections: u32,
    /// Where the tables live; PostgreSQL alone.
    pub schema: SchemaName,
    /// Whether starting applies migrations. If not, an outdated schema is refused.
    pub migrate: bool,
}

/// How access tokens are made.
#[derive(Debug)]
pub struct TokenOptions {
    /// What they are signed with.
    pub algorithm: KeyAlgorithm,
    /// The `iss` claim; the public URL unless given.
    pub issuer: Option<String>,
    /// The `aud` claim; the issuer unless given.
    pub audience: Option<String>,
    /// How long they are valid.
    pub lifetime: Duration,
    /// What HS256 signs with.
    pub shared_secret: Option<SharedSecret>,
    /// How long a key signs before the next one takes over.
    pub rotate_after: Duration,
}

impl TokenOptions {
    pub(crate) const fn key_policy(&self) -> KeyPolicy {
        KeyPolicy { algorithm: self.algorithm, rotate_after: self.rotate_after, lifetime: self.lifetime }
    }
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self {
            algorithm: KeyAlgorithm::default(),
            issuer: None,
            audience: None,
            lifetime: TokenSettings::DEFAULT_LIFETIME,
            rotate_after: KeyPolicy::ROTATE_AFTER,
            shared_secret: None,
        }
    }
}

/// How the binary serves a [`Doorward`](crate::Doorward), besides its [`Settings`].
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What a connection may cost.
    pub connections: ConnectionLimits,
    /// What it logs.
    pub log: LogSettings,
}

/// What a connection may cost.
///
/// # Defaults
///
/// A header within 20 seconds, which is also how long a connection may be idle; 16,384 connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// How long a request's header may take to arrive, counted from the end of the one before; and how long a
    /// client may take nothing of its answer.
    pub header_timeout: Duration,
    /// How many connections are held at once; further ones wait to be accepted.
    pub max_connections: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { header_timeout: Duration::from_secs(20), max_connections: 16 * 1024 }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// How much: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,doorward_http=debug`.
    pub level: Targets,
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}
