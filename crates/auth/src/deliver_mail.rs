use std::time::Duration;

use doorward_domain::store::WriteUnit;
use doorward_domain::{Letter, Mail, MailId, MailKind, OneTimeToken, SEND_LIMIT, SendError, Timestamp, User};
use secrecy::{ExposeSecret, SecretString};

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How long a node keeps a mail to itself. When it dies, another one delivers the mail after this.
const LEASE: Duration = Duration::from_secs(45);
/// When a node stops beginning to send, so that what it has begun ends within the lease.
const LAST_START: Duration = LEASE.saturating_sub(SEND_LIMIT).saturating_sub(Duration::from_secs(5));
/// How many mails are leased at once.
const BATCH: u32 = 20;
/// For how long a mail is tried.
const TRIED_FOR: Duration = Duration::from_hours(24);
/// The wait after the first failed attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// Mails that this node has to itself for a while, all to one domain.
#[derive(Debug)]
pub struct MailBatch {
    mails: Vec<Mail>,
    until: Timestamp,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailReport {
    /// How many mails were handed over.
    pub sent: u32,
    /// The mails that were not, and why; each is tried again or a dead letter.
    pub failed: Vec<FailedMail>,
    /// Whether there was no connection to the server.
    pub no_connection: bool,
}

/// A mail that was not handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedMail {
    /// The mail.
    pub id: MailId,
    /// Why. Holds neither the address nor a token.
    pub error: String,
    /// Whether it is a dead letter now.
    pub dead: bool,
}

/// What is to be done about a mail.
enum Prepared {
    /// It is to be sent.
    Letter(Box<Letter>),
    /// Nobody is to get it: there is no such account, or what it asks for has been done.
    Moot,
    /// Somebody else has it.
    LeaseLost,
}

/// A mail whose lease ends without its having been sent.
struct Unsent {
    id: MailId,
    /// When it is due again; never, when it is a dead letter.
    due_at: Option<Timestamp>,
    attempts: u32,
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
        let last_start = until.minus(LEASE).plus(LAST_START);
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
        let mut unsent = Vec::with_capacity(mails.len());
        for mail in mails {
            let attempts = mail.attempts.saturating_add(1);
            let due_at = self.now().plus(self.wait_after(attempts)?);
            let again = !matches!(error, SendError::Permanent(_)) && due_at <= mail.created_at.plus(TRIED_FOR);
            unsent.push(Unsent { id: mail.id, due_at: again.then_some(due_at), attempts });
        }
        self.end_leases(&unsent, until, &text).await?;
        let failed = |mail: &Unsent| FailedMail { id: mail.id, error: text.clone(), dead: mail.due_at.is_none() };
        Ok(unsent.iter().map(failed).collect())
    }

    /// Lets somebody else have mails that were not tried.
    async fn give_back(&self, mails: &[Mail], until: Timestamp) -> Result<(), Fault> {
        let now = self.now();
        let unsent = |mail: &Mail| Unsent { id: mail.id, due_at: Some(now), attempts: mail.attempts };
        let unsent: Vec<_> = mails.iter().map(unsent).collect();
        self.end_leases(&unsent, until, "not tried for want of time").await
    }

    async fn end_leases(&self, mails: &[Unsent], until: Timestamp, error: &str) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            for mail in mails {
                unit.outbox().postpone(mail.id, until, mail.due_at, mail.attempts, error).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }

    /// How long to wait after so many failed attempts: up to a quarter longer than the doubled wait before, so that
    /// what failed together is not tried again together.
    fn wait_after(&self, attempts: u32) -> Result<Duration, Fault> {
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        let mut random = [0];
        self.parts().entropy.fill(&mut random)?;
        Ok(wait + wait / 1024 * u32::from(random[0]))
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
