use doorward_domain::store::WriteUnit;
use doorward_domain::{Letter, Mail, MailId, MailKind, OneTimeToken, SEND_LIMIT, SendError, Timestamp, User};
use secrecy::{ExposeSecret, SecretString};

use crate::delivery::{self, BATCH, DeliveryReport, FailedDelivery, LEASE, Unsent};
use crate::unit::retrying;
use crate::{Auth, Fault};

/// Mails that this node has to itself for a while, all to one domain.
#[derive(Debug)]
pub struct MailBatch {
    mails: Vec<Mail>,
    until: Timestamp,
}

/// What became of a batch of mails.
pub type MailReport = DeliveryReport<MailId>;

/// A mail that was not handed over.
pub type FailedMail = FailedDelivery<MailId>;

/// What is to be done about a mail.
enum Prepared {
    /// It is to be sent.
    Letter(Box<Letter>),
    /// Nobody is to get it: there is no such account, or what it asks for has been done.
    Moot,
    /// Somebody else has it.
    LeaseLost,
}

impl Auth {
    /// Takes the mails that are due and that nobody is at work on, of one domain; `None` when there are none.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn lease_mail(&self) -> Result<Option<MailBatch>, Fault> {
        let now = self.now();
        if !self.store().read().await?.outbox().has_due(now).await? {
            return Ok(None);
        }
        let until = now.plus(LEASE);
        let mails = retrying(|| async {
            let mut unit = self.store().write().await?;
            let mails = unit.outbox().lease(now, until, BATCH).await?;
            unit.commit().await?;
            Ok(mails)
        })
        .await?;
        Ok((!mails.is_empty()).then_some(MailBatch { mails, until }))
    }

    /// Sends a batch, one mail after the other. A mail that is refused does not hold up the next; a server that
    /// cannot be used postpones them all.
    ///
    /// # Errors
    ///
    /// [`Fault`]; what was not settled then is delivered by anybody after the lease.
    pub async fn deliver_mail(&self, batch: MailBatch) -> Result<MailReport, Fault> {
        let MailBatch { mails, until } = batch;
        let last_start = until.minus(LEASE).plus(delivery::last_start(SEND_LIMIT));
        let mut report = MailReport::default();
        let mut left = mails.as_slice();
        while let Some((mail, rest)) = left.split_first() {
            if self.now() >= last_start {
                self.give_back(left, until).await?;
                break;
            }
            match self.prepare(mail, until).await? {
                Prepared::LeaseLost => {}
                Prepared::Moot => self.finish(mail, until).await?,
                Prepared::Letter(letter) => match self.send(&letter).await {
                    Ok(()) => {
                        self.finish(mail, until).await?;
                        report.sent += 1;
                    }
                    Err(error) => {
                        report.no_connection = matches!(error, SendError::NoConnection(_));
                        let unreachable = report.no_connection || matches!(error, SendError::Unreachable(_));
                        let concerned = if unreachable { left } else { std::slice::from_ref(mail) };
                        report.failed.extend(self.settle_failure(concerned, until, &error).await?);
                        if unreachable {
                            break;
                        }
                    }
                },
            }
            left = rest;
        }
        Ok(report)
    }

    async fn send(&self, letter: &Letter) -> Result<(), SendError> {
        // The operator can mend a template, so the mail waits for that.
        let message = self.parts().composer.compose(letter).map_err(|error| SendError::Temporary(error.to_string()))?;
        self.parts().transport.send(&message).await
    }

    /// Decides, with the lease held, whether the mail is still to be sent, and issues its token.
    async fn prepare(&self, mail: &Mail, until: Timestamp) -> Result<Prepared, Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            if !unit.outbox().hold_lease(mail.id, until).await? {
                return Ok(Prepared::LeaseLost);
            }
            let Some(user) = self.reader(&mut *unit, mail).await? else { return Ok(Prepared::Moot) };
            let mail = addressed(mail, &user);
            let link = match mail.kind.token_purpose() {
                None => None,
                Some(purpose) => {
                    let tokens = &self.parts().one_time_tokens;
                    let token = OneTimeToken {
                        mail_id: mail.id,
                        user_id: user.id,
                        purpose,
                        hash: tokens.hash(mail.id, purpose),
                        address: mail.to.clone(),
                        expires_at: self.now().plus(purpose.lifetime()),
                    };
                    if !unit.one_time_tokens().issue(&token).await? {
                        return Ok(Prepared::Moot);
                    }
                    let text = tokens.text(mail.id, purpose);
                    let base = &self.settings().public_url;
                    let url = format!("{base}{}?token={}", purpose.page(), text.expose_secret());
                    Some((SecretString::from(url), purpose.lifetime()))
                }
            };
            unit.commit().await?;
            let locale = user.locale.or_else(|| mail.locale.clone());
            Ok(Prepared::Letter(Box::new(Letter { mail, locale, link })))
        })
        .await
    }

    /// The user whom the mail is for, provided that it still makes sense.
    async fn reader(&self, unit: &mut dyn WriteUnit, mail: &Mail) -> Result<Option<User>, Fault> {
        let found = match mail.kind {
            MailKind::VerifyEmail | MailKind::AlreadyRegistered | MailKind::ResetPassword => {
                unit.users().find_by_address(&mail.to).await?.map(|user| user.id)
            }
            MailKind::ChangeEmail => {
                let other = unit.users().find_by_address(&mail.to).await?.map(|user| user.id);
                mail.user_id.filter(|id| other.is_none_or(|other| other == *id))
            }
            MailKind::EmailChangeRequested
            | MailKind::EmailChanged
            | MailKind::PasswordChanged
            | MailKind::NewDevice
            | MailKind::LoginAfterFailures
            | MailKind::RefreshReplayed => mail.user_id,
        };
        let Some(id) = found else { return Ok(None) };
        let wanted = |user: &User| match mail.kind {
            MailKind::VerifyEmail => !user.disabled() && !user.email_verified() && is_at(user, mail),
            MailKind::ResetPassword => !user.disabled() && is_at(user, mail),
            MailKind::ChangeEmail => !user.disabled(),
            _ => true,
        };
        Ok(unit.users().hold(id).await?.filter(wanted))
    }

    async fn finish(&self, mail: &Mail, until: Timestamp) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.outbox().finish(mail.id, until).await?;
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Ends the leases of mails that an error concerns: each is due again after a wait, or a dead letter.
    async fn settle_failure(
        &self,
        mails: &[Mail],
        until: Timestamp,
        error: &SendError,
    ) -> Result<Vec<FailedMail>, Fault> {
        let text = error.to_string();
        let for_good = matches!(error, SendError::Permanent(_));
        let unsent = |mail: &Mail| self.unsent(mail.id, mail.created_at, mail.attempts, for_good);
        let unsent = mails.iter().map(unsent).collect::<Result<Vec<_>, Fault>>()?;
        self.end_leases(&unsent, until, &text).await?;
        Ok(unsent.into_iter().map(|mail| mail.failed(&text)).collect())
    }

    /// Lets somebody else have mails that were not tried.
    async fn give_back(&self, mails: &[Mail], until: Timestamp) -> Result<(), Fault> {
        let now = self.now();
        let unsent = |mail: &Mail| Unsent { id: mail.id, due_at: Some(now), attempts: mail.attempts };
        let unsent: Vec<_> = mails.iter().map(unsent).collect();
        self.end_leases(&unsent, until, "not tried for want of time").await
    }

    async fn end_leases(&self, mails: &[Unsent<MailId>], until: Timestamp, error: &str) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            for mail in mails {
                unit.outbox().postpone(mail.id, until, mail.due_at, mail.attempts, error).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }
}

/// The mail as it is sent: to the address as the account spells it, not as somebody typed it.
///
/// When an address was registered again before it was verified, nobody knows whose password would be the right one.
/// So its owner sets another.
fn addressed(mail: &Mail, user: &User) -> Mail {
    let kind = match mail.kind {
        MailKind::AlreadyRegistered if !user.email_verified() && !user.disabled() => MailKind::ResetPassword,
        kind => kind,
    };
    let to = if is_at(user, mail) { user.email.clone() } else { mail.to.clone() };
    Mail { kind, to, ..mail.clone() }
}

fn is_at(user: &User, mail: &Mail) -> bool {
    user.email.canonical() == mail.to.canonical()
}

#[cfg(test)]
mod tests;
