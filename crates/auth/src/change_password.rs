use doorward_domain::{Client, EndReason, EventKind, MailKind, OneTimePurpose, Password, PasswordRefused};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault, ReauthenticationError, Unauthenticated};

/// A wish for another password.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    /// The password so far.
    pub current: Password,
    /// The password to set.
    pub new: Password,
}

/// Why the password was not changed.
#[derive(Debug, Error)]
pub enum ChangePasswordError {
    /// The user did not prove who they are.
    #[error(transparent)]
    Reauthentication(#[from] ReauthenticationError),
    /// The new password cannot be set.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
}

impl From<Fault> for ChangePasswordError {
    fn from(fault: Fault) -> Self {
        Self::Reauthentication(fault.into())
    }
}

impl Auth {
    /// Changes the password of a user who knows the present one. Ends every other session, and every mailed token
    /// but the one that undoes a change of addresses.
    ///
    /// # Errors
    ///
    /// [`ChangePasswordError`]; nothing was changed then.
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        request: ChangePassword,
        client: &Client,
    ) -> Result<(), ChangePasswordError> {
        let act = EventKind::PasswordChange;
        let (user, checked) = self.reauthenticate(current, &request.current, act, client).await?;
        self.check_new_password(&request.new, &user.email)?;
        let hash = self.parts().hasher.hash(&request.new).await.map_err(Fault::from)?;
        let credential = self.new_credential(user.id, hash)?;
        let now = self.now();
        let changed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(user.id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(false) };
            unit.credentials().set(&credential).await?;
            unit.one_time_tokens().revoke_all(user.id, Some(OneTimePurpose::UndoEmailChange), now).await?;
            unit.outbox().cancel(user.id, &user.email).await?;
            let kept = Some(current.session_id());
            let ended = unit.sessions().end_all(user.id, kept, EndReason::PasswordChanged, now).await?;
            self.queue_notice(&mut *unit, MailKind::PasswordChanged, &user, client).await?;
            let subject = (Some(user.id), Some(current.session_id()));
            unit.events().append(&self.event(act, None, subject, client)?).await?;
            self.note_all_ended(&ended, now);
            unit.commit().await?;
            Ok(true)
        })
        .await?;
        // The password changed while it was being checked, so the one that was given is no longer it.
        if changed { Ok(()) } else { Err(ReauthenticationError::from(Unauthenticated).into()) }
    }
}
