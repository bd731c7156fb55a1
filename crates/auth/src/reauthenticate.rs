use doorward_domain::{Client, EventKind, EventReason, Password, PasswordCredential, User};
use thiserror::Error;

use crate::password::Verification;
use crate::{Auth, CurrentUser, Fault, Unauthenticated};

/// Why a user could not prove anew who they are.
#[derive(Debug, Error)]
pub enum ReauthenticationError {
    /// The password is wrong.
    #[error("the password is wrong")]
    InvalidCredentials,
    /// The account is gone or disabled since the token was issued.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Checks the password of a user who is logged in, before something that a stolen session must not be enough
    /// for (ASVS 7.5.1). A wrong one is recorded as a failed `act`, and counted as a failed log-in.
    pub(crate) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        act: EventKind,
        client: &Client,
    ) -> Result<(User, PasswordCredential), ReauthenticationError> {
        let mut unit = self.store().read().await.map_err(Fault::from)?;
        let user = unit.users().find(current.id()).await.map_err(Fault::from)?;
        let Some(user) = user.filter(|user| !user.disabled()) else { return Err(Unauthenticated.into()) };
        let credential = unit.credentials().find(user.id).await.map_err(Fault::from)?;
        drop(unit);
        let hash = credential.as_ref().map(|credential| &credential.hash);
        let verification = self.verify(password, hash).await?;
        if let (Some(credential), Some(Verification::Right { .. })) = (credential, verification) {
            return Ok((user, credential));
        }
        self.record_failed_password(act, EventReason::WrongPassword, Some(user.id), client).await?;
        Err(ReauthenticationError::InvalidCredentials)
    }
}
