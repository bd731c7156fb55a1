use doorward_domain::{EntropyUnavailable, StoreError};
use thiserror::Error;

use crate::password::{HashingError, ScreenUnavailable};
use crate::token::TokenError;

/// What can go wrong in any use case without the caller being at fault.
#[derive(Debug, Error)]
pub enum Fault {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password could not be hashed, for one because too many wait already.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// Whether the password may be chosen could not be told.
    #[error(transparent)]
    Screen(#[from] ScreenUnavailable),
    /// The access token could not be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The source of randomness gave nothing.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}
