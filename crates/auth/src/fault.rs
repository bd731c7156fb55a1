use doorward_domain::{EntropyUnavailable, StoreError};
use thiserror::Error;

use crate::TooOften;
use crate::password::{HashingError, ScreenUnavailable};
use crate::token::TokenError;

/// What can stop any use case, whatever it was asked for.
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
    /// It was done too often, for the account or by the client.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// The source of randomness gave nothing.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}
