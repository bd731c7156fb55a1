use async_trait::async_trait;

use crate::{DisplayName, EmailAddress, Role, StoreError, Timestamp, User, UserId};

/// Users.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait UserRepo: Send {
    /// Adds a user unless the canonical address has an account already; says whether it was added.
    ///
    /// Of any number of callers with one canonical address, exactly one gets `true`.
    async fn insert_new(&mut self, user: &User) -> Result<bool, StoreError>;

    /// The user, or `None`.
    async fn find(&mut self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user, who MUST NOT be changed by another unit until this one ends; or `None`.
    async fn hold(&mut self, id: UserId) -> Result<Option<User>, StoreError>;

    /// Sets or clears the name and returns the user as it is then, or `None` where there is no such user.
    /// Of two callers at once, the later one's name stands.
    async fn rename(
        &mut self,
        id: UserId,
        name: Option<DisplayName>,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError>;

    /// The user with this canonical address, or `None`.
    async fn find_by_address(&mut self, address: &EmailAddress) -> Result<Option<User>, StoreError>;

    /// Notes that the user reads mail at this address, unless that was noted before; says whether the address is
    /// still theirs.
    async fn verify_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError>;

    /// Gives the user another address, verified; says whether it could be given. `false` where there is no such
    /// user or another one has the canonical address.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] when another unit gave the address away at the same moment.
    async fn change_email(&mut self, id: UserId, address: &EmailAddress, now: Timestamp) -> Result<bool, StoreError>;

    /// Disables the account from this moment on, or enables it; says whether that changed anything.
    async fn set_disabled(
        &mut self,
        id: UserId,
        disabled_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Gives the user these roles and no others; says whether there is such a user.
    async fn set_roles(&mut self, id: UserId, roles: &[Role], now: Timestamp) -> Result<bool, StoreError>;

    /// Deletes the account with this canonical address, provided that the address is unverified and the account not
    /// disabled: somebody else has proved that the address is theirs. With `spare_used`, an account stays whose user
    /// has a known device.
    async fn delete_unverified(
        &mut self,
        address: &EmailAddress,
        spare_used: bool,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Deletes the user with everything that is theirs, the security log and the outbox excepted; says whether there
    /// was one. The unit MUST hold the user, so that no session begins meanwhile.
    ///
    /// The sessions are recorded as ended in the [`RevocationLog`](super::RevocationLog).
    async fn delete(&mut self, id: UserId, now: Timestamp) -> Result<bool, StoreError>;
}
