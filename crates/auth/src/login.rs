use doorward_domain::{
    Client, EmailAddress, EventKind, EventReason, Password, PasswordCredential, PasswordHashString, User, UserId,
};
use thiserror::Error;

use crate::password::Verification;
use crate::unit::retrying;
use crate::{Auth, Fault, RegistrationMode, SessionGrant};

/// A claim to be somebody.
#[derive(Clone, Debug)]
pub struct Login {
    /// The address of the account.
    pub email: EmailAddress,
    /// Its password.
    pub password: Password,
}

/// Why nobody was logged in.
#[derive(Debug, Error)]
pub enum LoginError {
    /// A wrong password or no such account; which of the two is not said (ASVS 6.3.8).
    #[error("the address or the password is wrong")]
    InvalidCredentials,
    /// The password is right, and the address has to be verified first.
    #[error("the address has not been verified")]
    EmailNotVerified,
    /// The password is right, and the account is disabled.
    #[error("the account is disabled")]
    AccountDisabled,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Logs a user in: begins a session and grants its first tokens.
    ///
    /// An unknown account costs the same statements and the same hash as a wrong password. The session is only
    /// begun when the account and its password are still what they were when the password was checked.
    ///
    /// # Errors
    ///
    /// [`LoginError`]. A refusal is in the security log by then.
    pub async fn login(&self, request: Login, client: &Client) -> Result<SessionGrant, LoginError> {
        let account = self.find_account(&request.email).await?;
        let hash = account.as_ref().map(|(_, credential)| &credential.hash);
        let verification = self.parts().hasher.verify(&request.password, hash).await.map_err(Fault::from)?;

        let (user, credential, upgraded) = match (account, verification) {
            (None, _) => return self.refuse(EventReason::UnknownAccount, None, client).await,
            (Some((user, _)), Verification::Wrong) => {
                return self.refuse(EventReason::WrongPassword, Some(user.id), client).await;
            }
            (Some((user, credential)), Verification::Right { upgraded }) => (user, credential, upgraded),
        };
        if user.disabled() {
            return self.refuse(EventReason::AccountDisabled, Some(user.id), client).await;
        }
        if self.settings().registration == RegistrationMode::Verified && !user.email_verified() {
            return self.refuse(EventReason::EmailNotVerified, Some(user.id), client).await;
        }
        match self.begin_session(&credential, upgraded.as_ref(), client).await? {
            Some(grant) => Ok(grant),
            None => self.refuse(EventReason::CredentialChanged, Some(user.id), client).await,
        }
    }

    async fn find_account(&self, email: &EmailAddress) -> Result<Option<(User, PasswordCredential)>, Fault> {
        Ok(self.store().read().await?.credentials().find_by_address(email).await?)
    }

    /// Writes session, refresh token, upgraded hash and security event in one unit; `None` when the account or
    /// its password has changed since the password was checked.
    async fn begin_session(
        &self,
        checked: &PasswordCredential,
        upgraded: Option<&PasswordHashString>,
        client: &Client,
    ) -> Result<Option<SessionGrant>, Fault> {
        let now = self.now();
        let (session, refresh_token) = self.new_session(checked.user_id, checked.version, client, now)?;
        let user = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(checked.user_id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(None) };
            if let Some(new) = upgraded {
                // When a login at the same moment has upgraded it already, its hash is as good.
                unit.credentials().upgrade_hash(checked.user_id, &checked.hash, new).await?;
            }
            unit.sessions().insert(&session, &refresh_token.hash()).await?;
            let event = self.event(EventKind::Login, None, (Some(user.id), Some(session.id)), client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(Some(user))
        })
        .await?;
        user.map(|user| self.grant(&session, user, refresh_token, now)).transpose()
    }

    /// Records a refused login and gives the answer that belongs to it.
    async fn refuse(
        &self,
        reason: EventReason,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<SessionGrant, LoginError> {
        self.record(EventKind::Login, reason, user_id, client).await?;
        Err(match reason {
            EventReason::AccountDisabled => LoginError::AccountDisabled,
            EventReason::EmailNotVerified => LoginError::EmailNotVerified,
            _ => LoginError::InvalidCredentials,
        })
    }

    /// Records a refusal in a unit of its own.
    pub(crate) async fn record(
        &self,
        kind: EventKind,
        reason: EventReason,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<(), Fault> {
        let event = self.event(kind, Some(reason), (user_id, None), client)?;
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.events().append(&event).await?;
            Ok(unit.commit().await?)
        })
        .await
    }
}
