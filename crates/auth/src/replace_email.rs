//! What confirming a change of addresses and undoing one have in common.

use doorward_domain::store::WriteUnit;
use doorward_domain::{
    EmailAddress, EndReason, OneTimePurpose, OneTimeToken, OneTimeTokenHash, StoreError, Timestamp, User,
};

use crate::{Auth, Fault};

impl Auth {
    /// Uses a token up and gives its address to its user; `None`, with nothing to be committed, where either fails.
    pub(crate) async fn redeem(
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
            unit.users().delete_unverified(&token.address, spare_used, now).await?;
        }
        let given = unit.users().change_email(user.id, &token.address, now).await?;
        Ok(given.then_some((user, token)))
    }

    /// What follows when another address takes the place of the user's.
    pub(crate) async fn replace_address(
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
        unit.sessions().forget_trusted_devices(user.id).await?;
        let ended = unit.sessions().end_all(user.id, None, EndReason::EmailChanged, now).await?;
        self.note_all_ended(&ended, now);
        Ok(())
    }
}

/// An address that another account got at the same moment is as good as one that it had before.
pub(crate) fn unless_taken(outcome: Result<bool, Fault>) -> Result<bool, Fault> {
    match outcome {
        Err(Fault::Store(StoreError::Conflict { .. })) => Ok(false),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {

    use doorward_domain::store::MockUnit;
    use doorward_domain::{EventKind, EventReason, Mail, MailKind, UserId};
    use secrecy::ExposeSecret;
    use secrecy::SecretString;

    use super::*;

    use crate::testing::{
        DAY, MailedToken, NOW, OTHER_SESSION, REFUSED, SESSION_ID, Seen, Setup, USER_ID, access_token, client,
        disabled_user, email, expect_event, has_ended, new_email, one_time_tokens, queueing, recording, user,
    };
    use crate::{ConfirmEmailChange, OneTimeTokenError, RegistrationMode, UndoEmailChange};

    const CONFIRM: OneTimePurpose = OneTimePurpose::ChangeEmail;
    const UNDO: OneTimePurpose = OneTimePurpose::UndoEmailChange;

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// The user once the address has changed.
    fn changed_user() -> User {
        User { email: new_email(), ..user() }
    }

    /// What a mail says, as far as it matters here: its kind, where it goes, and the other address.
    fn gist(mail: &Mail) -> (MailKind, EmailAddress, Option<EmailAddress>) {
        assert_eq!(mail.user_id, Some(USER_ID));
        (mail.kind, mail.to.clone(), mail.other_address.clone())
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

        fn token(self) -> MailedToken {
            MailedToken::new(self.purpose(), self.change().1.as_str())
        }

        async fn with(self, auth: &Auth, token: SecretString) -> Result<(), OneTimeTokenError> {
            match self {
                Self::Confirm => auth.confirm_email_change(ConfirmEmailChange { token }, &client()).await,
                Self::Undo => auth.undo_email_change(UndoEmailChange { token }, &client()).await,
            }
        }

        /// A unit that tries to give the user the token's address.
        fn giving(self, mut given: impl FnMut() -> Result<bool, StoreError> + Send + 'static) -> MockUnit {
            let (user, address) = self.change();
            let mut unit = self.token().holding(Some(user));
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
            end.returning(|_, _, _, _| Ok(vec![SESSION_ID, OTHER_SESSION]));
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

        Act::Confirm.with(&auth, Act::Confirm.token().text()).await.unwrap();

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
        for session in [SESSION_ID, OTHER_SESSION] {
            assert!(has_ended(&auth, session));
        }
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn a_second_change_leaves_the_offer_to_undo_the_first_as_it_is() {
        // No token is issued and no mail is queued: either fails the test.
        let setup = setup();
        let written = setup.store.plan_write(confirming(&Seen::default(), true));

        Act::Confirm.with(&setup.auth(), Act::Confirm.token().text()).await.unwrap();

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

        Act::Undo.with(&auth, Act::Undo.token().text()).await.unwrap();

        assert!(written.yes());
        assert_eq!(cancelled.all(), [(USER_ID, new_email()), (USER_ID, email())]);
        assert_eq!(gist(&queued.only()), (MailKind::ResetPassword, email(), None));
        for session in [SESSION_ID, OTHER_SESSION] {
            assert!(has_ended(&auth, session));
        }
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn a_token_that_was_not_made_here_for_this_never_asks_the_database() {
        for (act, other) in [(Act::Confirm, Act::Undo), (Act::Undo, Act::Confirm)] {
            for forged in act.token().forgeries(other.purpose()) {
                let setup = setup();
                let written = setup.store.plan_write(recording(act.event(), EventReason::InvalidToken, None));

                let outcome = act.with(&setup.auth(), forged.clone()).await;

                assert!(is_invalid(&outcome), "{act:?} {}: {outcome:?}", forged.expose_secret());
                assert!(written.yes());
            }
        }
    }

    #[pollster::test]
    async fn a_token_that_does_nothing_changes_nothing_and_is_recorded() {
        let conflict = || Err(StoreError::Conflict { constraint: "users_canonical_email".to_owned() });
        for act in Act::BOTH {
            for (case, unit) in [
                ("used", act.token().consuming(false)),
                ("no user", act.token().holding(None)),
                ("disabled", act.token().holding(Some(disabled_user()))),
                ("taken before", act.giving(|| Ok(false))),
                ("taken at the same moment", act.giving(conflict)),
            ] {
                let setup = setup();
                let undone = setup.store.plan_write(unit);
                let written = setup.store.plan_write(recording(act.event(), EventReason::InvalidToken, None));
                let auth = setup.auth();

                let outcome = act.with(&auth, act.token().text()).await;

                assert!(is_invalid(&outcome), "{act:?} {case}: {outcome:?}");
                assert!(!undone.yes() && written.yes(), "{act:?} {case}");
                assert!(!has_ended(&auth, SESSION_ID), "{act:?} {case}");
            }
        }
    }

    #[pollster::test]
    async fn a_failing_database_is_not_the_token_s_fault() {
        for act in Act::BOTH {
            let setup = setup();
            let undone = setup.store.plan_write(act.giving(|| Err(StoreError::Unavailable("gone".into()))));

            let outcome = act.with(&setup.auth(), act.token().text()).await;

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

        Act::Confirm.with(&setup.auth(), Act::Confirm.token().text()).await.unwrap();

        assert!(written.yes());
        assert_eq!(cancelled.all().len(), 4, "two each for the unit that was lost and the one that stands");
    }
}
