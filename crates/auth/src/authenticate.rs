use std::sync::Arc;

use doorward_domain::{OwnerScope, SessionId, UserId};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use crate::Auth;
use crate::token::{AccessClaims, TokenRefused};

/// The user that a verified access token names.
///
/// Only [`AccessTokens::check`](crate::AccessTokens::check) makes one, so having one is having checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentUser {
    claims: Arc<AccessClaims>,
    /// Where they have changed since the token was issued.
    roles: Option<Arc<[String]>>,
}

impl CurrentUser {
    pub(crate) const fn new(claims: Arc<AccessClaims>, roles: Option<Arc<[String]>>) -> Self {
        Self { claims, roles }
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.claims.user_id
    }

    /// The session that the request belongs to.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.claims.session_id
    }

    /// The proof that this user may reach what this user owns. Whatever the roles: they open nobody else's data.
    #[must_use]
    pub fn scope(&self) -> OwnerScope {
        doorward_scope::vouch(self.id())
    }

    /// The same where a request names the owner, as in a path: by the user's own id or as `me`. `None` for anybody
    /// else's id, for one that nobody has and for what is no id, which are one and the same.
    #[must_use]
    pub fn scope_of(&self, owner: &str) -> Option<OwnerScope> {
        let own = owner == "me" || owner.eq_ignore_ascii_case(&self.id().to_string());
        own.then(|| self.scope())
    }

    /// The roles that the user has now, as far as this process knows.
    #[must_use]
    pub fn roles(&self) -> &[String] {
        self.roles.as_deref().unwrap_or(&self.claims.roles)
    }

    /// Whether the user has this role now.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().iter().any(|own| own == role)
    }

    /// Everything that the token says, as of when it was issued.
    #[must_use]
    pub fn claims(&self) -> &AccessClaims {
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

/// Why an access token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthenticationError {
    /// It is not valid; why is not said.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// It may be valid, but nothing has been heard of revocations for too long, or of the keys.
    #[error("it cannot be told at this moment whether the access token is valid")]
    Stale,
}

impl Auth {
    /// The user that an access token names. Asks no database.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError`], without a reason.
    pub fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        let (user, is_worth_noting) = self.access_tokens().check_use(token)?;
        if is_worth_noting {
            self.seen().note(user.session_id(), self.now());
        }
        Ok(user)
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
    use crate::testing::{DAY, NOW, REFUSED, SESSION_ID, Setup, USER_ID, access_token, claims};

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
    fn a_user_s_scope_is_their_own_and_no_other_name_gives_one() {
        let user = setup().auth().authenticate(&access_token()).unwrap();
        let own = user.id().to_string();
        for name in ["me", &own, &own.to_uppercase()] {
            assert_eq!(user.scope_of(name).map(|scope| scope.owner()), Some(USER_ID), "{name:?}");
        }
        let other = UserId::from_uuid(uuid::Uuid::from_u128(9)).to_string();
        let simple = own.replace('-', "");
        for name in [
            other.as_str(),
            &simple,
            &format!("{{{own}}}"),
            &format!("urn:uuid:{own}"),
            &format!(" {own}"),
            "",
            "ME",
            "*",
        ] {
            assert_eq!(user.scope_of(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_refused_token_names_nobody() {
        for text in ["", "forged", "an access token "] {
            let outcome = setup().auth().authenticate(&SecretString::from(text.to_owned()));
            assert_eq!(outcome, REFUSED, "{text:?}");
        }
    }

    #[test]
    fn a_token_of_an_ended_session_is_refused() {
        let auth = setup().auth();
        auth.parts().revocations.note_ended(SessionId::from_uuid(uuid::Uuid::from_u128(9)), NOW.plus(DAY));
        assert!(auth.authenticate(&access_token()).is_ok(), "another session has ended");
        auth.note_ended(SESSION_ID, NOW);
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[test]
    fn no_token_is_taken_when_the_database_has_been_silent_for_too_long() {
        let setup = setup();
        let (time, staleness) = (setup.time.clone(), setup.settings.staleness);
        let auth = setup.auth();
        time.set(NOW.plus(staleness));
        assert!(auth.authenticate(&access_token()).is_ok());
        time.set(NOW.plus(staleness).plus(std::time::Duration::from_secs(1)));
        assert_eq!(auth.authenticate(&access_token()), Err(AuthenticationError::Stale));
    }
}
