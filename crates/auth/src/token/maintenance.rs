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
            let signs_last = self.own(&stored).map(|key| key.signs_from).max();
            if signs_last.is_some_and(|from| from.plus(self.policy.rotate_after) <= now.plus(Self::LEAD)) {
                let last = self.made_last(&stored);
                done.published = self.make(last.as_ref(), now.plus(Self::LEAD)).await?;
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
        let made = self.make(self.made_last(&self.load().await?).as_ref(), signs_from).await?;
        let next = if made.is_some() {
            made
        } else {
            // Another node was faster; its key is the next one, and signs as early as was asked for.
            let next = self.made_last(&self.load().await?);
            if let (true, Some(next)) = (at_once, &next) {
                self.sign_now(next, now).await?;
            }
            next
        };
        self.reload().await?;
        Ok(next)
    }

    /// Removes a key, whose tokens nobody takes any more once every node has heard of it. When it is the one that signs,
    /// the next one that is published takes over, or a new one: never one that had been replaced. Names the key that
    /// signs then; `None` when there was no such key.
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
        let signed = self.own(&stored).filter(|key| key.signs_from <= now).max_by_key(|key| key.signs_from);
        // Where none of the algorithm signs yet, one of another algorithm does.
        let ends_signing = self.makes_keys() && signed.is_none_or(|key| key.id == *id);
        let next = self.own(&stored).filter(|key| key.signs_from > now && key.id != *id);
        let next = next.min_by_key(|key| key.signs_from).map(|key| key.id.clone());
        let last = self.made_last(&stored);
        let replacement = if ends_signing && next.is_none() { Some(self.new_key(now)?) } else { None };
        let removed = retrying(|| async {
            let mut unit = self.store.write().await?;
            if ends_signing {
                self.check_master_key(&unit.keys().hold_secrets().await?)?;
                if let Some(next) = &next {
                    unit.keys().sign_from(next, self.policy.algorithm, now, now).await?;
                }
                if let Some(key) = &replacement {
                    unit.keys().insert(key, last.clone()).await?;
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

    async fn sign_now(&self, id: &KeyId, now: Timestamp) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store.write().await?;
            unit.keys().sign_from(id, self.policy.algorithm, now, now).await?;
            Ok(unit.commit().await?)
        })
        .await
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

    fn own<'a>(&self, stored: &'a [SealedKey]) -> impl Iterator<Item = &'a SealedKey> {
        let algorithm = self.policy.algorithm;
        stored.iter().filter(move |key| key.algorithm == algorithm)
    }

    /// The end of the chain: the key that the next one follows.
    fn made_last(&self, stored: &[SealedKey]) -> Option<KeyId> {
        self.own(stored).max_by_key(|key| key.created_at).map(|key| key.id.clone())
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
