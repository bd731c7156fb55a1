use std::fmt;

use crate::{CredentialVersion, UserId};

/// What proves that a user knows their password.
#[derive(Clone, Debug)]
pub struct PasswordCredential {
    /// Whose password it is.
    pub user_id: UserId,
    /// Which setting of the password this is.
    pub version: CredentialVersion,
    /// The password, hashed.
    pub hash: PasswordHashString,
}

/// A hashed password in PHC string format, or in bcrypt's `$2b$` form for an imported user.
///
/// Not usable as a password, but enough to guess against, so it stays out of debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHashString(String);

impl PasswordHashString {
    /// Takes the text; whether it can be read is the hasher's to say.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for a hasher or a database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHashString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHashString(..)")
    }
}
