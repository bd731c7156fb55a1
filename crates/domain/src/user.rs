use crate::{DisplayName, EmailAddress, Locale, Timestamp, UserId};

/// A person with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Names the user for good.
    pub id: UserId,
    /// Where mail goes, as the user spelled it.
    pub email: EmailAddress,
    /// When the user proved to read mail at that address; `None` until then.
    pub email_verified_at: Option<Timestamp>,
    /// What the user wishes to be called.
    pub name: Option<DisplayName>,
    /// The language that mail to the user is in.
    pub locale: Option<Locale>,
    /// What the user may do beyond reaching their own data.
    pub roles: Vec<String>,
    /// When the account was disabled; `None` while it is not.
    pub disabled_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When the account was last changed.
    pub updated_at: Timestamp,
}

impl User {
    /// Whether the user has proved to read mail at the address.
    #[must_use]
    pub const fn email_verified(&self) -> bool {
        self.email_verified_at.is_some()
    }

    /// Whether the account is disabled: it cannot log in and its sessions do not go on.
    #[must_use]
    pub const fn disabled(&self) -> bool {
        self.disabled_at.is_some()
    }
}
