use doorward_domain::{Client, EmailAddress, EventKind, EventReason, Mail, MailKind, Password};

use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::{Auth, CurrentUser, ReauthenticationError, Unauthenticated};

/// A wish for another address.
#[derive(Clone, Debug)]
pub struct ChangeEmail {
    /// The new address.
    pub email: EmailAddress,
    /// The password of the account.
    pub password: Password,
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
        self.take_for_client(ByClient::Mail, act, client).await?;
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
        if !asked {
            self.record(act, EventReason::CredentialChanged, (Some(user.id), None), client).await?;
            return Err(Unauthenticated.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::Allowance;

    use super::*;

    use crate::password::Verification;
    use crate::testing::{
        GIVEN, NOW, SESSION_ID, Seen, USER_ID, access_token, checking, client, current_user, disabled_user, email,
        expect_event, holding_checked, new_email, password, proven, queueing, recording, user,
    };

    fn request() -> ChangeEmail {
        ChangeEmail { email: new_email(), password: password(GIVEN) }
    }

    /// What a mail says, as far as it matters here: its kind, where it goes, and the other address.
    fn gist(mail: &Mail) -> (MailKind, EmailAddress, Option<EmailAddress>) {
        assert_eq!(mail.user_id, Some(USER_ID));
        (mail.kind, mail.to.clone(), mail.other_address.clone())
    }

    #[pollster::test]
    async fn the_new_address_gets_a_link_and_the_old_one_is_told() {
        let queued = Seen::default();
        let mut unit = holding_checked(Some(user()));
        unit.outbox.expect_take_allowance().times(2).returning(|_, _, _, _| Ok(true));
        queueing(&mut unit, &queued);
        expect_event(&mut unit, EventKind::EmailChangeRequest, None, (Some(USER_ID), Some(SESSION_ID)));
        let setup = proven();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        auth.change_email(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
        let gists: Vec<_> = queued.all().iter().map(gist).collect();
        let expected = [
            (MailKind::ChangeEmail, new_email(), Some(email())),
            (MailKind::EmailChangeRequested, email(), Some(new_email())),
        ];
        assert_eq!(gists, expected);
        assert!(auth.authenticate(&access_token()).is_ok(), "nothing has changed yet");
    }

    #[pollster::test]
    async fn a_new_address_beyond_its_allowance_gets_no_link_and_the_old_one_is_told_all_the_same() {
        let (asked, queued) = (Seen::<(EmailAddress, Allowance)>::default(), Seen::default());
        let mut unit = holding_checked(Some(user()));
        let seen = asked.clone();
        unit.outbox.expect_take_allowance().returning(move |address, allowance, now, since| {
            assert_eq!((now, since), (NOW, NOW.minus(Duration::from_hours(1))));
            seen.note((address.clone(), allowance));
            Ok(allowance == Allowance::Notices)
        });
        queueing(&mut unit, &queued);
        let subject = (Some(USER_ID), Some(SESSION_ID));
        expect_event(&mut unit, EventKind::EmailChangeRequest, Some(EventReason::MailLimit), subject);
        let setup = proven();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        auth.change_email(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
        let expected =
            [(new_email(), Allowance::Requested), (email(), Allowance::Requested), (email(), Allowance::Notices)];
        assert_eq!(asked.all(), expected);
        let (kind, to, other) = gist(&queued.only());
        assert_eq!((kind, to, other), (MailKind::EmailChangeRequested, email(), Some(new_email())));
    }

    #[pollster::test]
    async fn a_wrong_password_mails_nobody_and_counts_as_a_failure() {
        let setup = checking(Verification::Wrong);
        let mut unit = recording(EventKind::EmailChangeRequest, EventReason::WrongPassword, Some(USER_ID));
        unit.credentials.expect_note_failure().times(1).withf(|id| *id == USER_ID).returning(|_| Ok(()));
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.change_email(&current_user(&auth), request(), &client()).await;

        assert!(matches!(outcome, Err(ReauthenticationError::InvalidCredentials)), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_password_that_changed_while_it_was_checked_mails_nobody() {
        for held in [None, Some(disabled_user())] {
            let setup = proven();
            let undone = setup.store.plan_write(holding_checked(held));
            let refusal = recording(EventKind::EmailChangeRequest, EventReason::CredentialChanged, Some(USER_ID));
            let recorded = setup.store.plan_write(refusal);
            let auth = setup.auth();

            let outcome = auth.change_email(&current_user(&auth), request(), &client()).await;

            assert!(matches!(outcome, Err(ReauthenticationError::Unauthenticated(_))), "{outcome:?}");
            assert!(!undone.yes() && recorded.yes());
        }
    }
}
