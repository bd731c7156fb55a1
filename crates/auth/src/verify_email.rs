use doorward_domain::{Client, EmailAddress, EventKind, EventReason, MailKind, OneTimePurpose};
use secrecy::SecretString;
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// A wish for another mail that verifies an address.
#[derive(Clone, Debug)]
pub struct ResendVerification {
    /// The address.
    pub email: EmailAddress,
}

/// A claim to read mail at an address.
#[derive(Clone, Debug)]
pub struct VerifyEmail {
    /// The token of the mail.
    pub token: SecretString,
}

/// Why a mailed token did nothing.
#[derive(Debug, Error)]
pub enum OneTimeTokenError {
    /// It is unknown, used, expired, superseded, or of another purpose; which of these is not said.
    #[error("the token is not valid")]
    InvalidToken,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Queues another mail that verifies an address, should it belong to an account that needs it.
    ///
    /// Does not look whether there is such an account: that is found out when the mail is delivered, so the
    /// answer and its time are the same whoever is asked for (ASVS 6.3.8).
    ///
    /// # Errors
    ///
    /// [`Fault`]; nothing was queued then.
    pub async fn resend_verification(&self, request: ResendVerification, client: &Client) -> Result<(), Fault> {
        self.request_mail(MailKind::VerifyEmail, EventKind::VerifyEmailRequest, &request.email, client).await
    }

    /// Queues a mail that anybody can ask for, and records that it was asked for.
    pub(crate) async fn request_mail(
        &self,
        kind: MailKind,
        event: EventKind,
        to: &EmailAddress,
        client: &Client,
    ) -> Result<(), Fault> {
        retrying(|| async {
            let mail = self.new_mail(kind, to, None, client)?;
            let mut unit = self.store().write().await?;
            let queued = self.queue_requested(&mut *unit, &mail).await?;
            let reason = (!queued).then_some(EventReason::MailLimit);
            unit.events().append(&self.event(event, reason, (None, None), client)?).await?;
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Notes that the owner of an account reads mail at its address.
    ///
    /// # Errors
    ///
    /// [`OneTimeTokenError::InvalidToken`], in the security log by then.
    pub async fn verify_email(&self, request: VerifyEmail, client: &Client) -> Result<(), OneTimeTokenError> {
        const PURPOSE: OneTimePurpose = OneTimePurpose::VerifyEmail;
        let now = self.now();
        let verified = match self.parts().one_time_tokens.recognise(&request.token, PURPOSE) {
            None => false,
            Some(hash) => {
                retrying(|| async {
                    let mut unit = self.store().write().await?;
                    let Some(token) = unit.one_time_tokens().consume(PURPOSE, &hash, now).await? else {
                        return Ok(false);
                    };
                    let held = unit.users().hold(token.user_id).await?;
                    if held.is_none_or(|user| user.disabled())
                        || !unit.users().verify_email(token.user_id, &token.address, now).await?
                    {
                        return Ok(false);
                    }
                    let event = self.event(EventKind::VerifyEmail, None, (Some(token.user_id), None), client)?;
                    unit.events().append(&event).await?;
                    unit.commit().await?;
                    Ok(true)
                })
                .await?
            }
        };
        if verified { Ok(()) } else { self.refuse_token(EventKind::VerifyEmail, client).await }
    }

    /// Records that a mailed token did nothing.
    pub(crate) async fn refuse_token<T>(&self, kind: EventKind, client: &Client) -> Result<T, OneTimeTokenError> {
        self.record(kind, EventReason::InvalidToken, None, client).await?;
        Err(OneTimeTokenError::InvalidToken)
    }
}
