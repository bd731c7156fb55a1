use doorward_domain::{SessionId, UserId};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::Auth;
use crate::token::{AccessClaims, TokenRefused};

/// The user that a verified access token names.
///
/// Only [`Auth::authenticate`] makes one, so having one is having checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentUser {
    claims: AccessClaims,
}

impl CurrentUser {
    /// Who it is.
    #[must_use]
    pub const fn id(&self) -> UserId {
        self.claims.user_id
    }

    /// The session that the request belongs to.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.claims.session_id
    }

    /// Everything that the token says, as of when it was issued.
    #[must_use]
    pub const fn claims(&self) -> &AccessClaims {
        &self.claims
    }
}

/// There is no valid access token: it is malformed, forged, expired, or its session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the access token is not valid")]
pub struct Unauthenticated;

impl From<TokenRefused> for Unauthenticated {
    fn from(_: TokenRefused) -> Self {
        Self
    }
}

impl Auth {
    /// The user that an access token names. Asks no database.
    ///
    /// # Errors
    ///
    /// [`Unauthenticated`], without a reason.
    pub fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, Unauthenticated> {
        let claims = self.verify_signature(token)?;
        if self.parts().ended_sessions.has_ended(claims.session_id) {
            return Err(Unauthenticated);
        }
        Ok(CurrentUser { claims })
    }

    /// What an access token says, whether or not its session has ended.
    pub(crate) fn verify_signature(&self, token: &SecretString) -> Result<AccessClaims, Unauthenticated> {
        Ok(self.parts().verifier.verify(token.expose_secret(), self.now())?)
    }
}
