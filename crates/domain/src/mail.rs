use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use thiserror::Error;

use crate::names::names;
use crate::{Client, EmailAddress, Locale, MailId, OneTimePurpose, Timestamp, UserId};

names! {
    /// What a mail is about.
    MailKind {
        /// Asks the owner of an address to prove that they read it.
        VerifyEmail = "verify_email",
        /// Tells the owner of an account that somebody tried to register their address again.
        AlreadyRegistered = "already_registered",
        /// Lets the owner of an account set a new password.
        ResetPassword = "reset_password",
        /// Asks the owner of a new address to prove that they read it.
        ChangeEmail = "change_email",
        /// Tells the old address that another one was asked for.
        EmailChangeRequested = "email_change_requested",
        /// Tells the old address that another one has taken its place, and lets its owner undo that.
        EmailChanged = "email_changed",
        /// Tells that the password was changed.
        PasswordChanged = "password_changed",
        /// Tells of a log-in from a device that was not seen before.
        NewDevice = "new_device",
        /// Tells of a log-in after many wrong passwords.
        LoginAfterFailures = "login_after_failures",
        /// Tells that a copy of an old refresh token was used.
        RefreshReplayed = "refresh_replayed",
    }
}

impl MailKind {
    /// The purpose of the token in the mail's link; `None` for a mail without one.
    #[must_use]
    pub const fn token_purpose(self) -> Option<OneTimePurpose> {
        match self {
            Self::VerifyEmail => Some(OneTimePurpose::VerifyEmail),
            Self::ResetPassword => Some(OneTimePurpose::ResetPassword),
            Self::ChangeEmail => Some(OneTimePurpose::ChangeEmail),
            Self::EmailChanged => Some(OneTimePurpose::UndoEmailChange),
            Self::AlreadyRegistered
            | Self::EmailChangeRequested
            | Self::PasswordChanged
            | Self::NewDevice
            | Self::LoginAfterFailures
            | Self::RefreshReplayed => None,
        }
    }
}

/// A mail that waits to be delivered. Holds what the message needs and no token: the token of a link is derived
/// from the mail's id when the message is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Names the mail, and with it the message through all its retries.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// Where it goes.
    pub to: EmailAddress,
    /// Whose account it is about, where that was known when it was written.
    pub user_id: Option<UserId>,
    /// The other address of a change of addresses.
    pub other_address: Option<EmailAddress>,
    /// The language of the request, for a user who has none of their own.
    pub locale: Option<Locale>,
    /// Where the request came from that caused it.
    pub client: Client,
    /// When that was.
    pub created_at: Timestamp,
    /// How often it was tried to deliver it.
    pub attempts: u32,
}

/// A mail of the outbox as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMail {
    /// The mail.
    pub mail: Mail,
    /// When it is to be tried next; `None` for a dead letter, which is not tried again by itself.
    pub due_at: Option<Timestamp>,
    /// Until when somebody is at work on it.
    pub locked_until: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// What a message says, before it is put into words.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The mail that it is for.
    pub mail: Mail,
    /// The language that its reader wants most.
    pub locale: Option<Locale>,
    /// Where its button leads, and for how long that works. Holds a usable token.
    pub link: Option<(SecretString, Duration)>,
}

/// A message, ready to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The `Message-ID` header with its angle brackets; the same for every attempt.
    pub id: String,
    /// The only recipient.
    pub to: EmailAddress,
    /// The subject, one line.
    pub subject: String,
    /// The language that it is in.
    pub locale: Locale,
    /// The plain text part. May hold a usable token.
    pub text: SecretString,
    /// The HTML part. May hold a usable token.
    pub html: SecretString,
}

/// The port that puts letters into words.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait MailComposer: Send + Sync {
    /// Writes the message in the letter's language, or in the nearest one there is.
    ///
    /// # Errors
    ///
    /// [`ComposeError`] when a template of the operator's own does not work with this letter.
    fn compose(&self, letter: &Letter) -> Result<Message, ComposeError>;
}

/// A message could not be written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the template {template} does not work: {problem}")]
pub struct ComposeError {
    /// The template, by its file name.
    pub template: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The port that sends messages.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait MailTransport: Send + Sync {
    /// Hands one message over to whoever delivers it, within [`SEND_LIMIT`].
    ///
    /// # Errors
    ///
    /// [`SendError`]. Whether the message was taken is not known then.
    async fn send(&self, message: &Message) -> Result<(), SendError>;
}

/// How long sending one message may take. Longer than this, and the server counts as unreachable.
pub const SEND_LIMIT: Duration = Duration::from_secs(20);

/// Why a message was not sent. The text is for the operator and never holds a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The server will never take this message.
    #[error("refused for good: {0}")]
    Permanent(String),
    /// The server does not take this message now.
    #[error("refused for now: {0}")]
    Temporary(String),
    /// The server cannot be used, whatever the message.
    #[error("the mail server cannot be used: {0}")]
    Unreachable(String),
    /// There is no connection to the server, or no safe one: nobody's message gets anywhere, and nothing that a message
    /// holds can be the reason.
    #[error("the mail server cannot be connected to: {0}")]
    NoConnection(String),
}
