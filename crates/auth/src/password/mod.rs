//! Passwords: the port to a hasher, the argon2id adapter behind it, and the lists of passwords nobody may choose.
//!
//! Hashing is slow on purpose, so it decides how the whole service behaves under load. Here it runs on a bounded
//! [`pool`] of threads of its own: other requests do not wait behind it, memory is bounded, and what exceeds the
//! queue is refused at once instead of being served too late.

mod argon2id;
mod legacy;
pub mod pool;
mod screen;
mod word_list;

use async_trait::async_trait;
use doorward_domain::{EntropyUnavailable, Password, PasswordHashString};
use thiserror::Error;

pub use argon2id::{Argon2Hasher, Argon2Params, InvalidArgon2Params};
pub use screen::{CommonPasswords, PasswordScreen, PasswordScreens, ScreenUnavailable};
pub use word_list::WordList;

#[cfg(any(test, feature = "mocks"))]
pub use screen::MockPasswordScreen;

/// The port to password hashing.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[cfg_attr(any(test, feature = "mocks"), allow(clippy::ref_option_ref, reason = "in what mockall generates"))]
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Hashes a new password with the current parameters.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once when too many wait already.
    async fn hash(&self, password: &Password) -> Result<PasswordHashString, HashingError>;

    /// Checks a password against a hash.
    ///
    /// Without a hash (there is no such account) it MUST take as long as with one of the current parameters,
    /// and find the password wrong.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once when too many wait already; [`HashingError::Unreadable`] when the
    /// hash is of no known format.
    async fn verify<'a>(
        &self,
        password: &Password,
        hash: Option<&'a PasswordHashString>,
    ) -> Result<Verification, HashingError>;
}

/// What checking a password found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// It is another password.
    Wrong,
    /// It is the password.
    Right {
        /// The same password hashed with the current parameters, where the stored hash has others.
        upgraded: Option<PasswordHashString>,
    },
}

/// Why a password was not hashed or checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashingError {
    /// The queue is full.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded,
    /// The stored hash is of no format that Doorward knows, or asks for more work than Doorward would do.
    #[error("the stored password hash cannot be read")]
    Unreadable,
    /// The hasher failed or is shutting down.
    #[error("the password hasher failed")]
    Failed,
    /// There was no randomness for a salt.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}
