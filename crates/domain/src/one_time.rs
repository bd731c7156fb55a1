use std::fmt;
use std::time::Duration;

use crate::names::names;
use crate::{EmailAddress, MailId, Timestamp, UserId};

names! {
    /// What a mailed one-time token is good for, and nothing else.
    OneTimePurpose {
        /// Proves that its owner reads mail at the address.
        VerifyEmail = "verify_email",
        /// Sets a new password.
        ResetPassword = "reset_password",
        /// Makes the address that it was sent to the account's own.
        ChangeEmail = "change_email",
        /// Gives an account the address back that it was sent to.
        UndoEmailChange = "undo_email_change",
    }
}

impl OneTimePurpose {
    /// The path of the page that the link of the mail opens, below the public URL.
    #[must_use]
    pub const fn page(self) -> &'static str {
        match self {
            Self::VerifyEmail => "/verify-email",
            Self::ResetPassword => "/reset-password",
            Self::ChangeEmail => "/change-email",
            Self::UndoEmailChange => "/undo-email-change",
        }
    }

    /// How long a token lives, counted from when it was last sent: what cannot have been read cannot expire.
    ///
    /// 30 minutes for a password (ASVS 6.4.1), 24 hours for an address, 7 days for undoing.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::ResetPassword => Duration::from_mins(30),
            Self::VerifyEmail | Self::ChangeEmail => Duration::from_hours(24),
            Self::UndoEmailChange => Duration::from_hours(7 * 24),
        }
    }
}

/// The SHA-256 of a one-time token, which is a secret of 256 bits and so needs no salt.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OneTimeTokenHash([u8; 32]);

impl OneTimeTokenHash {
    /// The digest that was computed or read.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, for a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for OneTimeTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneTimeTokenHash(..)")
    }
}

/// What is known of an outstanding one-time token. A user has one of each purpose at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    /// The mail that carries it; the later of two takes the place of the earlier.
    pub mail_id: MailId,
    /// Whose it is.
    pub user_id: UserId,
    /// What it is good for.
    pub purpose: OneTimePurpose,
    /// Its hash.
    pub hash: OneTimeTokenHash,
    /// The address that it was sent to.
    pub address: EmailAddress,
    /// From when it is refused.
    pub expires_at: Timestamp,
}
