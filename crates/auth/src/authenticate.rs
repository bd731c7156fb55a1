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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{DAY, NOW, SESSION_ID, Setup, USER_ID, access_token, claims};
    use crate::token::MockTokenVerifier;

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    #[test]
    fn a_valid_token_names_its_user_and_asks_no_database() {
        let user = setup().auth().authenticate(&access_token()).unwrap();
        assert_eq!((user.id(), user.session_id()), (USER_ID, SESSION_ID));
        assert_eq!(user.claims(), &claims());
    }

    #[test]
    fn a_refused_token_names_nobody() {
        for text in ["", "forged", "an access token "] {
            let outcome = setup().auth().authenticate(&SecretString::from(text.to_owned()));
            assert_eq!(outcome, Err(Unauthenticated), "{text:?}");
        }
    }

    #[test]
    fn a_token_of_an_ended_session_is_refused() {
        let auth = setup().auth();
        auth.parts().ended_sessions.note(SessionId::from_uuid(uuid::Uuid::from_u128(9)), NOW.plus(DAY));
        assert!(auth.authenticate(&access_token()).is_ok(), "another session has ended");
        auth.note_ended(SESSION_ID, NOW);
        assert_eq!(auth.authenticate(&access_token()), Err(Unauthenticated));
    }

    #[test]
    fn a_token_is_judged_by_the_time_of_the_clock() {
        let mut setup = setup();
        setup.verifier = MockTokenVerifier::new();
        let verify = setup.verifier.expect_verify();
        verify.returning(|_, now| if now == NOW { Ok(claims()) } else { Err(TokenRefused) });
        let time = setup.time.clone();
        let auth = setup.auth();
        assert!(auth.authenticate(&access_token()).is_ok());
        time.set(NOW.plus(DAY));
        assert_eq!(auth.authenticate(&access_token()), Err(Unauthenticated));
    }
}
