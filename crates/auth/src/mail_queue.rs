//! Writing mails into the outbox, in the unit of the change that causes them.

use std::time::Duration;

use doorward_domain::store::{Allowance, WriteUnit};
use doorward_domain::{Client, EmailAddress, EntropyUnavailable, Mail, MailId, MailKind, User, UserId};

use crate::{Auth, Fault};

/// The time in which an address gets five mails at most.
const ALLOWANCE_WINDOW: Duration = Duration::from_hours(1);

impl Auth {
    /// A mail that is written now.
    pub(crate) fn new_mail(
        &self,
        kind: MailKind,
        to: &EmailAddress,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<Mail, EntropyUnavailable> {
        Ok(Mail {
            id: self.fresh(MailId::new)?,
            kind,
            to: to.clone(),
            user_id,
            other_address: None,
            locale: client.locale.clone(),
            client: Client { request_id: None, ..client.clone() },
            created_at: self.now(),
            attempts: 0,
        })
    }

    /// Queues a mail that anybody can have sent by naming its address, unless the address has had its five within
    /// the hour; says whether it was queued.
    pub(crate) async fn queue_requested(&self, unit: &mut dyn WriteUnit, mail: &Mail) -> Result<bool, Fault> {
        let allowed = self.take_allowance(unit, &mail.to, Allowance::Requested).await?;
        if allowed {
            unit.outbox().push(mail).await?;
        }
        Ok(allowed)
    }

    /// Queues a mail that tells a user of something that has happened to their account.
    pub(crate) async fn queue_notice(
        &self,
        unit: &mut dyn WriteUnit,
        kind: MailKind,
        user: &User,
        client: &Client,
    ) -> Result<(), Fault> {
        let mail = self.new_mail(kind, &user.email, Some(user.id), client)?;
        self.push_notice(unit, &mail).await
    }

    /// The same for a mail that says more.
    pub(crate) async fn push_notice(&self, unit: &mut dyn WriteUnit, mail: &Mail) -> Result<(), Fault> {
        let allowed = self.take_allowance(unit, &mail.to, Allowance::Requested).await?
            || self.take_allowance(unit, &mail.to, Allowance::Notices).await?;
        if allowed {
            unit.outbox().push(mail).await?;
        }
        Ok(())
    }

    async fn take_allowance(
        &self,
        unit: &mut dyn WriteUnit,
        to: &EmailAddress,
        allowance: Allowance,
    ) -> Result<bool, Fault> {
        let now = self.now();
        Ok(unit.outbox().take_allowance(to, allowance, now, now.minus(ALLOWANCE_WINDOW)).await?)
    }
}
