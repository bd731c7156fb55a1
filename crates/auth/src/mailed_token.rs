use doorward_domain::{Client, EventKind, EventReason};
use thiserror::Error;

use crate::{Auth, Fault};

/// Why a mailed token did nothing.
#[derive(Debug, Error)]
pub enum OneTimeTokenError {
    /// It is unknown, used, expired, superseded, or of another purpose; which of these is not said.
    #[error("the token is not valid")]
    InvalidToken,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Records that a mailed token did nothing.
    pub(crate) async fn refuse_token<T>(&self, kind: EventKind, client: &Client) -> Result<T, OneTimeTokenError> {
        self.record(kind, EventReason::InvalidToken, (None, None), client).await?;
        Err(OneTimeTokenError::InvalidToken)
    }
}
