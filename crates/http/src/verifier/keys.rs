use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use doorward_auth::token::{KeyRing, KeySet};
use doorward_domain::{Clock, Timestamp};
use reqwest::Client;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use url::Url;

use super::fetch::{self, FetchError, PATIENCE};
use crate::problem::chain;

/// Far above any key set, which holds a few keys.
const LONGEST_KEY_SET: usize = 256 * 1024;
/// How soon a failed fetch is repeated while there is no key to judge by.
const RETRY: Duration = Duration::from_secs(1);

/// How old a key set may become.
///
/// # Defaults
///
/// Refreshed after 5 minutes, which is how long the issuer lets it be cached and a third of the time that a new key
/// is published before it signs; believed for 24 hours; 30 seconds between fetches that tokens of unknown keys cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyLimits {
    pub(super) refresh_after: Duration,
    pub(super) max_age: Duration,
    pub(super) cool_down: Duration,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self {
            refresh_after: Duration::from_mins(5),
            max_age: Duration::from_hours(24),
            cool_down: Duration::from_secs(30),
        }
    }
}

/// The issuer's public keys: fetched when first needed, refreshed while they serve, believed for a while when the
/// issuer is down.
pub(super) struct IssuerKeys {
    client: Client,
    url: Url,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    limits: KeyLimits,
    /// When the set in the ring was given out last; none before the first.
    fetched_at: RwLock<Option<Timestamp>>,
    /// When the last fetch ended, well or not.
    attempted_at: RwLock<Option<Timestamp>>,
    /// Held through a fetch: there is one at a time, and whoever needs its outcome waits here.
    attempts: Arc<Mutex<Attempts>>,
}

/// What there has been of fetches.
#[derive(Default)]
struct Attempts {
    /// The last good answer.
    text: String,
}

/// There is no key set that could be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoKeys;

impl IssuerKeys {
    /// The keys at a URL, which go into the ring. Fetches nothing yet.
    pub(super) fn new(client: Client, url: Url, ring: Arc<KeyRing>, clock: Arc<dyn Clock>, limits: KeyLimits) -> Self {
        Self {
            client,
            url,
            ring,
            clock,
            limits,
            fetched_at: RwLock::default(),
            attempted_at: RwLock::default(),
            attempts: Arc::default(),
        }
    }

    /// The set to judge by, young enough to be believed. One that is due is refreshed behind the caller's back; one
    /// that nobody has tried to refresh for as long again, since nobody came, is refreshed first.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, NoKeys> {
        if let Some(age) = self.believable_age() {
            if age >= 2 * self.limits.refresh_after && self.may_fetch(self.limits.refresh_after) {
                let attempts = Arc::clone(&self.attempts).lock_owned().await;
                if self.may_fetch(self.limits.refresh_after) {
                    finished(self.fetch(attempts)).await;
                }
            } else if age >= self.limits.refresh_after {
                self.refresh_in_background();
            }
            return Ok(self.ring.current());
        }
        let attempts = Arc::clone(&self.attempts).lock_owned().await;
        // Somebody else's fetch may have brought it meanwhile.
        if self.believable_age().is_none() && self.may_fetch(RETRY.min(self.limits.cool_down)) {
            finished(self.fetch(attempts)).await;
        }
        self.believable_age().map(|_| self.ring.current()).ok_or(NoKeys)
    }

    /// Whether the issuer has a key of this name by now. Asks it once in a cool-down, whatever is presented here.
    pub(super) async fn learn(self: &Arc<Self>, key_id: &str) -> bool {
        let attempts = Arc::clone(&self.attempts).lock_owned().await;
        if !self.ring.current().knows(key_id) && self.may_fetch(self.limits.cool_down) {
            finished(self.fetch(attempts)).await;
        }
        self.ring.current().knows(key_id)
    }

    fn refresh_in_background(self: &Arc<Self>) {
        let Ok(attempts) = Arc::clone(&self.attempts).try_lock_owned() else { return };
        if self.may_fetch(self.limits.cool_down) {
            drop(self.fetch(attempts));
        }
    }

    fn believable_age(&self) -> Option<Duration> {
        let fetched_at = *self.fetched_at.read().unwrap_or_else(PoisonError::into_inner);
        let age = self.clock.now().since(fetched_at?);
        (age < self.limits.max_age).then_some(age)
    }

    fn may_fetch(&self, pause: Duration) -> bool {
        let now = self.clock.now();
        let last = *self.attempted_at.read().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not put the next fetch off until it has caught up.
        last.is_none_or(|last| now < last || now.since(last) >= pause)
    }

    /// Fetches in a task of its own: a client that hangs up must not end the fetch that others wait for, nor have
    /// the next request begin another one.
    fn fetch(self: &Arc<Self>, mut attempts: OwnedMutexGuard<Attempts>) -> JoinHandle<()> {
        let keys = Arc::clone(self);
        tokio::spawn(async move {
            let outcome = keys.fetch_once(&mut attempts).await;
            let now = keys.clock.now();
            // From the end and not from the start, or those who waited for a slow failure would repeat it in turn.
            *keys.attempted_at.write().unwrap_or_else(PoisonError::into_inner) = Some(now);
            match outcome {
                Ok(()) => *keys.fetched_at.write().unwrap_or_else(PoisonError::into_inner) = Some(now),
                Err(error) => tracing::warn!(error = %chain(&error), "the issuer's keys could not be fetched"),
            }
        })
    }

    async fn fetch_once(&self, attempts: &mut Attempts) -> Result<(), FetchError> {
        let text = fetch::text(self.client.get(self.url.clone()), LONGEST_KEY_SET, PATIENCE).await?;
        // A ring that is given the same keys again forgets which tokens it has verified, for nothing.
        if text != attempts.text {
            self.ring.replace(KeySet::from_jwks(&text)?);
            attempts.text = text;
        }
        Ok(())
    }
}

async fn finished(fetch: JoinHandle<()>) {
    if let Err(error) = fetch.await {
        tracing::error!(error = %chain(&error), "fetching the issuer's keys was cut short");
    }
}

#[cfg(test)]
mod tests;
