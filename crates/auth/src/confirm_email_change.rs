use doorward_domain::store::WriteUnit;
use doorward_domain::{Client, EmailAddress, EventKind, Mail, MailKind, OneTimePurpose, OneTimeToken, Timestamp, User};
use secrecy::SecretString;

use crate::replace_email::unless_taken;
use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::{Auth, Fault, OneTimeTokenError};

/// A claim to read mail at the new address.
#[derive(Clone, Debug)]
pub struct ConfirmEmailChange {
    /// The token of the mail.
    pub token: SecretString,
}

impl Auth {
    /// Makes the new address the account's. Ends every session and every other mailed token, and mails the old
    /// address a link that undoes it for seven days.
    ///
    /// # Errors
    ///
    /// [`OneTimeTokenError::InvalidToken`], in the security log by then; also when the address has an account of
    /// its own by now.
    pub async fn confirm_email_change(
        &self,
        request: ConfirmEmailChange,
        client: &Client,
    ) -> Result<(), OneTimeTokenError> {
        let act = EventKind::EmailChange;
        self.take_for_client(ByClient::Token, act, client).await?;
        let Some(hash) = self.parts().one_time_tokens.recognise(&request.token, OneTimePurpose::ChangeEmail) else {
            return self.refuse_token(act, client).await;
        };
        let now = self.now();
        let changed = unless_taken(
            retrying(|| async {
                let mut unit = self.store().write().await?;
                let Some((user, token)) = self.redeem(&mut *unit, OneTimePurpose::ChangeEmail, &hash, now).await?
                else {
                    return Ok(false);
                };
                self.replace_address(&mut *unit, &user, &token.address, Some(OneTimePurpose::UndoEmailChange), now)
                    .await?;
                self.offer_undo(&mut *unit, &user, &token.address, client, now).await?;
                unit.events().append(&self.event(act, None, (Some(user.id), None), client)?).await?;
                unit.commit().await?;
                Ok(true)
            })
            .await,
        )?;
        if changed { Ok(()) } else { self.refuse_token(act, client).await }
    }

    /// Lets the owner of the old address undo the change. The first such offer stands for its seven days: a second
    /// change must not take away what undoes the first.
    async fn offer_undo(
        &self,
        unit: &mut dyn WriteUnit,
        user: &User,
        new: &EmailAddress,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), Fault> {
        const PURPOSE: OneTimePurpose = OneTimePurpose::UndoEmailChange;
        if unit.one_time_tokens().is_outstanding(user.id, PURPOSE, now).await? {
            return Ok(());
        }
        let mail = self.new_mail(MailKind::EmailChanged, &user.email, Some(user.id), client)?;
        let token = OneTimeToken {
            mail_id: mail.id,
            user_id: user.id,
            purpose: PURPOSE,
            hash: self.parts().one_time_tokens.hash(mail.id, PURPOSE),
            address: user.email.clone(),
            expires_at: now.plus(PURPOSE.lifetime()),
        };
        // Issued at once: a mail that waits can be overtaken.
        unit.one_time_tokens().issue(&token).await?;
        Ok(unit.outbox().push(&Mail { other_address: Some(new.clone()), ..mail }).await?)
    }
}
