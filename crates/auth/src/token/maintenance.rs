//! What is done to signing keys in the course of time, by a clock or by an operator.

use std::time::Duration;

use doorward_domain::{EventKind, KeyAlgorithm, KeyId, SealedKey, Timestamp};

use super::TokenError;
use super::signing_keys::SigningKeys;
use crate::Fault;
use crate::unit::retrying;

/// How much longer than keys of its own a node keeps those of another algorithm: other nodes may still be told to sign
/// with it.
const OTHER_ALGORITHM: Duration = Duration::from_hours(24);

/// What one step of maintenance did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// The key that was published, to sign before long.
    pub published: Option<KeyId>,
    /// The keys that were removed, since nothing that they signed can be valid any more.
    pub retired: Vec<KeyId>,
}

impl SigningKeys {
    /// Publishes the next key when the time has come, removes those that are over, and loads the keys again. One
    /// step, to be repeated every minute or so, on many nodes at once.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub async fn maintain(&self) -> Result<Maintained, Fault> {
        let mut done = Maintained::default();
        if self.makes_keys() {
            let now = self.clock.now();
            let stored = self.load().await?;
            if let Some(newest) = self.newest(&stored) {
                let due = newest.signs_from.plus(self.policy.rotate_after);
                if due <= now.plus(Self::LEAD) {
                    done.published = self.make(Some(&newest.id), now.plus(Self::LEAD)).await?;
                }
            }
            for over in self.over(&stored, now) {
                if self.remove(&over, now).await? {
                    done.retired.push(over);
                }
            }
        }
        self.reload().await?;
        Ok(done)
    }

    /// Has a new key take over, after it has been published for [`Self::LEAD`], or at once: then services that keep
    /// the key set refuse new tokens until they get it again. Names the key; `None` with HS256.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub async fn rotate(&self, at_once: bool) -> Result<Option<KeyId>, Fault> {
        if !self.makes_keys() {
            return Ok(None);
        }
        let now = self.clock.now();
        let signs_from = if at_once { now } else { now.plus(Self::LEAD) };
        let stored = self.load().await?;
        let newest = self.newest(&stored).map(|key| key.id.clone());
        let made = self.make(newest.as_ref(), signs_from).await?;
        self.reload().await?;
        if let Some(made) = made {
            return Ok(Some(made));
        }
        // Another node was faster; its key is the next one.
        let stored = self.load().await?;
        Ok(self.newest(&stored).map(|key| key.id.clone()))
    }

    /// Removes a key, whose tokens nobody takes any more once every node has heard of it. When no other key can sign
    /// at this moment, one does from now on. Names the key that signs; `None` when there was no such key.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub async fn revoke(&self, id: &KeyId) -> Result<Option<KeyId>, Fault> {
        let now = self.clock.now();
        let stored = self.load().await?;
        if !stored.iter().any(|key| key.id == *id) {
            return Ok(None);
        }
        let left: Vec<SealedKey> = stored.iter().filter(|key| key.id != *id).cloned().collect();
        let own = |key: &&SealedKey| key.algorithm == self.policy.algorithm;
        let signs = left.iter().filter(own).any(|key| key.signs_from <= now);
        let next = left.iter().filter(own).min_by_key(|key| key.signs_from);
        let newest = self.newest(&stored).map(|key| key.id.clone());
        let replacement = if signs || next.is_some() || !self.makes_keys() { None } else { Some(self.new_key(now)?) };
        let removed = retrying(|| async {
            let mut unit = self.store.write().await?;
            if !signs {
                // What is published already takes over early: verifiers have had some time to get it.
                if let Some(next) = next {
                    unit.keys().sign_from(&next.id, next.algorithm, now, now).await?;
                }
                if let Some(key) = &replacement {
                    unit.keys().insert(key, newest.clone()).await?;
                }
            }
            let removed = unit.keys().remove(id, now).await?;
            unit.events().append(&self.event(EventKind::KeyRevoke)?).await?;
            unit.commit().await?;
            Ok(removed)
        })
        .await?;
        self.reload().await?;
        if !removed {
            return Ok(None);
        }
        let signing = self.ring().current().signing(now).map(|key| key.id().clone());
        Ok(Some(signing.ok_or(TokenError::MissingKey)?))
    }

    async fn remove(&self, id: &KeyId, now: Timestamp) -> Result<bool, Fault> {
        retrying(|| async {
            let mut unit = self.store.write().await?;
            let removed = unit.keys().remove(id, now).await?;
            unit.commit().await?;
            Ok(removed)
        })
        .await
    }

    /// The key of the algorithm that signs last.
    fn newest<'a>(&self, stored: &'a [SealedKey]) -> Option<&'a SealedKey> {
        stored.iter().filter(|key| key.algorithm == self.policy.algorithm).max_by_key(|key| key.signs_from)
    }

    /// The keys that nothing valid is signed with.
    fn over(&self, stored: &[SealedKey], now: Timestamp) -> Vec<KeyId> {
        let own: KeyAlgorithm = self.policy.algorithm;
        let is_over = |key: &&SealedKey| {
            let kept = if key.algorithm == own { self.overlap() } else { self.overlap() + OTHER_ALGORITHM };
            stored
                .iter()
                .filter(|other| other.algorithm == own && other.signs_from > key.signs_from)
                .any(|other| other.signs_from.plus(kept) <= now)
        };
        stored.iter().filter(is_over).map(|key| key.id.clone()).collect()
    }
}
