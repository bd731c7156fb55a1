use doorward_domain::{
    Client, EmailAddress, EndReason, EventKind, MailKind, OneTimePurpose, OneTimeTokenHash, Password,
    PasswordHashString, PasswordRefused, User,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::new_password::Kept;
use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::{Auth, DeviceToken, Fault, OneTimeTokenError, Proof, ProofError, ProofPurpose};

/// A wish for a mail that lets its reader set a new password.
#[derive(Clone, Debug)]
pub struct RequestPasswordReset {
    /// The address of the account.
    pub email: EmailAddress,
    /// The proof of work, where one is asked for.
    pub proof: Option<Proof>,
}

/// A new password for an account whose mail one reads.
#[derive(Clone, Debug)]
pub struct ResetPassword {
    /// The token of the mail.
    pub token: SecretString,
    /// The password to set.
    pub password: Password,
    /// What an earlier log-in from this device was given to be known again.
    pub device: Option<SecretString>,
}

/// Why the password was not reset.
#[derive(Debug, Error)]
pub enum ResetPasswordError {
    /// The token does nothing.
    #[error("the token is not valid")]
    InvalidToken,
    /// The password cannot be set; the token can still be used.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<OneTimeTokenError> for ResetPasswordError {
    fn from(error: OneTimeTokenError) -> Self {
        match error {
            OneTimeTokenError::InvalidToken => Self::InvalidToken,
            OneTimeTokenError::Fault(fault) => Self::Fault(fault),
        }
    }
}

const PURPOSE: OneTimePurpose = OneTimePurpose::ResetPassword;

impl Auth {
    /// Queues a mail that lets the owner of an address set a new password, should the address have an account.
    ///
    /// Does not look whether it has: that is found out when the mail is delivered, so the answer and its time are
    /// the same whoever is asked for (ASVS 6.3.8).
    ///
    /// # Errors
    ///
    /// [`ProofError`]; nothing was queued then.
    pub async fn request_password_reset(
        &self,
        request: RequestPasswordReset,
        client: &Client,
    ) -> Result<(), ProofError> {
        self.demand_proof(ProofPurpose::ResetPassword, request.proof.as_ref()).await?;
        self.request_mail(MailKind::ResetPassword, EventKind::PasswordResetRequest, &request.email, client).await?;
        Ok(())
    }

    /// Sets a new password. Ends every session of the user and every other mailed token but the one that undoes a
    /// change of addresses: whoever took an account over by its address must not be able to destroy that.
    ///
    /// Who reads the mail has proved that the address is theirs, so it counts as verified, and their device is known from
    /// now on and no other: however many strangers guess, who reads their mail gets in. Gives what the device is known by.
    ///
    /// # Errors
    ///
    /// [`ResetPasswordError`]. A refused token is in the security log by then.
    pub async fn reset_password(
        &self,
        request: ResetPassword,
        client: &Client,
    ) -> Result<DeviceToken, ResetPasswordError> {
        self.take_for_client(ByClient::Token, EventKind::PasswordReset, client).await?;
        let Some(token) = self.parts().one_time_tokens.recognise(&request.token, PURPOSE) else {
            return Ok(self.refuse_token(EventKind::PasswordReset, client).await?);
        };
        // Nothing is hashed for a token that is no longer any good.
        let Some(user) = self.user_of_token(&token).await? else {
            return Ok(self.refuse_token(EventKind::PasswordReset, client).await?);
        };
        self.check_new_password(&request.password, &user.email).await??;
        let hash = self.parts().hasher.hash(&request.password).await.map_err(Fault::from)?;
        let device = request.device.as_ref().and_then(|text| self.parts().device_tokens.recognise(text));
        let device = self.device_or_new(device)?;
        if self.set_by_token(&token, hash, &device, client).await? {
            Ok(device)
        } else {
            Ok(self.refuse_token(EventKind::PasswordReset, client).await?)
        }
    }

    async fn user_of_token(&self, token: &OneTimeTokenHash) -> Result<Option<User>, Fault> {
        let mut unit = self.store().read().await?;
        let Some(token) = unit.one_time_tokens().find(PURPOSE, token, self.now()).await? else { return Ok(None) };
        Ok(unit.users().find(token.user_id).await?.filter(|user| !user.disabled()))
    }

    async fn set_by_token(
        &self,
        token: &OneTimeTokenHash,
        hash: PasswordHashString,
        device: &DeviceToken,
        client: &Client,
    ) -> Result<bool, Fault> {
        let now = self.now();
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let Some(token) = unit.one_time_tokens().consume(PURPOSE, token, now).await? else { return Ok(false) };
            let Some(user) = unit.users().hold(token.user_id).await?.filter(|user| !user.disabled()) else {
                return Ok(false);
            };
            if !unit.users().verify_email(user.id, &token.address, now).await? {
                return Ok(false);
            }
            let credential = self.new_credential(user.id, hash.clone())?;
            let (reason, kept) = (EndReason::PasswordReset, Kept { session: None, device });
            self.replace_password(&mut *unit, &user, &credential, reason, kept, client).await?;
            let event = self.event(EventKind::PasswordReset, None, (Some(user.id), None), client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(true)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_domain::store::{Allowance, MockUnit};
    use doorward_domain::{EventReason, Mail, PasswordCredential, SessionId};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::password::{HashingError, MockPasswordScreen};
    use crate::proof_of_work::tests::{EASY, solve, spending};
    use crate::testing::{
        MailedToken, NOW, OTHER_SESSION, SESSION_ID, Seen, Setup, USER_ID, VERSION, client, disabled_user, email,
        expect_event, expect_new_password, has_ended, hash, password, queueing, recording, screen_that_is_down, user,
    };
    use crate::{RegistrationMode, ResendVerification};

    const PASSWORD: &str = "correct horse battery staple";

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn request() -> ResetPassword {
        ResetPassword { token: token().text(), password: password(PASSWORD), device: None }
    }

    /// It was sent to another spelling of the user's address.
    fn token() -> MailedToken {
        MailedToken::new(PURPOSE, "Ada@example.com")
    }

    /// A unit that looks for the token, which is good, and for its user.
    fn looking_for_user(found: Option<User>) -> MockUnit {
        let mut unit = token().looking(true);
        let find = unit.users.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(move |_| Ok(found.clone()));
        unit
    }

    /// A service in which the token of this user is good and one password is hashed, while no unit is open.
    fn hashing(user: User) -> Setup {
        let mut setup = setup();
        setup.store.plan_read(looking_for_user(Some(user)));
        let store = Arc::clone(&setup.store);
        setup.hasher.expect_hash().times(1).returning(move |given| {
            assert_eq!(given.expose(), PASSWORD);
            assert!(!store.in_use(), "a unit is open while a password is hashed");
            Ok(hash("a new hash"))
        });
        setup
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

    /// A unit that sets the password and does everything that belongs to it; ends these sessions.
    fn setting(credentials: &Seen<PasswordCredential>, mails: &Seen<Mail>, sessions: Vec<SessionId>) -> MockUnit {
        let mut unit = verifying(true);
        expect_new_password(&mut unit, (EndReason::PasswordReset, None), sessions, credentials, mails);
        expect_event(&mut unit, EventKind::PasswordReset, None, (Some(USER_ID), None));
        unit
    }

    fn refusal() -> MockUnit {
        recording(EventKind::PasswordReset, EventReason::InvalidToken, None)
    }

    fn is_invalid(outcome: &Result<DeviceToken, ResetPasswordError>) -> bool {
        matches!(outcome, Err(ResetPasswordError::InvalidToken))
    }

    #[pollster::test]
    async fn a_reset_sets_the_password_and_ends_everything_that_came_of_the_old_one() {
        let (credentials, mails) = (Seen::default(), Seen::default());
        let setup = hashing(user());
        let written = setup.store.plan_write(setting(&credentials, &mails, vec![SESSION_ID, OTHER_SESSION]));
        let auth = setup.auth();

        auth.reset_password(request(), &client()).await.unwrap();

        assert!(written.yes());
        let credential = credentials.only();
        assert_eq!((credential.user_id, credential.hash), (USER_ID, hash("a new hash")));
        assert_ne!(credential.version, VERSION);
        let mail = mails.only();
        assert_eq!((mail.kind, mail.to, mail.user_id), (MailKind::PasswordChanged, email(), Some(USER_ID)));
        for session in [SESSION_ID, OTHER_SESSION] {
            assert!(has_ended(&auth, session));
        }
    }

    #[pollster::test]
    async fn a_token_that_was_not_made_here_for_this_never_asks_the_database_and_hashes_nothing() {
        for text in token().forgeries(OneTimePurpose::VerifyEmail) {
            let setup = setup();
            let written = setup.store.plan_write(refusal());

            let forged = ResetPassword { token: text.clone(), ..request() };
            let outcome = setup.auth().reset_password(forged, &client()).await;

            assert!(is_invalid(&outcome), "{}: {outcome:?}", text.expose_secret());
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn nothing_is_hashed_for_a_token_that_is_no_longer_any_good() {
        for (case, unit) in [("used", token().looking(false)), ("no user", looking_for_user(None))] {
            let setup = setup();
            setup.store.plan_read(unit);
            let written = setup.store.plan_write(refusal());

            let outcome = setup.auth().reset_password(request(), &client()).await;

            assert!(is_invalid(&outcome), "{case}: {outcome:?}");
            assert!(written.yes(), "{case}");
        }
    }

    #[pollster::test]
    async fn a_refused_password_is_not_hashed_and_leaves_the_token_as_it_was() {
        for (text, refused) in [
            ("1234567", PasswordRefused::TooShort { min_length: 8 }),
            ("ada@example.com", PasswordRefused::ContainsContext),
            ("a common one", PasswordRefused::TooCommon),
        ] {
            let mut setup = setup();
            setup.screen = MockPasswordScreen::new();
            setup.screen.expect_is_common().returning(|password| Ok(password.expose() == "a common one"));
            // No unit is opened for writing, so nothing can use the token up.
            setup.store.plan_read(looking_for_user(Some(user())));

            let wish = ResetPassword { password: password(text), ..request() };
            let outcome = setup.auth().reset_password(wish, &client()).await;

            let Err(ResetPasswordError::PasswordRefused(reason)) = outcome else { panic!("{text}: {outcome:?}") };
            assert_eq!(reason, refused, "{text}");
        }
    }

    #[pollster::test]
    async fn a_screen_that_is_down_hashes_nothing_and_leaves_the_token_as_it_was() {
        let mut setup = setup();
        setup.screen = screen_that_is_down();
        setup.store.plan_read(looking_for_user(Some(user())));

        let outcome = setup.auth().reset_password(request(), &client()).await;

        assert!(matches!(outcome, Err(ResetPasswordError::Fault(Fault::Screen(_)))), "{outcome:?}");
    }

    #[pollster::test]
    async fn what_changed_while_the_password_was_hashed_refuses_the_token() {
        for (case, unit) in [
            ("used", token().consuming(false)),
            ("no user", token().holding(None)),
            ("disabled", token().holding(Some(disabled_user()))),
            ("another address by now", verifying(false)),
        ] {
            let setup = hashing(user());
            let undone = setup.store.plan_write(unit);
            let written = setup.store.plan_write(refusal());
            let auth = setup.auth();

            let outcome = auth.reset_password(request(), &client()).await;

            assert!(is_invalid(&outcome), "{case}: {outcome:?}");
            assert!(!undone.yes() && written.yes(), "{case}");
            assert!(!has_ended(&auth, SESSION_ID), "{case}");
        }
    }

    #[pollster::test]
    async fn a_disabled_account_gets_no_password() {
        let setup = setup();
        setup.store.plan_read(looking_for_user(Some(disabled_user())));
        let written = setup.store.plan_write(refusal());

        let outcome = setup.auth().reset_password(request(), &client()).await;

        assert!(is_invalid(&outcome), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn an_account_that_was_disabled_while_the_password_was_hashed_gets_none() {
        let setup = hashing(user());
        let undone = setup.store.plan_write(token().holding(Some(disabled_user())));
        let written = setup.store.plan_write(refusal());

        let outcome = setup.auth().reset_password(request(), &client()).await;

        assert!(is_invalid(&outcome), "{outcome:?}");
        assert!(!undone.yes() && written.yes());
    }

    #[pollster::test]
    async fn a_full_hashing_queue_leaves_the_token_as_it_was() {
        let mut setup = setup();
        setup.store.plan_read(looking_for_user(Some(user())));
        setup.hasher.expect_hash().times(1).returning(|_| Err(HashingError::Overloaded));

        let outcome = setup.auth().reset_password(request(), &client()).await;

        let overloaded = matches!(outcome, Err(ResetPasswordError::Fault(Fault::Hashing(HashingError::Overloaded))));
        assert!(overloaded, "{outcome:?}");
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit_and_hashes_once() {
        let (credentials, mails) = (Seen::default(), Seen::default());
        let setup = hashing(user());
        setup.store.plan_collision(setting(&credentials, &mails, vec![SESSION_ID]));
        let written = setup.store.plan_write(setting(&credentials, &mails, vec![SESSION_ID, OTHER_SESSION]));
        let auth = setup.auth();

        auth.reset_password(request(), &client()).await.unwrap();

        assert!(written.yes());
        assert_eq!(credentials.all().len(), 2);
        assert!(has_ended(&auth, OTHER_SESSION));
    }

    #[pollster::test]
    async fn a_reset_is_mailed_without_looking_who_has_the_address_and_within_its_allowance_alone() {
        // The units expect no look at any user: a repository that is asked fails the test.
        for (to, allowed) in [("ada@example.com", true), ("nobody@example.com", true), ("ada@example.com", false)] {
            let to = EmailAddress::parse(to).unwrap();
            let (asked, queued) = (Seen::<(EmailAddress, Allowance)>::default(), Seen::<Mail>::default());
            let mut unit = MockUnit::default();
            let seen = asked.clone();
            unit.outbox.expect_take_allowance().returning(move |address, allowance, _, _| {
                seen.note((address.clone(), allowance));
                Ok(allowed)
            });
            queueing(&mut unit, &queued);
            let reason = (!allowed).then_some(EventReason::MailLimit);
            expect_event(&mut unit, EventKind::PasswordResetRequest, reason, (None, None));
            let setup = setup();
            let written = setup.store.plan_write(unit);

            let request = RequestPasswordReset { email: to.clone(), proof: None };
            setup.auth().request_password_reset(request, &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(asked.all(), [(to.clone(), Allowance::Requested)]);
            let queued: Vec<_> = queued.all().into_iter().map(|mail| (mail.kind, mail.to, mail.user_id)).collect();
            let expected = if allowed { vec![(MailKind::ResetPassword, to, None)] } else { Vec::new() };
            assert_eq!(queued, expected);
        }
    }

    #[pollster::test]
    async fn without_a_proof_no_mail_is_queued_and_one_proof_is_one_mail() {
        let mut setup = setup();
        setup.settings.proofs.difficulty = Some(EASY);
        let (spent, queued) = (Seen::default(), Seen::<Mail>::default());
        for event in [EventKind::PasswordResetRequest, EventKind::VerifyEmailRequest] {
            setup.store.plan_write(spending(true, &spent));
            let mut unit = MockUnit::default();
            unit.outbox.expect_take_allowance().returning(|_, _, _, _| Ok(true));
            queueing(&mut unit, &queued);
            expect_event(&mut unit, event, None, (None, None));
            setup.store.plan_write(unit);
        }
        let auth = setup.auth();
        let reset =
            async |proof| auth.request_password_reset(RequestPasswordReset { email: email(), proof }, &client()).await;
        let resend =
            async |proof| auth.resend_verification(ResendVerification { email: email(), proof }, &client()).await;

        let Err(ProofError::Required(challenge)) = reset(None).await else { panic!("no proof was asked for") };
        reset(Some(solve(&challenge))).await.unwrap();
        let Err(ProofError::Required(challenge)) = resend(None).await else { panic!("no proof was asked for") };
        resend(Some(solve(&challenge))).await.unwrap();

        let kinds: Vec<_> = queued.all().into_iter().map(|mail| mail.kind).collect();
        assert_eq!(kinds, [MailKind::ResetPassword, MailKind::VerifyEmail]);
        assert_eq!(spent.all().len(), 2);
    }
}
