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
        if !asked {
            self.record(act, EventReason::CredentialChanged, Some(user.id), client).await?;
            return Err(Unauthenticated.into());
        }
        Ok(())
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
        if user.email.canonical() != token.address.canonical() {
            // Registering an address does not keep it from whoever reads its mail, and least of all from whoever had
            // it before.
            let spare_used = purpose != OneTimePurpose::UndoEmailChange;
            unit.users().delete_unverified(&token.address, spare_used).await?;
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::{Allowance, MockUnit};
    use doorward_domain::{MailId, SessionId, UserId};
    use secrecy::ExposeSecret;
    use uuid::Uuid;

    use super::*;
    use crate::password::Verification;
    use crate::testing::{
        CountingEntropy, DAY, NOW, SESSION_ID, Seen, Setup, USER_ID, VERSION, access_token, client, credential,
        current_user, disabled_user, email, expect_event, one_time_tokens, password, recording, user,
    };
    use crate::{MasterKey, OneTimeTokens, RegistrationMode};

    const MAIL: MailId = MailId::from_uuid(Uuid::from_u128(7));
    const OTHER: SessionId = SessionId::from_uuid(Uuid::from_u128(8));
    const CONFIRM: OneTimePurpose = OneTimePurpose::ChangeEmail;
    const UNDO: OneTimePurpose = OneTimePurpose::UndoEmailChange;

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn new_email() -> EmailAddress {
        EmailAddress::parse("ada@new.example").unwrap()
    }

    /// The user once the address has changed.
    fn changed_user() -> User {
        User { email: new_email(), ..user() }
    }

    fn request() -> ChangeEmail {
        ChangeEmail { email: new_email(), password: password("correct horse battery staple") }
    }

    /// A service in which the password is found to be this.
    fn checking(found: Verification) -> Setup {
        let mut setup = setup();
        let mut unit = MockUnit::default();
        let find = unit.users.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(|_| Ok(Some(user())));
        let find = unit.credentials.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(|_| Ok(Some(credential())));
        setup.store.plan_read(unit);
        setup.hasher.expect_verify().times(1).returning(move |given, _| {
            assert_eq!(given.expose(), "correct horse battery staple");
            Ok(found.clone())
        });
        setup
    }

    fn proven() -> Setup {
        checking(Verification::Right { upgraded: None })
    }

    /// A unit in which the password is still what it was, provided that there is a user.
    fn holding(user: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        let hold = unit.credentials.expect_hold().times(1);
        hold.withf(|id, version| (*id, *version) == (USER_ID, VERSION)).returning(move |_, _| Ok(user.clone()));
        unit
    }

    /// What a mail says, as far as it matters here: its kind, where it goes, and the other address.
    fn gist(mail: &Mail) -> (MailKind, EmailAddress, Option<EmailAddress>) {
        assert_eq!(mail.user_id, Some(USER_ID));
        (mail.kind, mail.to.clone(), mail.other_address.clone())
    }

    /// Has the unit queue mails, for the test to look at.
    fn queueing(unit: &mut MockUnit, queued: &Seen<Mail>) {
        let seen = queued.clone();
        unit.outbox.expect_push().returning(move |mail| {
            seen.note(mail.clone());
            Ok(())
        });
    }

    #[pollster::test]
    async fn the_new_address_gets_a_link_and_the_old_one_is_told() {
        let queued = Seen::default();
        let mut unit = holding(Some(user()));
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
        let mut unit = holding(Some(user()));
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
            let undone = setup.store.plan_write(holding(held));
            let refusal = recording(EventKind::EmailChangeRequest, EventReason::CredentialChanged, Some(USER_ID));
            let recorded = setup.store.plan_write(refusal);
            let auth = setup.auth();

            let outcome = auth.change_email(&current_user(&auth), request(), &client()).await;

            assert!(matches!(outcome, Err(ReauthenticationError::Unauthenticated(_))), "{outcome:?}");
            assert!(!undone.yes() && recorded.yes());
        }
    }

    /// What a mailed token does.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Confirm,
        Undo,
    }

    impl Act {
        const BOTH: [Self; 2] = [Self::Confirm, Self::Undo];

        fn purpose(self) -> OneTimePurpose {
            match self {
                Self::Confirm => CONFIRM,
                Self::Undo => UNDO,
            }
        }

        fn event(self) -> EventKind {
            match self {
                Self::Confirm => EventKind::EmailChange,
                Self::Undo => EventKind::EmailChangeUndo,
            }
        }

        /// Who has the account before, and which address the token gives it.
        fn change(self) -> (User, EmailAddress) {
            match self {
                Self::Confirm => (user(), new_email()),
                Self::Undo => (changed_user(), email()),
            }
        }

        fn genuine(self) -> SecretString {
            one_time_tokens().text(MAIL, self.purpose())
        }

        /// What the database knows of the token.
        fn token(self) -> OneTimeToken {
            OneTimeToken {
                mail_id: MAIL,
                user_id: USER_ID,
                purpose: self.purpose(),
                hash: one_time_tokens().hash(MAIL, self.purpose()),
                address: self.change().1,
                expires_at: NOW.plus(DAY),
            }
        }

        async fn with(self, auth: &Auth, token: SecretString) -> Result<(), OneTimeTokenError> {
            match self {
                Self::Confirm => auth.confirm_email_change(ConfirmEmailChange { token }, &client()).await,
                Self::Undo => auth.undo_email_change(UndoEmailChange { token }, &client()).await,
            }
        }

        /// A unit that uses the token up, provided that there is one.
        fn consuming(self, found: Option<OneTimeToken>) -> MockUnit {
            let mut unit = MockUnit::default();
            let consume = unit.one_time_tokens.expect_consume().times(1);
            let consume = consume
                .withf(move |purpose, hash, now| (*purpose, *hash, *now) == (self.purpose(), self.token().hash, NOW));
            consume.returning(move |_, _, _| Ok(found.clone()));
            unit
        }

        /// A unit that uses the token up and holds its user.
        fn holding(self, held: Option<User>) -> MockUnit {
            let mut unit = self.consuming(Some(self.token()));
            let hold = unit.users.expect_hold().times(1);
            hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
            unit
        }

        /// A unit that tries to give the user the token's address.
        fn giving(self, mut given: impl FnMut() -> Result<bool, StoreError> + Send + 'static) -> MockUnit {
            let (user, address) = self.change();
            let mut unit = self.holding(Some(user));
            let change = unit.users.expect_change_email().times(1);
            let change = change.withf(move |id, to, now| *id == USER_ID && *to == address && *now == NOW);
            change.returning(move |_, _, _| given());
            unit
        }

        /// A unit that gives the user the address, and ends what goes with the other: every session, every mailed
        /// token but this, and the mails to either address that would carry one.
        fn replacing(self, spared: Option<OneTimePurpose>, cancelled: &Seen<(UserId, EmailAddress)>) -> MockUnit {
            let mut unit = self.giving(|| Ok(true));
            let revoke = unit.one_time_tokens.expect_revoke_all().times(1);
            let revoke = revoke.withf(move |id, except, now| (*id, *except, *now) == (USER_ID, spared, NOW));
            revoke.returning(|_, _, _| Ok(()));
            let seen = cancelled.clone();
            unit.outbox.expect_cancel().times(2).returning(move |id, address| {
                seen.note((id, address.clone()));
                Ok(())
            });
            let end = unit.sessions.expect_end_all().times(1);
            let end = end.withf(|id, except, reason, now| {
                (*id, *except, *reason, *now) == (USER_ID, None, EndReason::EmailChanged, NOW)
            });
            end.returning(|_, _, _, _| Ok(vec![SESSION_ID, OTHER]));
            // What is written to an address that was just given or taken is due whatever it was mailed before.
            unit.outbox.expect_take_allowance().returning(|_, _, _, _| panic!("an allowance was asked for"));
            expect_event(&mut unit, self.event(), None, (Some(USER_ID), None));
            unit
        }
    }

    /// A unit that confirms the change and finds an offer to undo one, or not.
    fn confirming(cancelled: &Seen<(UserId, EmailAddress)>, outstanding: bool) -> MockUnit {
        let mut unit = Act::Confirm.replacing(Some(UNDO), cancelled);
        let ask = unit.one_time_tokens.expect_is_outstanding().times(1);
        let ask = ask.withf(|id, purpose, now| (*id, *purpose, *now) == (USER_ID, UNDO, NOW));
        ask.returning(move |_, _, _| Ok(outstanding));
        unit
    }

    fn is_invalid(outcome: &Result<(), OneTimeTokenError>) -> bool {
        matches!(outcome, Err(OneTimeTokenError::InvalidToken))
    }

    #[pollster::test]
    async fn a_confirmed_address_takes_the_old_one_s_place_whose_owner_can_undo_it_for_a_week() {
        let (cancelled, issued, queued) = (Seen::default(), Seen::<OneTimeToken>::default(), Seen::default());
        let mut unit = confirming(&cancelled, false);
        let seen = issued.clone();
        unit.one_time_tokens.expect_issue().times(1).returning(move |token| {
            seen.note(token.clone());
            Ok(true)
        });
        queueing(&mut unit, &queued);
        let setup = setup();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        Act::Confirm.with(&auth, Act::Confirm.genuine()).await.unwrap();

        assert!(written.yes());
        assert_eq!(cancelled.all(), [(USER_ID, email()), (USER_ID, new_email())]);
        let mail = queued.only();
        assert_eq!(gist(&mail), (MailKind::EmailChanged, email(), Some(new_email())));
        let expected = OneTimeToken {
            mail_id: mail.id,
            user_id: USER_ID,
            purpose: UNDO,
            hash: one_time_tokens().hash(mail.id, UNDO),
            address: email(),
            expires_at: NOW.plus(7 * DAY),
        };
        assert_eq!(issued.only(), expected);
        for session in [SESSION_ID, OTHER] {
            assert!(auth.parts().ended_sessions.has_ended(session));
        }
        assert_eq!(auth.authenticate(&access_token()), Err(Unauthenticated));
    }

    #[pollster::test]
    async fn a_second_change_leaves_the_offer_to_undo_the_first_as_it_is() {
        // No token is issued and no mail is queued: either fails the test.
        let setup = setup();
        let written = setup.store.plan_write(confirming(&Seen::default(), true));

        Act::Confirm.with(&setup.auth(), Act::Confirm.genuine()).await.unwrap();

        assert!(written.yes());
    }

    #[pollster::test]
    async fn an_undone_change_gives_the_address_back_and_leaves_no_password_the_right_one() {
        let (cancelled, queued) = (Seen::default(), Seen::default());
        let mut unit = Act::Undo.replacing(None, &cancelled);
        unit.credentials.expect_remove().times(1).withf(|id| *id == USER_ID).returning(|_| Ok(()));
        queueing(&mut unit, &queued);
        let setup = setup();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        Act::Undo.with(&auth, Act::Undo.genuine()).await.unwrap();

        assert!(written.yes());
        assert_eq!(cancelled.all(), [(USER_ID, new_email()), (USER_ID, email())]);
        assert_eq!(gist(&queued.only()), (MailKind::ResetPassword, email(), None));
        for session in [SESSION_ID, OTHER] {
            assert!(auth.parts().ended_sessions.has_ended(session));
        }
        assert_eq!(auth.authenticate(&access_token()), Err(Unauthenticated));
    }

    #[pollster::test]
    async fn a_token_that_was_not_made_here_for_this_never_asks_the_database() {
        let other_key = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        for (act, other) in [(Act::Confirm, Act::Undo), (Act::Undo, Act::Confirm)] {
            let foreign = OneTimeTokens::new(&other_key).text(MAIL, act.purpose());
            let (genuine, other_purpose) = (act.genuine(), other.genuine());
            for text in [
                "",
                "dwo_",
                "not a token",
                foreign.expose_secret(),
                other_purpose.expose_secret(),
                &genuine.expose_secret()[1..],
            ] {
                let setup = setup();
                let written = setup.store.plan_write(recording(act.event(), EventReason::InvalidToken, None));

                let outcome = act.with(&setup.auth(), SecretString::from(text.to_owned())).await;

                assert!(is_invalid(&outcome), "{act:?} {text}: {outcome:?}");
                assert!(written.yes());
            }
        }
    }

    #[pollster::test]
    async fn a_token_that_does_nothing_changes_nothing_and_is_recorded() {
        let conflict = || Err(StoreError::Conflict { constraint: "users_canonical_email".to_owned() });
        for act in Act::BOTH {
            for (case, unit) in [
                ("used", act.consuming(None)),
                ("no user", act.holding(None)),
                ("disabled", act.holding(Some(disabled_user()))),
                ("taken before", act.giving(|| Ok(false))),
                ("taken at the same moment", act.giving(conflict)),
            ] {
                let setup = setup();
                let undone = setup.store.plan_write(unit);
                let written = setup.store.plan_write(recording(act.event(), EventReason::InvalidToken, None));
                let auth = setup.auth();

                let outcome = act.with(&auth, act.genuine()).await;

                assert!(is_invalid(&outcome), "{act:?} {case}: {outcome:?}");
                assert!(!undone.yes() && written.yes(), "{act:?} {case}");
                assert!(!auth.parts().ended_sessions.has_ended(SESSION_ID), "{act:?} {case}");
            }
        }
    }

    #[pollster::test]
    async fn a_failing_database_is_not_the_token_s_fault() {
        for act in Act::BOTH {
            let setup = setup();
            let undone = setup.store.plan_write(act.giving(|| Err(StoreError::Unavailable("gone".into()))));

            let outcome = act.with(&setup.auth(), act.genuine()).await;

            let unavailable =
                matches!(outcome, Err(OneTimeTokenError::Fault(Fault::Store(StoreError::Unavailable(_)))));
            assert!(unavailable, "{act:?}: {outcome:?}");
            assert!(!undone.yes());
        }
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit() {
        let cancelled = Seen::default();
        let setup = setup();
        setup.store.plan_collision(confirming(&cancelled, true));
        let written = setup.store.plan_write(confirming(&cancelled, true));

        Act::Confirm.with(&setup.auth(), Act::Confirm.genuine()).await.unwrap();

        assert!(written.yes());
        assert_eq!(cancelled.all().len(), 4, "two each for the unit that was lost and the one that stands");
    }
}
