use doorward_domain::store::WriteUnit;
use doorward_domain::{
    Client, EmailAddress, EndReason, EventKind, EventReason, Mail, MailKind, OneTimePurpose, OneTimeToken,
    OneTimeTokenHash, Password, StoreError, Timestamp, User,
};
use secrecy::SecretString;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault, OneTimeTokenError, ReauthenticationError, Unauthenticated};

/// A wish for another address.
#[derive(Clone, Debug)]
pub struct ChangeEmail {
    /// The new address.
    pub email: EmailAddress,
    /// The password of the account.
    pub password: Password,
}

/// A claim to read mail at the new address.
#[derive(Clone, Debug)]
pub struct ConfirmEmailChange {
    /// The token of the mail.
    pub token: SecretString,
}

/// The wish of the old address's owner to have it back.
#[derive(Clone, Debug)]
pub struct UndoEmailChange {
    /// The token of the mail.
    pub token: SecretString,
}

impl Auth {
    /// Mails the new address a link that makes it the account's, and tells the old one.
    ///
    /// Whether the new address has an account of its own is found out when the mail is delivered, and not said.
    ///
    /// # Errors
    ///
    /// [`ReauthenticationError`]; nothing was mailed then.
    pub async fn change_email(
        &self,
        current: &CurrentUser,
        request: ChangeEmail,
        client: &Client,
    ) -> Result<(), ReauthenticationError> {
        let act = EventKind::EmailChangeRequest;
        let (user, checked) = self.reauthenticate(current, &request.password, act, client).await?;
        let subject = (Some(user.id), Some(current.session_id()));
        let asked = retrying(|| async {
            let confirm = self.new_mail(MailKind::ChangeEmail, &request.email, Some(user.id), client)?;
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(user.id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(false) };
            let confirm = Mail { other_address: Some(user.email.clone()), ..confirm };
            let queued = self.queue_requested(&mut *unit, &confirm).await?;
            let notice = self.new_mail(MailKind::EmailChangeRequested, &user.email, Some(user.id), client)?;
            self.push_notice(&mut *unit, &Mail { other_address: Some(request.email.clone()), ..notice }).await?;
            let reason = (!queued).then_some(EventReason::MailLimit);
            unit.events().append(&self.event(act, reason, subject, client)?).await?;
            unit.commit().await?;
            Ok(true)
        })
        .await?;
        if asked { Ok(()) } else { Err(Unauthenticated.into()) }
    }

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

    /// Gives an account its old address back. Whoever changed it knew the password, so no password is the right one
    /// from now on: a mail to the address lets its owner set another. Every session and every mailed token ends.
    ///
    /// # Errors
    ///
    /// [`OneTimeTokenError::InvalidToken`], in the security log by then; also when the address has an account of
    /// its own by now.
    pub async fn undo_email_change(&self, request: UndoEmailChange, client: &Client) -> Result<(), OneTimeTokenError> {
        let act = EventKind::EmailChangeUndo;
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

    /// Uses a token up and gives its address to its user; `None`, with nothing to be committed, where either fails.
    async fn redeem(
        &self,
        unit: &mut dyn WriteUnit,
        purpose: OneTimePurpose,
        hash: &OneTimeTokenHash,
        now: Timestamp,
    ) -> Result<Option<(User, OneTimeToken)>, Fault> {
        let Some(token) = unit.one_time_tokens().consume(purpose, hash, now).await? else { return Ok(None) };
        let held = unit.users().hold(token.user_id).await?;
        let Some(user) = held.filter(|user| !user.disabled()) else { return Ok(None) };
        let given = unit.users().change_email(user.id, &token.address, now).await?;
        Ok(given.then_some((user, token)))
    }

    /// What follows when another address takes the place of the user's.
    async fn replace_address(
        &self,
        unit: &mut dyn WriteUnit,
        user: &User,
        new: &EmailAddress,
        spared: Option<OneTimePurpose>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        unit.one_time_tokens().revoke_all(user.id, spared, now).await?;
        unit.outbox().cancel(user.id, &user.email).await?;
        unit.outbox().cancel(user.id, new).await?;
        let ended = unit.sessions().end_all(user.id, None, EndReason::EmailChanged, now).await?;
        self.note_all_ended(&ended, now);
        Ok(())
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

/// An address that another account got at the same moment is as good as one that it had before.
fn unless_taken(outcome: Result<bool, Fault>) -> Result<bool, Fault> {
    match outcome {
        Err(Fault::Store(StoreError::Conflict { .. })) => Ok(false),
        outcome => outcome,
    }
}
