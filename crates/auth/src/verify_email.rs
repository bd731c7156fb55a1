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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::{Allowance, MockUnit};
    use doorward_domain::{Mail, MailId, OneTimeToken, StoreError, User};
    use secrecy::ExposeSecret;
    use uuid::Uuid;

    use super::*;
    use crate::testing::{
        CountingEntropy, DAY, NOW, Seen, Setup, USER_ID, client, disabled_user, email, expect_event, one_time_tokens,
        recording, user,
    };
    use crate::{MasterKey, OneTimeTokens, RegistrationMode};

    const MAIL: MailId = MailId::from_uuid(Uuid::from_u128(7));
    const PURPOSE: OneTimePurpose = OneTimePurpose::VerifyEmail;

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn genuine() -> SecretString {
        one_time_tokens().text(MAIL, PURPOSE)
    }

    fn request() -> VerifyEmail {
        VerifyEmail { token: genuine() }
    }

    /// What the database knows of the token. Its address is the user's in another spelling.
    fn token() -> OneTimeToken {
        OneTimeToken {
            mail_id: MAIL,
            user_id: USER_ID,
            purpose: PURPOSE,
            hash: one_time_tokens().hash(MAIL, PURPOSE),
            address: EmailAddress::parse("Ada@example.com").unwrap(),
            expires_at: NOW.plus(DAY),
        }
    }

    /// A unit that uses the token up, provided that there is one.
    fn consuming(found: Option<OneTimeToken>) -> MockUnit {
        let mut unit = MockUnit::default();
        let consume = unit.one_time_tokens.expect_consume().times(1);
        let consume = consume.withf(|purpose, hash, now| (*purpose, *hash, *now) == (PURPOSE, token().hash, NOW));
        consume.returning(move |_, _, _| Ok(found.clone()));
        unit
    }

    /// A unit that uses the token up and holds its user.
    fn holding(held: Option<User>) -> MockUnit {
        let mut unit = consuming(Some(token()));
        let hold = unit.users.expect_hold().times(1);
        hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
        unit
    }

    /// A unit that finds the token's address to be the user's still, or not.
    fn verifying(still_theirs: bool) -> MockUnit {
        let mut unit = holding(Some(User { email_verified_at: None, ..user() }));
        let verify = unit.users.expect_verify_email().times(1);
        let verify = verify.withf(|id, address, now| *id == USER_ID && *address == token().address && *now == NOW);
        verify.returning(move |_, _, _| Ok(still_theirs));
        unit
    }

    fn is_invalid(outcome: &Result<(), OneTimeTokenError>) -> bool {
        matches!(outcome, Err(OneTimeTokenError::InvalidToken))
    }

    #[pollster::test]
    async fn a_token_is_used_up_and_its_address_verified_in_one_unit() {
        let mut unit = verifying(true);
        expect_event(&mut unit, EventKind::VerifyEmail, None, (Some(USER_ID), None));
        let setup = setup();
        let written = setup.store.plan_write(unit);

        setup.auth().verify_email(request(), &client()).await.unwrap();

        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_token_that_was_not_made_here_for_this_never_asks_the_database() {
        let other_key = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        let foreign = OneTimeTokens::new(&other_key).text(MAIL, PURPOSE);
        let other_purpose = one_time_tokens().text(MAIL, OneTimePurpose::ResetPassword);
        let genuine = genuine();
        for text in [
            "",
            "dwo_",
            "not a token",
            foreign.expose_secret(),
            other_purpose.expose_secret(),
            &genuine.expose_secret()[1..],
        ] {
            let setup = setup();
            let unit = recording(EventKind::VerifyEmail, EventReason::InvalidToken, None);
            let written = setup.store.plan_write(unit);

            let forged = VerifyEmail { token: SecretString::from(text.to_owned()) };
            let outcome = setup.auth().verify_email(forged, &client()).await;

            assert!(is_invalid(&outcome), "{text}: {outcome:?}");
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn a_token_that_does_nothing_changes_nothing_and_is_recorded() {
        for (case, unit) in [
            ("used", consuming(None)),
            ("no user", holding(None)),
            ("disabled", holding(Some(disabled_user()))),
            ("another address by now", verifying(false)),
        ] {
            let setup = setup();
            let undone = setup.store.plan_write(unit);
            let unit = recording(EventKind::VerifyEmail, EventReason::InvalidToken, None);
            let written = setup.store.plan_write(unit);

            let outcome = setup.auth().verify_email(request(), &client()).await;

            assert!(is_invalid(&outcome), "{case}: {outcome:?}");
            assert!(!undone.yes() && written.yes(), "{case}");
        }
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit() {
        let unit = || {
            let mut unit = verifying(true);
            expect_event(&mut unit, EventKind::VerifyEmail, None, (Some(USER_ID), None));
            unit
        };
        let setup = setup();
        setup.store.plan_collision(unit());
        let written = setup.store.plan_write(unit());

        setup.auth().verify_email(request(), &client()).await.unwrap();

        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_failing_database_is_not_the_token_s_fault() {
        let mut unit = MockUnit::default();
        let consume = unit.one_time_tokens.expect_consume().times(1);
        consume.returning(|_, _, _| Err(StoreError::Unavailable("gone".into())));
        let setup = setup();
        let undone = setup.store.plan_write(unit);

        let outcome = setup.auth().verify_email(request(), &client()).await;

        let unavailable = matches!(outcome, Err(OneTimeTokenError::Fault(Fault::Store(StoreError::Unavailable(_)))));
        assert!(unavailable, "{outcome:?}");
        assert!(!undone.yes());
    }

    /// A unit in which the address has a mail left or not, and what was asked for and queued in it.
    fn allowing(to: &EmailAddress, allowed: bool) -> (MockUnit, Seen<Allowance>, Seen<Mail>) {
        let (asked, queued) = (Seen::default(), Seen::default());
        let mut unit = MockUnit::default();
        let (seen, to) = (asked.clone(), to.clone());
        unit.outbox.expect_take_allowance().returning(move |address, allowance, now, since| {
            assert_eq!(*address, to);
            assert_eq!((now, since), (NOW, NOW.minus(Duration::from_hours(1))));
            seen.note(allowance);
            Ok(allowed)
        });
        if allowed {
            let seen = queued.clone();
            unit.outbox.expect_push().times(1).returning(move |mail| {
                seen.note(mail.clone());
                Ok(())
            });
        }
        (unit, asked, queued)
    }

    #[pollster::test]
    async fn another_mail_is_queued_without_looking_who_has_the_address() {
        // The units expect no look at any user: a repository that is asked fails the test.
        for to in ["ada@example.com", "nobody@example.com"] {
            let to = EmailAddress::parse(to).unwrap();
            let (mut unit, asked, queued) = allowing(&to, true);
            expect_event(&mut unit, EventKind::VerifyEmailRequest, None, (None, None));
            let setup = setup();
            let written = setup.store.plan_write(unit);

            setup.auth().resend_verification(ResendVerification { email: to.clone() }, &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(asked.all(), [Allowance::Requested]);
            let mail = queued.only();
            assert_eq!((mail.kind, &mail.to, mail.user_id), (MailKind::VerifyEmail, &to, None));
            assert_eq!((mail.created_at, mail.attempts), (NOW, 0));
            assert_eq!(mail.client, Client { request_id: None, ..client() });
        }
    }

    #[pollster::test]
    async fn beyond_its_allowance_an_address_gets_no_mail_and_the_event_says_so() {
        let (mut unit, asked, queued) = allowing(&email(), false);
        expect_event(&mut unit, EventKind::VerifyEmailRequest, Some(EventReason::MailLimit), (None, None));
        let setup = setup();
        let written = setup.store.plan_write(unit);

        setup.auth().resend_verification(ResendVerification { email: email() }, &client()).await.unwrap();

        assert!(written.yes());
        assert_eq!(asked.all(), [Allowance::Requested], "a request must not spend what is kept for notices");
        assert!(queued.all().is_empty());
    }
}
