use async_trait::async_trait;

use crate::{CredentialVersion, EmailAddress, PasswordCredential, PasswordHashString, StoreError, User, UserId};

/// Passwords.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait CredentialRepo: Send {
    /// Adds a user's password.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when the user has one.
    async fn insert(&mut self, credential: &PasswordCredential) -> Result<(), StoreError>;

    /// The account with this canonical address and its password, or `None`.
    ///
    /// MUST be one statement, whether or not there is such an account, so that the time it takes tells as
    /// little as possible.
    async fn find_by_address(
        &mut self,
        address: &EmailAddress,
    ) -> Result<Option<(User, PasswordCredential)>, StoreError>;

    /// The user, provided that their password is still this setting of it; else `None`.
    ///
    /// Both MUST stay as they are until the unit ends: a unit that changes the password or disables the user
    /// waits for this one, and this one for it.
    async fn hold(&mut self, user_id: UserId, version: CredentialVersion) -> Result<Option<User>, StoreError>;

    /// Replaces the hash of an unchanged password by another hash of the same password; says whether it was
    /// still there to be replaced. Of two callers at once with the same `old`, one gets `true`.
    async fn upgrade_hash(
        &mut self,
        user_id: UserId,
        old: &PasswordHashString,
        new: &PasswordHashString,
    ) -> Result<bool, StoreError>;

    /// The user's password, or `None`.
    async fn find(&mut self, user_id: UserId) -> Result<Option<PasswordCredential>, StoreError>;

    /// Sets a user's password, whether or not they have one, and forgets their failed log-ins.
    async fn set(&mut self, credential: &PasswordCredential) -> Result<(), StoreError>;

    /// Takes the password of the account with this canonical address away, provided that the address is unverified,
    /// the account not disabled, and no device of its user known; says whether it was. One statement, whatever there
    /// is.
    async fn remove_unverified(&mut self, address: &EmailAddress) -> Result<bool, StoreError>;

    /// Takes the user's password away, so that no password is the right one.
    async fn remove(&mut self, user_id: UserId) -> Result<(), StoreError>;

    /// Counts a wrong password. One statement, whether or not there is such a user.
    async fn note_failure(&mut self, user_id: UserId) -> Result<(), StoreError>;

    /// How many wrong passwords were counted since this was last asked.
    async fn take_failures(&mut self, user_id: UserId) -> Result<u32, StoreError>;
}
