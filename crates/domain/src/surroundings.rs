use thiserror::Error;

use crate::Timestamp;

/// The port to time. Nothing in Doorward's rules asks the system for it.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Clock: Send + Sync {
    /// The moment it is now. May go backwards, as system clocks do.
    fn now(&self) -> Timestamp;
}

/// The port to randomness.
///
/// An adapter MUST be a cryptographically secure source: session ids, tokens, salts and keys come from it.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    ///
    /// # Errors
    ///
    /// [`EntropyUnavailable`] when the source gave nothing; `bytes` must not be used then.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable>;
}

/// The source of randomness gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the source of randomness is unavailable")]
pub struct EntropyUnavailable;
