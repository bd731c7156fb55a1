use doorward_domain::{Client, EventKind, MailKind, OneTimePurpose};
use secrecy::SecretString;

use crate::replace_email::unless_taken;
use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::{Auth, OneTimeTokenError};

/// The wish of the old address's owner to have it back.
#[derive(Clone, Debug)]
pub struct UndoEmailChange {
    /// The token of the mail.
    pub token: SecretString,
}

impl Auth {
    /// Gives an account its old address back. Whoever changed it knew the password, so no password is the right one
    /// from now on: a mail to the address lets its owner set another. Every session and every mailed token ends.
    ///
    /// # Errors
    ///
    /// [`OneTimeTokenError::InvalidToken`], in the security log by then; also when the address has an account of
    /// its own by now.
    pub async fn undo_email_change(&self, request: UndoEmailChange, client: &Client) -> Result<(), OneTimeTokenError> {
        let act = EventKind::EmailChangeUndo;
        self.take_for_client(ByClient::Token, act, client).await?;
        let Some(hash) = self.parts().one_time_tokens.recognise(&request.token, OneTimePurpose::UndoEmailChange) else {
            return self.refuse_token(act, client).await;
        };
        let now = self.now();
        let undone = unless_taken(
            retrying(|| async {
                let mut unit = self.store().write().await?;
                let Some((user, token)) = self.redeem(&mut *unit, OneTimePurpose::UndoEmailChange, &hash, now).await?
                else {
                    return Ok(false);
                };
                self.replace_address(&mut *unit, &user, &token.address, None, now).await?;
                unit.credentials().remove(user.id).await?;
                let reset = self.new_mail(MailKind::ResetPassword, &token.address, Some(user.id), client)?;
                unit.outbox().push(&reset).await?;
                unit.events().append(&self.event(act, None, (Some(user.id), None), client)?).await?;
                unit.commit().await?;
                Ok(true)
            })
            .await,
        )?;
        if undone { Ok(()) } else { self.refuse_token(act, client).await }
    }
}
