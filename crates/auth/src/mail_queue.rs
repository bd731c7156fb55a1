//! Writing mails into the outbox, in the unit of the change that causes them.

use std::time::Duration;

use doorward_domain::store::{Allowance, WriteUnit};
use doorward_domain::{
    Client, EmailAddress, EntropyUnavailable, EventKind, EventReason, Mail, MailId, MailKind, User, UserId,
};

use crate::throttle::ByClient;
use crate::unit::retrying;
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

    /// Queues a mail that anybody can ask for, and records that it was asked for.
    pub(crate) async fn request_mail(
        &self,
        kind: MailKind,
        event: EventKind,
        to: &EmailAddress,
        client: &Client,
    ) -> Result<(), Fault> {
        self.take_for_client(ByClient::Mail, event, client).await?;
        retrying(|| async {
            let mail = self.new_mail(kind, to, None, client)?;
            let mut unit = self.store().write().await?;
            let queued = self.queue_requested(&mut *unit, &mail).await?;
            let reason = (!queued).then_some(EventReason::MailLimit);
            if queued || self.refusals().is_written(event, EventReason::MailLimit, self.now()) {
                unit.events().append(&self.event(event, reason, (None, None), client)?).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
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
        let kept = match mail.kind {
            MailKind::NewDevice | MailKind::LoginAfterFailures => Allowance::LogIns,
            _ => Allowance::Notices,
        };
        let allowed = self.take_allowance(unit, &mail.to, Allowance::Requested).await?
            || self.take_allowance(unit, &mail.to, kept).await?;
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

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, Seen, Setup, USER_ID, client, email, queueing, user};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit in which these allowances of the address are not spent, and what was asked for and queued in it.
    fn allowing(allowed: Vec<Allowance>) -> (MockUnit, Seen<Allowance>, Seen<Mail>) {
        let (asked, queued) = (Seen::default(), Seen::default());
        let mut unit = MockUnit::default();
        let seen = asked.clone();
        unit.outbox.expect_take_allowance().returning(move |address, allowance, now, since| {
            assert_eq!(*address, email());
            assert_eq!((now, since), (NOW, NOW.minus(Duration::from_hours(1))));
            seen.note(allowance);
            Ok(allowed.contains(&allowance))
        });
        queueing(&mut unit, &queued);
        (unit, asked, queued)
    }

    #[test]
    fn a_mail_remembers_the_request_without_its_id_and_is_never_the_same_as_another() {
        let auth = setup().auth();

        let mail = auth.new_mail(MailKind::NewDevice, &email(), Some(USER_ID), &client()).unwrap();
        let other = auth.new_mail(MailKind::NewDevice, &email(), Some(USER_ID), &client()).unwrap();

        assert_ne!(mail.id, other.id);
        let expected = Mail {
            id: mail.id,
            kind: MailKind::NewDevice,
            to: email(),
            user_id: Some(USER_ID),
            other_address: None,
            locale: client().locale,
            client: Client { request_id: None, ..client() },
            created_at: NOW,
            attempts: 0,
        };
        assert_eq!(mail, expected);
    }

    #[pollster::test]
    async fn what_anybody_can_ask_for_is_queued_within_its_own_allowance_alone() {
        for (allowed, queued) in [(vec![Allowance::Requested], true), (vec![Allowance::Notices], false)] {
            let (unit, asked, mails) = allowing(allowed);
            let setup = setup();
            setup.store.plan_write(unit);
            let auth = setup.auth();
            let mail = auth.new_mail(MailKind::VerifyEmail, &email(), None, &client()).unwrap();

            let mut unit = auth.store().write().await.unwrap();
            let outcome = auth.queue_requested(&mut *unit, &mail).await.unwrap();

            assert_eq!(outcome, queued);
            assert_eq!(asked.all(), [Allowance::Requested]);
            assert_eq!(mails.all(), if queued { vec![mail] } else { Vec::new() });
        }
    }

    #[pollster::test]
    async fn nobody_can_spend_what_keeps_an_owner_informed() {
        for (kind, kept) in [
            (MailKind::PasswordChanged, Allowance::Notices),
            (MailKind::RefreshReplayed, Allowance::Notices),
            (MailKind::NewDevice, Allowance::LogIns),
            (MailKind::LoginAfterFailures, Allowance::LogIns),
        ] {
            let both = vec![Allowance::Requested, kept];
            for (allowed, expected_asked, queued) in
                [(both.clone(), vec![Allowance::Requested], 1), (vec![kept], both.clone(), 1), (Vec::new(), both, 0)]
            {
                let (unit, asked, mails) = allowing(allowed);
                let setup = setup();
                setup.store.plan_write(unit);
                let auth = setup.auth();

                let mut unit = auth.store().write().await.unwrap();
                auth.queue_notice(&mut *unit, kind, &user(), &client()).await.unwrap();

                assert_eq!(asked.all(), expected_asked);
                let mails = mails.all();
                assert_eq!(mails.len(), queued);
                for mail in mails {
                    assert_eq!((mail.kind, mail.to, mail.user_id), (kind, email(), Some(USER_ID)));
                }
            }
        }
    }
}
