use doorward_domain::{
    Client, CredentialVersion, EmailAddress, EndReason, EventKind, MailKind, OneTimePurpose, OneTimeTokenHash,
    Password, PasswordCredential, PasswordHashString, PasswordRefused, Timestamp, User, UserId,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault, OneTimeTokenError};

/// A wish for a mail that lets its reader set a new password.
#[derive(Clone, Debug)]
pub struct RequestPasswordReset {
    /// The address of the account.
    pub email: EmailAddress,
}

/// A new password for an account whose mail one reads.
#[derive(Clone, Debug)]
pub struct ResetPassword {
    /// The token of the mail.
    pub token: SecretString,
    /// The password to set.
    pub password: Password,
}

/// Why the password was not reset.
#[derive(Debug, Error)]
pub enum ResetPasswordError {
    /// The token does nothing.
    #[error("the token is not valid")]
    InvalidToken,
    /// The password cannot be set; the token can still be used.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<OneTimeTokenError> for ResetPasswordError {
    fn from(error: OneTimeTokenError) -> Self {
        match error {
            OneTimeTokenError::InvalidToken => Self::InvalidToken,
            OneTimeTokenError::Fault(fault) => Self::Fault(fault),
        }
    }
}

const PURPOSE: OneTimePurpose = OneTimePurpose::ResetPassword;

impl Auth {
    /// Queues a mail that lets the owner of an address set a new password, should the address have an account.
    ///
    /// Does not look whether it has: that is found out when the mail is delivered, so the answer and its time are
    /// the same whoever is asked for (ASVS 6.3.8).
    ///
    /// # Errors
    ///
    /// [`Fault`]; nothing was queued then.
    pub async fn request_password_reset(&self, request: RequestPasswordReset, client: &Client) -> Result<(), Fault> {
        self.request_mail(MailKind::ResetPassword, EventKind::PasswordResetRequest, &request.email, client).await
    }

    /// Sets a new password. Ends every session of the user and every other mailed token but the one that undoes a
    /// change of addresses: whoever took an account over by its address must not be able to destroy that.
    ///
    /// Who reads the mail has proved that the address is theirs, so it counts as verified.
    ///
    /// # Errors
    ///
    /// [`ResetPasswordError`]. A refused token is in the security log by then.
    pub async fn reset_password(&self, request: ResetPassword, client: &Client) -> Result<(), ResetPasswordError> {
        let Some(token) = self.parts().one_time_tokens.recognise(&request.token, PURPOSE) else {
            return Ok(self.refuse_token(EventKind::PasswordReset, client).await?);
        };
        // Nothing is hashed for a token that is no longer any good.
        let Some(user) = self.user_of_token(&token).await? else {
            return Ok(self.refuse_token(EventKind::PasswordReset, client).await?);
        };
        self.check_new_password(&request.password, &user.email)?;
        let hash = self.parts().hasher.hash(&request.password).await.map_err(Fault::from)?;
        if self.set_by_token(&token, hash, client).await? {
            Ok(())
        } else {
            Ok(self.refuse_token(EventKind::PasswordReset, client).await?)
        }
    }

    /// Whether a password may be chosen.
    pub(crate) fn check_new_password(&self, password: &Password, email: &EmailAddress) -> Result<(), PasswordRefused> {
        self.settings().passwords.check(password, email)?;
        if self.parts().screen.is_common(password) { Err(PasswordRefused::TooCommon) } else { Ok(()) }
    }

    /// A new setting of a user's password.
    pub(crate) fn new_credential(
        &self,
        user_id: UserId,
        hash: PasswordHashString,
    ) -> Result<PasswordCredential, Fault> {
        Ok(PasswordCredential { user_id, version: self.fresh(CredentialVersion::new)?, hash })
    }

    async fn user_of_token(&self, token: &OneTimeTokenHash) -> Result<Option<User>, Fault> {
        let mut unit = self.store().read().await?;
        let Some(token) = unit.one_time_tokens().find(PURPOSE, token, self.now()).await? else { return Ok(None) };
        Ok(unit.users().find(token.user_id).await?)
    }

    async fn set_by_token(
        &self,
        token: &OneTimeTokenHash,
        hash: PasswordHashString,
        client: &Client,
    ) -> Result<bool, Fault> {
        let now = self.now();
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(token) = unit.one_time_tokens().consume(PURPOSE, token, now).await? else { return Ok(false) };
            let Some(user) = unit.users().hold(token.user_id).await?.filter(|user| !user.disabled()) else {
                return Ok(false);
            };
            if !unit.users().verify_email(user.id, &token.address, now).await? {
                return Ok(false);
            }
            let credential = self.new_credential(user.id, hash.clone())?;
            unit.credentials().set(&credential).await?;
            unit.one_time_tokens().revoke_all(user.id, Some(OneTimePurpose::UndoEmailChange), now).await?;
            unit.outbox().cancel(user.id, &user.email).await?;
            let ended = unit.sessions().end_all(user.id, None, EndReason::PasswordReset, now).await?;
            self.queue_notice(&mut *unit, MailKind::PasswordChanged, &user, client).await?;
            let event = self.event(EventKind::PasswordReset, None, (Some(user.id), None), client)?;
            unit.events().append(&event).await?;
            self.note_all_ended(&ended, now);
            unit.commit().await?;
            Ok(true)
        })
        .await
    }

    pub(crate) fn note_all_ended(&self, sessions: &[doorward_domain::SessionId], now: Timestamp) {
        for session in sessions {
            self.note_ended(*session, now);
        }
    }
}
