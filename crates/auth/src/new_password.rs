use doorward_domain::store::WriteUnit;
use doorward_domain::{
    Client, CredentialVersion, EmailAddress, EndReason, MailKind, OneTimePurpose, Password, PasswordCredential,
    PasswordHashString, PasswordRefused, SessionId, User, UserId,
};

use crate::throttle::Guess;
use crate::{Auth, DeviceToken, DeviceTokens, Fault};

/// What goes on after a new password.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) session: Option<SessionId>,
    pub(crate) device: &'a DeviceToken,
}

impl Auth {
    /// Whether a password may be chosen. May ask another machine, so no unit is open meanwhile.
    ///
    /// # Errors
    ///
    /// [`Fault::Screen`] when that cannot be told; a refusal is no fault.
    pub(crate) async fn check_new_password(
        &self,
        password: &Password,
        email: &EmailAddress,
    ) -> Result<Result<(), PasswordRefused>, Fault> {
        if let Err(refused) = self.settings().passwords.check(password, email) {
            return Ok(Err(refused));
        }
        let common = self.parts().screen.is_common(password).await?;
        Ok(if common { Err(PasswordRefused::TooCommon) } else { Ok(()) })
    }

    /// A new setting of a user's password.
    pub(crate) fn new_credential(
        &self,
        user_id: UserId,
        hash: PasswordHashString,
    ) -> Result<PasswordCredential, Fault> {
        Ok(PasswordCredential { user_id, version: self.fresh(CredentialVersion::new)?, hash })
    }

    /// Sets a user's password, and ends what may be in the hands of somebody who knew the old one: every session and the
    /// trust in every device but what is `kept`, and every mailed token. Tells the user, and counts wrong passwords
    /// from the start.
    ///
    /// The token that undoes a change of addresses stays: whoever took an account over by its address must not be able
    /// to destroy it.
    pub(crate) async fn replace_password(
        &self,
        unit: &mut dyn WriteUnit,
        user: &User,
        credential: &PasswordCredential,
        reason: EndReason,
        kept: Kept<'_>,
        client: &Client,
    ) -> Result<(), Fault> {
        let now = self.now();
        unit.credentials().set(credential).await?;
        for guess in [Guess::Address(&user.email), Guess::Session(user.id)] {
            unit.throttles().clear_guesses(&guess.key(&self.parts().throttle_keys)).await?;
        }
        unit.sessions().forget_trusted_devices(user.id).await?;
        unit.sessions().trust_device(user.id, kept.device.digest(), DeviceTokens::MOST, now).await?;
        unit.one_time_tokens().revoke_all(user.id, Some(OneTimePurpose::UndoEmailChange), now).await?;
        unit.outbox().cancel(user.id, &user.email).await?;
        let ended = unit.sessions().end_all(user.id, kept.session, reason, now).await?;
        self.queue_notice(unit, MailKind::PasswordChanged, user, client).await?;
        self.note_all_ended(&ended, now);
        Ok(())
    }
}
