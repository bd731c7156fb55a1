use async_trait::async_trait;

use crate::{KeyAlgorithm, KeyId, SealedKey, SealedSecret, StoreError, Timestamp};

/// What is kept sealed: the keys that sign access tokens, and other secrets of the installation.
///
/// What changes the keys is recorded in the [`RevocationLog`](super::RevocationLog), so that every node loads them
/// again.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait KeyRepo: Send {
    /// Every key, oldest first.
    async fn all(&mut self) -> Result<Vec<SealedKey>, StoreError>;

    /// Adds a key that follows another one of its algorithm, or none, unless that one has been followed; says
    /// whether it was added.
    ///
    /// Of any number of nodes that make a successor at once, exactly one gets `true`.
    async fn insert(&mut self, key: &SealedKey, follows: Option<KeyId>) -> Result<bool, StoreError>;

    /// Has a key of this algorithm that is published, but does not sign yet, sign from this moment on; says whether
    /// there was one.
    async fn sign_from(
        &mut self,
        id: &KeyId,
        algorithm: KeyAlgorithm,
        signs_from: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes a key; says whether there was one.
    async fn remove(&mut self, id: &KeyId, now: Timestamp) -> Result<bool, StoreError>;

    /// Puts a key sealed anew in its own place; says whether there was one.
    async fn reseal(&mut self, id: &KeyId, sealed: &[u8], now: Timestamp) -> Result<bool, StoreError>;

    /// Every other secret.
    async fn secrets(&mut self) -> Result<Vec<SealedSecret>, StoreError>;

    /// Every other secret, which MUST NOT be changed by another unit until this one ends. Units that hold them go one
    /// after the other.
    async fn hold_secrets(&mut self) -> Result<Vec<SealedSecret>, StoreError>;

    /// Adds a secret unless there is one of its name; says whether it was added.
    async fn insert_secret(&mut self, secret: &SealedSecret) -> Result<bool, StoreError>;

    /// Puts a secret sealed anew in its own place; says whether there was one.
    async fn reseal_secret(&mut self, secret: &SealedSecret) -> Result<bool, StoreError>;
}
