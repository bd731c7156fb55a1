use doorward_domain::{Client, EmailAddress, EventKind, MailKind, OneTimePurpose};
use secrecy::SecretString;

use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::{Auth, OneTimeTokenError, Proof, ProofError, ProofPurpose};

/// A wish for another mail that verifies an address.
#[derive(Clone, Debug)]
pub struct ResendVerification {
    /// The address.
    pub email: EmailAddress,
    /// The proof of work, where one is asked for. It is that of a reset: what is asked for is a mail.
    pub proof: Option<Proof>,
}

/// A claim to read mail at an address.
#[derive(Clone, Debug)]
pub struct VerifyEmail {
    /// The token of the mail.
    pub token: SecretString,
}

impl Auth {
    /// Queues another mail that verifies an address, should it belong to an account that needs it.
    ///
    /// Does not look whether there is such an account: that is found out when the mail is delivered, so the
    /// answer and its time are the same whoever is asked for (ASVS 6.3.8).
    ///
    /// # Errors
    ///
    /// [`ProofError`]; nothing was queued then.
    pub async fn resend_verification(&self, request: ResendVerification, client: &Client) -> Result<(), ProofError> {
        self.demand_proof(ProofPurpose::ResetPassword, request.proof.as_ref()).await?;
        self.request_mail(MailKind::VerifyEmail, EventKind::VerifyEmailRequest, &request.email, client).await?;
        Ok(())
    }

    /// Notes that the owner of an account reads mail at its address.
    ///
    /// # Errors
    ///
    /// [`OneTimeTokenError::InvalidToken`], in the security log by then.
    pub async fn verify_email(&self, request: VerifyEmail, client: &Client) -> Result<(), OneTimeTokenError> {
        const PURPOSE: OneTimePurpose = OneTimePurpose::VerifyEmail;
        self.take_for_client(ByClient::Token, EventKind::VerifyEmail, client).await?;
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
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::{Allowance, MockUnit};
    use doorward_domain::{EventReason, Mail, StoreError, User};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::testing::{
        MailedToken, NOW, Seen, Setup, USER_ID, client, disabled_user, email, expect_event, queueing, recording, user,
    };
    use crate::{Fault, RegistrationMode};

    const PURPOSE: OneTimePurpose = OneTimePurpose::VerifyEmail;

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn request() -> VerifyEmail {
        VerifyEmail { token: token().text() }
    }

    /// It was sent to another spelling of the user's address.
    fn token() -> MailedToken {
        MailedToken::new(PURPOSE, "Ada@example.com")
    }

    /// A unit that finds the token's address to be the user's still, or not.
    fn verifying(still_theirs: bool) -> MockUnit {
        let mut unit = token().holding(Some(User { email_verified_at: None, ..user() }));
        let verify = unit.users.expect_verify_email().times(1);
        let verify =
            verify.withf(|id, address, now| *id == USER_ID && *address == token().row().address && *now == NOW);
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
        for text in token().forgeries(OneTimePurpose::ResetPassword) {
            let setup = setup();
            let unit = recording(EventKind::VerifyEmail, EventReason::InvalidToken, None);
            let written = setup.store.plan_write(unit);

            let forged = VerifyEmail { token: text.clone() };
            let outcome = setup.auth().verify_email(forged, &client()).await;

            assert!(is_invalid(&outcome), "{}: {outcome:?}", text.expose_secret());
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn a_token_that_does_nothing_changes_nothing_and_is_recorded() {
        for (case, unit) in [
            ("used", token().consuming(false)),
            ("no user", token().holding(None)),
            ("disabled", token().holding(Some(disabled_user()))),
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
            queueing(&mut unit, &queued);
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

            setup
                .auth()
                .resend_verification(ResendVerification { email: to.clone(), proof: None }, &client())
                .await
                .unwrap();

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

        setup.auth().resend_verification(ResendVerification { email: email(), proof: None }, &client()).await.unwrap();

        assert!(written.yes());
        assert_eq!(asked.all(), [Allowance::Requested], "a request must not spend what is kept for notices");
        assert!(queued.all().is_empty());
    }
}
