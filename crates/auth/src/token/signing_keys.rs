use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{
    Client, Clock, Entropy, EntropyUnavailable, EventId, EventKind, KeyAlgorithm, KeyId, SealedKey, SealedSecret,
    SecurityEvent, Store, Timestamp,
};
use zeroize::Zeroizing;

use super::generate::private_key;
use super::key_ring::KeyRing;
use super::keys::{KeySet, ScheduledKey, SharedSecret, SigningKey};
use super::{CLOCK_SKEW, TokenError};
use crate::unit::retrying;
use crate::{Fault, Sealer, root_secret};

/// What keys there are and how long each signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// What new tokens are signed with.
    pub algorithm: KeyAlgorithm,
    /// How long a key signs before the next one takes over.
    pub rotate_after: Duration,
    /// How long a token lasts; a key that has ceased to sign is kept for as long.
    pub lifetime: Duration,
}

impl KeyPolicy {
    /// How long a key signs unless the configuration says otherwise: 90 days.
    pub const ROTATE_AFTER: Duration = Duration::from_hours(90 * 24);
}

/// A signing key as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its `kid`.
    pub id: KeyId,
    /// What it is for.
    pub algorithm: KeyAlgorithm,
    /// When it was made, and published.
    pub created_at: Timestamp,
    /// When it begins to sign, or began.
    pub signs_from: Timestamp,
    /// What it does now.
    pub state: KeyState,
}

/// What a signing key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Verifiers can get it; it does not sign yet.
    Published,
    /// It signs new tokens.
    Signing,
    /// It verifies the tokens that it has signed.
    Retiring,
}

impl KeyState {
    /// The stable name, for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retiring => "retiring",
        }
    }
}

/// The signing keys of an installation: made, loaded, rotated and revoked here, on any number of nodes at once.
///
/// They are kept sealed in the database. With HS256 the shared secret signs, and nothing is made or stored.
pub struct SigningKeys {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    sealer: Sealer,
    pub(super) policy: KeyPolicy,
    shared_secret: Option<SharedSecret>,
    ring: Arc<KeyRing>,
}

impl SigningKeys {
    /// How long a key is published before it signs. Verifiers may keep the key set for 5 minutes, and need as long
    /// again when they cannot get the next one at once.
    pub const LEAD: Duration = Duration::from_mins(15);

    /// The keys of an installation, of which none is known before [`provision`](Self::provision) or, for tools that only
    /// look, [`reload`](Self::reload).
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        sealer: Sealer,
        policy: KeyPolicy,
        shared_secret: Option<SharedSecret>,
    ) -> Self {
        let ring = Arc::new(KeyRing::new(KeySet::new(policy.algorithm, Vec::new())));
        Self { store, clock, entropy, sealer, policy, shared_secret, ring }
    }

    /// Loads the keys, making the first one where there is none.
    ///
    /// Of nodes that do so at once on an empty database all end up with one key. Keys of another algorithm, from
    /// before the configuration changed, go on verifying; where there are such keys, the first one of the new
    /// algorithm is published before it signs, like any other.
    ///
    /// # Errors
    ///
    /// [`Fault::Token`] when a stored key does not open with this master key, or no key can be made.
    pub async fn provision(&self) -> Result<(), Fault> {
        let stored = self.load().await?;
        if !self.makes_keys() || stored.iter().any(|key| key.algorithm == self.policy.algorithm) {
            return Ok(self.take(&stored)?);
        }
        let now = self.clock.now();
        let is_first = stored.is_empty();
        self.make(None, if is_first { now } else { now.plus(Self::LEAD) }).await?;
        self.reload().await
    }

    /// The keys as issuer and verifier look at them.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Loads the keys again, for another node has changed them.
    ///
    /// # Errors
    ///
    /// [`Fault`]; the keys stay as they were then.
    pub async fn reload(&self) -> Result<(), Fault> {
        Ok(self.take(&self.load().await?)?)
    }

    /// Puts these keys into the ring. One that is in it need not be opened again; one that cannot be opened is left
    /// out, and all the others count all the same: a key that was removed is out even if another one is a riddle.
    fn take(&self, stored: &[SealedKey]) -> Result<(), TokenError> {
        let current = self.ring.current();
        let (mut keys, mut riddle) = (Vec::new(), None);
        for stored in stored {
            match current.find(&stored.id).map_or_else(|| self.unseal(stored).map(Arc::new), Ok) {
                Ok(key) => keys.push(ScheduledKey { key, signs_from: stored.signs_from }),
                Err(error) => riddle = Some(error),
            }
        }
        if self.policy.algorithm == KeyAlgorithm::Hs256 {
            let secret = self.shared_secret.as_ref().ok_or(TokenError::MissingSecret)?;
            let key = Arc::new(SigningKey::from_shared_secret(secret)?);
            keys.push(ScheduledKey { key, signs_from: Timestamp::from_unix_micros(0) });
        }
        self.ring.replace(KeySet::new(self.policy.algorithm, keys));
        riddle.map_or(Ok(()), Err)
    }

    /// Every key, oldest first.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn list(&self) -> Result<Vec<KeyInfo>, Fault> {
        let now = self.clock.now();
        let stored = self.load().await?;
        let signing = self.ring.current().signing(now).map(|key| key.id().clone());
        let state = |key: &SealedKey| match &signing {
            Some(id) if *id == key.id => KeyState::Signing,
            _ if now < key.signs_from => KeyState::Published,
            _ => KeyState::Retiring,
        };
        let info = |key: &SealedKey| KeyInfo {
            id: key.id.clone(),
            algorithm: key.algorithm,
            created_at: key.created_at,
            signs_from: key.signs_from,
            state: state(key),
        };
        Ok(stored.iter().map(info).collect())
    }

    pub(super) const fn makes_keys(&self) -> bool {
        !matches!(self.policy.algorithm, KeyAlgorithm::Hs256)
    }

    pub(super) async fn load(&self) -> Result<Vec<SealedKey>, Fault> {
        Ok(self.store.read().await?.keys().all().await?)
    }

    /// Makes a key that follows another one, or none, and signs from a moment on; `None` when another node was
    /// faster.
    ///
    /// Nothing is sealed with a master key that is no longer the installation's: then no key would open all of it.
    pub(super) async fn make(&self, follows: Option<&KeyId>, signs_from: Timestamp) -> Result<Option<KeyId>, Fault> {
        let key = self.new_key(signs_from)?;
        let added = retrying(|| async {
            let mut unit = self.store.write().await?;
            self.check_master_key(&unit.keys().hold_secrets().await?)?;
            let added = unit.keys().insert(&key, follows.cloned()).await?;
            if added {
                unit.events().append(&self.event(EventKind::KeyRotate)?).await?;
            }
            unit.commit().await?;
            Ok(added)
        })
        .await?;
        Ok(added.then_some(key.id))
    }

    /// Refuses when these do not open: they have been sealed with another master key since this node started.
    pub(super) fn check_master_key(&self, secrets: &[SealedSecret]) -> Result<(), TokenError> {
        for secret in secrets {
            let not_opened = |source| TokenError::SealedSecret { name: secret.name.clone(), source };
            self.sealer.open(&root_secret::label(&secret.name), &secret.sealed).map_err(not_opened)?;
        }
        Ok(())
    }

    /// An entry for the security log. Keys are nobody's, and no client changes them.
    pub(super) fn event(&self, kind: EventKind) -> Result<SecurityEvent, EntropyUnavailable> {
        Ok(SecurityEvent {
            id: EventId::new(&*self.clock, &*self.entropy)?,
            at: self.clock.now(),
            kind,
            reason: None,
            user_id: None,
            session_id: None,
            client: Client::default(),
            count: 1,
        })
    }

    pub(super) fn new_key(&self, signs_from: Timestamp) -> Result<SealedKey, Fault> {
        let algorithm = self.policy.algorithm;
        let der = private_key(algorithm, &*self.entropy)?;
        let id = SigningKey::from_private_der(algorithm, &der)?.id;
        let sealed = self.sealer.seal(&label(&id, algorithm), &der, &*self.entropy).map_err(TokenError::Seal)?;
        Ok(SealedKey { id, algorithm, sealed, created_at: self.clock.now(), signs_from })
    }

    fn unseal(&self, stored: &SealedKey) -> Result<SigningKey, TokenError> {
        let id = || stored.id.as_str().to_owned();
        let der: Zeroizing<Vec<u8>> = self
            .sealer
            .open(&label(&stored.id, stored.algorithm), &stored.sealed)
            .map_err(|source| TokenError::SealedKey { id: id(), source })?;
        let opened = SigningKey::from_private_der(stored.algorithm, &der)?;
        if opened.id == stored.id {
            Ok(opened)
        } else {
            Err(TokenError::UnusableKey { id: id(), algorithm: stored.algorithm, source: None })
        }
    }

    /// How long a key that has ceased to sign is kept: for as long as a token of its can be valid anywhere.
    pub(super) fn overlap(&self) -> Duration {
        self.policy.lifetime + 2 * CLOCK_SKEW
    }
}

/// What a sealed key is bound to.
pub(crate) fn label(id: &KeyId, algorithm: KeyAlgorithm) -> String {
    format!("signing-key/{algorithm}/{id}")
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("policy", &self.policy).field("ring", &self.ring).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod tests;
