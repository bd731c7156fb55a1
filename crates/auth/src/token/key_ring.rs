use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::keys::KeySet;

/// The keys of an installation as they are now. Issuer and verifier look here each time, so keys change without a
/// restart.
pub struct KeyRing {
    current: RwLock<Arc<KeySet>>,
    generation: AtomicU64,
}

impl KeyRing {
    /// A ring with these keys.
    #[must_use]
    pub fn new(keys: impl Into<Arc<KeySet>>) -> Self {
        Self { current: RwLock::new(keys.into()), generation: AtomicU64::new(0) }
    }

    /// The keys as they are now.
    #[must_use]
    pub fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other keys in their place. The generation changes where that lets another token pass or none that did.
    pub fn replace(&self, keys: KeySet) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let same = current.has_same_keys(&keys);
        *current = Arc::new(keys);
        if !same {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How often the keys have changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("current", &self.current()).finish_non_exhaustive()
    }
}
