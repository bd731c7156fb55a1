//! What users can do in Doorward: one module per use case, and the ports and adapters for passwords and tokens.
//!
//! [`Auth`] is the one type that an adapter (an HTTP route, a command, a test) talks to. It is cheap to clone
//! and is made from its ports ([`AuthParts`]), so two of them with different databases and keys live in one
//! process without knowing of each other.
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what happens when somebody registers, logs in, refreshes, logs out | `register.rs`, `login.rs`, `refresh.rs`, `logout.rs`, `logout_all.rs` |
//! | whose session a page is shown to | `resume.rs` |
//! | what is done by mail | `verify_email.rs`, `reset_password.rs`, `change_email.rs`; `deliver_mail.rs` |
//! | what keeps machines from registering, and from asking for mails | `proof_of_work.rs` |
//! | who is told of security events, and how | `queue_webhooks.rs`, `deliver_webhooks.rs`, `event_json.rs` |
//! | what an operator does to accounts | `administration.rs` |
//! | how often what may be tried | `throttle.rs`, `flood.rs`, `device_token.rs` |
//! | how the security log is sealed, verified and bounded | `seal_events.rs`, `verify_events.rs`, `log_report.rs`, `retain_events.rs`, `refusals.rs` |
//! | what another service asks about a token | `introspect.rs`, `revocation_feed.rs` |
//! | how an access token becomes a user | `authenticate.rs` |
//! | who may reach what a user owns | [`CurrentUser::scope`], `refused_access.rs` |
//! | which passwords nobody may choose, and who is asked | `new_password.rs`, `password/screen.rs`, `password/word_list.rs` |
//! | how passwords are hashed, and why that does not stall the rest | [`password`] |
//! | what an access token holds and what a verifier takes | [`token`] |
//! | how a refresh token's successor is derived | `refresh_token.rs` |
//!
//! # Purity
//!
//! This crate holds no runtime, no database driver, no socket and no system clock. The hashing pool uses plain
//! threads, and its futures run on any executor.

mod access_tokens;
mod administration;
mod auth;
mod authenticate;
mod change_email;
mod change_password;
mod check_password;
mod clean_up;
mod confirm_email_change;
mod delete_account;
mod deliver_mail;
mod deliver_webhooks;
mod delivery;
mod device_token;
mod event_chain;
mod event_json;
mod fault;
mod flood;
mod grant;
mod introspect;
mod log_report;
mod login;
mod logout;
mod logout_all;
mod mail_administration;
mod mail_queue;
mod mailed_token;
mod new_password;
mod one_time_tokens;
mod own_events;
mod own_sessions;
pub mod password;
mod placeholder;
mod profile;
mod proof_of_work;
mod queue_webhooks;
mod reauthenticate;
mod refresh;
mod refresh_token;
mod refusals;
mod refused_access;
mod register;
mod replace_email;
mod reset_password;
mod resume;
mod retain_events;
mod revocation_feed;
mod revocations;
mod root_secret;
mod seal;
mod seal_events;
mod seen_sessions;
#[cfg(test)]
mod testing;
mod throttle;
pub mod token;
mod undo_email_change;
mod unit;
mod unusual_login;
mod verify_email;
mod verify_events;
mod watch_revocations;
mod webhook_endpoint;
mod webhook_secret;

pub use access_tokens::AccessTokens;
pub use administration::{Administration, AdministrationError};
pub use auth::{Auth, AuthParts, AuthSettings};
pub use authenticate::{AuthenticationError, CurrentUser, Unauthenticated};
pub use change_email::ChangeEmail;
pub use change_password::{ChangePassword, ChangePasswordError};
pub use clean_up::{CLEAN_UP_BATCH, CleanUp};
pub use confirm_email_change::ConfirmEmailChange;
pub use delete_account::DeleteAccount;
pub use deliver_mail::{FailedMail, MailBatch, MailReport};
pub use deliver_webhooks::{WebhookBatch, WebhookReport};
pub use delivery::{DeliveryReport, FailedDelivery};
pub use device_token::{DeviceToken, DeviceTokens};
pub use event_chain::EventChain;
pub use event_json::event_json;
pub use fault::Fault;
pub use grant::SessionGrant;
pub use introspect::Introspection;
pub use log_report::{KnownPlace, LogFinding, LogReport};
pub use login::{Login, LoginError};
pub use logout::{Logout, LogoutError};
pub use logout_all::LogoutAllError;
pub use mailed_token::OneTimeTokenError;
pub use one_time_tokens::OneTimeTokens;
pub use own_events::{EventPage, ListEvents};
pub use own_sessions::EndSessionError;
pub use profile::{ProfileError, Rename};
pub use proof_of_work::{
    Challenge, Difficulty, InvalidDifficulty, Proof, ProofError, ProofOfWork, ProofPurpose, ProofRules,
};
pub use reauthenticate::ReauthenticationError;
pub use refresh::{RefreshError, RotateRefresh};
pub use refresh_token::{RefreshToken, RefreshTokens};
pub use refusals::{REFUSAL_WINDOW, REFUSALS_IN_FULL};
pub use register::{Register, RegisterError, Registration, RegistrationMode};
pub use reset_password::{RequestPasswordReset, ResetPassword, ResetPasswordError};
pub use resume::{Resume, ResumeError, Resumed};
pub use revocations::{Feed, MemoryRevocations, Revocations, Standing};
pub use root_secret::RootSecret;
pub use seal::{InvalidMasterKey, MasterKey, SealError, Sealer};
pub use seal_events::SEAL_BATCH;
pub use throttle::{ThrottleKeys, ThrottlePolicy, TooOften};
pub use undo_email_change::UndoEmailChange;
pub use unit::retrying;
pub use verify_email::{ResendVerification, VerifyEmail};
pub use verify_events::verify_events;
pub use watch_revocations::Watched;
pub use webhook_endpoint::{WebhookEndpoint, WebhookEvents};
pub use webhook_secret::{InvalidWebhookSecret, WebhookSecret};
