//! Doorward as a library: an authentication foundation inside your own service.
//!
//! [`Doorward`] wires the parts together. It gives routes for your router, an [`AccessGuard`] for your state, so
//! that [`CurrentUser`] works in your handlers, and a future that does the background work. There is no global
//! state: two Doorwards with different databases and keys live in one process.
//!
//! ```no_run
//! use doorward::{Doorward, MailSettings};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let doorward = Doorward::builder("https://example.com", "sqlite:app-users.db")
//!     .master_key_file("master.key")
//!     .mail(MailSettings::directory("mail", "Example <accounts@example.com>".parse()?))
//!     .start()
//!     .await?;
//! let app: axum::Router = axum::Router::new().nest("/auth", doorward.routes());
//! tokio::spawn(doorward.background());
//! # Ok(()) }
//! ```
//!
//! The binary `doorward` is a thin user of this library: [`settings`] reads its configuration, [`server`] serves
//! its routes.

mod background;
mod database;
mod diagnosis;
mod doorward;
mod key_file;
mod lanes;
mod mail;
mod receiver;
pub mod server;
pub mod settings;
mod system;
mod webhooks;

pub use database::{OwnedTables, migrate, open_store};
pub use diagnosis::{Finding, diagnose};
pub use doorward::{Builder, Doorward, StartError, administer, reseal, signing_keys, verify_events};
pub use doorward_auth::password::WordList;
pub use doorward_auth::token::SharedSecret;
pub use doorward_auth::{Administration, Auth, MasterKey, RegistrationMode, WebhookEvents, WebhookSecret};
pub use doorward_domain::{
    EndpointName, EventKind, MailTransport, Message, SendError, SessionPolicy, SignedWebhook, UserId, WebhookError,
    WebhookTransport,
};
pub use doorward_http::pages::{Look, PageSettings};
pub use doorward_http::{AccessGuard, Clients, CurrentUser, OptionalUser, OwnedItem, Owner, RequireRole, RoleName};
pub use doorward_mail::{InvalidSender, MemoryTransport, Sender, SmtpOptions, SmtpSecurity};
pub use doorward_screening::{BreachCheck, BreachCheckOptions, OnFailure, PasswordFilter, build_filter};
pub use doorward_webhooks::{InvalidTarget, Target};
pub use key_file::{KeyFileError, master_key_from_file};
pub use mail::{MailDelivery, MailError, MailSettings};
pub use system::{SystemClock, SystemEntropy};
pub use webhooks::{WebhookRoute, WebhookSettings};
