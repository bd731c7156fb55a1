//! What is true in Doorward: entities, value types, rules, and the ports to storage, time and randomness.
//!
//! This crate is pure. It holds no runtime, no database driver, no socket and no system clock; whatever
//! varies comes in through a port ([`Clock`], [`Entropy`], [`Store`]). The use cases that put these rules
//! to work are in `doorward-auth`; `doorward-persistence` implements [`Store`] on SQLite and PostgreSQL.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what an address, a password or a name may be | [`EmailAddress`], [`Password`], [`DisplayName`] |
//! | who a user is and what proves it | [`User`], [`PasswordCredential`] |
//! | how long a session lives, when a refresh token is a replay | [`Session`], [`judge_reuse`] |
//! | who may reach data that somebody owns | [`OwnerScope`] |
//! | what is written to the security log | [`SecurityEvent`], [`EventRecord`] |
//! | how often something may be tried | [`Rate`], [`GuessPolicy`], [`ClientNetwork`] |
//! | what is mailed, and what a mailed token is good for | [`Mail`], [`OneTimeToken`] |
//! | who is told of security events | [`WebhookDelivery`], [`WebhookTransport`] |
//! | how to put Doorward on another database | [`store`] |

mod client;
mod credential;
mod email;
mod event;
mod event_record;
mod id;
mod key;
mod locale;
mod mail;
mod name;
mod names;
mod network;
mod one_time;
mod owner;
mod password;
mod proof;
mod rate;
mod refresh;
mod revocation;
mod role;
mod session;
pub mod store;
mod surroundings;
mod timestamp;
mod user;
mod webhook;

pub use client::{Client, RequestId, UserAgent};
pub use credential::{PasswordCredential, PasswordHashString};
pub use email::{EmailAddress, InvalidEmail};
pub use event::{EventKind, EventReason, SecurityEvent};
pub use event_record::{EventRecord, UnknownRecord};
pub use id::{CredentialVersion, EventId, MailId, SessionId, UserId, WebhookId, new_v7};
pub use key::{KeyAlgorithm, KeyId, SealedKey, SealedSecret, UnknownAlgorithm};
pub use locale::{InvalidLocale, Locale};
pub use mail::{
    ComposeError, Letter, Mail, MailComposer, MailKind, MailTransport, Message, QueuedMail, SEND_LIMIT, SendError,
};
#[cfg(feature = "mocks")]
pub use mail::{MockMailComposer, MockMailTransport};
pub use name::{DisplayName, InvalidName};
pub use network::ClientNetwork;
pub use one_time::{OneTimePurpose, OneTimeToken, OneTimeTokenHash};
pub use owner::OwnerScope;
pub use password::{Password, PasswordPolicy, PasswordRefused};
pub use proof::ProofId;
pub use rate::{GuessPolicy, Rate};
pub use refresh::{RefreshTokenHash, RefreshTokenRecord, Reuse, judge_reuse};
pub use revocation::{RecordedRevocation, Revocation};
pub use role::{InvalidRole, Role};
pub use session::{EndReason, Session, SessionPolicy};
pub use store::{Store, StoreError};
pub use surroundings::{Clock, Entropy, EntropyUnavailable};
#[cfg(feature = "mocks")]
pub use surroundings::{MockClock, MockEntropy};
pub use timestamp::Timestamp;
pub use user::User;
#[cfg(feature = "mocks")]
pub use webhook::MockWebhookTransport;
pub use webhook::{
    EndpointName, InvalidEndpointName, QueuedWebhook, SignedWebhook, WEBHOOK_LIMIT, WebhookDelivery, WebhookError,
    WebhookTransport,
};
