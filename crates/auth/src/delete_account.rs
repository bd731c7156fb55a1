use doorward_domain::{Client, EndReason, EventKind, EventReason, Password};

use crate::throttle::Guess;
use crate::unit::retrying;
use crate::{Auth, CurrentUser, ReauthenticationError, Unauthenticated};

/// A wish to have no account any more.
#[derive(Clone, Debug)]
pub struct DeleteAccount {
    /// The password of the account.
    pub password: Password,
}

impl Auth {
    /// Deletes a user with everything that is theirs.
    ///
    /// The security log keeps its entries. They name the user by an id that leads to nobody from now on.
    ///
    /// # Errors
    ///
    /// [`ReauthenticationError`]; nothing was deleted then.
    pub async fn delete_account(
        &self,
        current: &CurrentUser,
        request: DeleteAccount,
        client: &Client,
    ) -> Result<(), ReauthenticationError> {
        let act = EventKind::AccountDeletion;
        let (user, checked) = self.reauthenticate(current, &request.password, act, client).await?;
        let now = self.now();
        let deleted = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(user.id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(false) };
            let ended = unit.sessions().end_all(user.id, None, EndReason::LoggedOutEverywhere, now).await?;
            unit.outbox().erase(user.id, &user.email).await?;
            // Whoever registers the address next starts anew.
            unit.throttles().clear_guesses(&Guess::Address(&user.email).key(&self.parts().throttle_keys)).await?;
            unit.users().delete(user.id, now).await?;
            let subject = (Some(user.id), Some(current.session_id()));
            unit.events().append(&self.event(act, None, subject, client)?).await?;
            self.note_all_ended(&ended, now);
            unit.commit().await?;
            Ok(true)
        })
        .await?;
        if !deleted {
            self.record(act, EventReason::CredentialChanged, (Some(user.id), None), client).await?;
            return Err(Unauthenticated.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::EventReason;
    use doorward_domain::store::MockUnit;

    use super::*;

    use crate::password::Verification;
    use crate::testing::{
        GIVEN, NOW, OTHER_SESSION, REFUSED, SESSION_ID, USER_ID, access_token, checking, client, current_user,
        disabled_user, email, expect_event, has_ended, holding_checked, password, proven, recording, user,
    };

    fn request() -> DeleteAccount {
        DeleteAccount { password: password(GIVEN) }
    }

    /// A unit that deletes the user with everything that is theirs.
    fn deleting() -> MockUnit {
        let mut unit = holding_checked(Some(user()));
        let end = unit.sessions.expect_end_all().times(1);
        let end = end.withf(|id, except, reason, now| {
            (*id, *except, *reason, *now) == (USER_ID, None, EndReason::LoggedOutEverywhere, NOW)
        });
        end.returning(|_, _, _, _| Ok(vec![SESSION_ID, OTHER_SESSION]));
        let erase = unit.outbox.expect_erase().times(1);
        erase.withf(|id, address| *id == USER_ID && *address == email()).returning(|_, _| Ok(()));
        let delete = unit.users.expect_delete().times(1);
        delete.withf(|id, now| (*id, *now) == (USER_ID, NOW)).returning(|_, _| Ok(true));
        expect_event(&mut unit, EventKind::AccountDeletion, None, (Some(USER_ID), Some(SESSION_ID)));
        unit
    }

    #[pollster::test]
    async fn a_deletion_takes_the_user_their_mails_and_their_sessions_in_one_unit() {
        let setup = proven();
        let written = setup.store.plan_write(deleting());
        let auth = setup.auth();

        auth.delete_account(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
        for session in [SESSION_ID, OTHER_SESSION] {
            assert!(has_ended(&auth, session));
        }
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn a_wrong_password_deletes_nothing_and_counts_as_a_failure() {
        let setup = checking(Verification::Wrong);
        let mut unit = recording(EventKind::AccountDeletion, EventReason::WrongPassword, Some(USER_ID));
        unit.credentials.expect_note_failure().times(1).withf(|id| *id == USER_ID).returning(|_| Ok(()));
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.delete_account(&current_user(&auth), request(), &client()).await;

        assert!(matches!(outcome, Err(ReauthenticationError::InvalidCredentials)), "{outcome:?}");
        assert!(written.yes());
        assert!(!has_ended(&auth, SESSION_ID));
    }

    #[pollster::test]
    async fn a_password_that_changed_while_it_was_checked_deletes_nothing() {
        for held in [None, Some(disabled_user())] {
            let setup = proven();
            let undone = setup.store.plan_write(holding_checked(held));
            let refusal = recording(EventKind::AccountDeletion, EventReason::CredentialChanged, Some(USER_ID));
            let recorded = setup.store.plan_write(refusal);
            let auth = setup.auth();

            let outcome = auth.delete_account(&current_user(&auth), request(), &client()).await;

            assert!(matches!(outcome, Err(ReauthenticationError::Unauthenticated(_))), "{outcome:?}");
            assert!(!undone.yes() && recorded.yes());
            assert!(!has_ended(&auth, SESSION_ID));
        }
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit() {
        let setup = proven();
        setup.store.plan_collision(deleting());
        let written = setup.store.plan_write(deleting());
        let auth = setup.auth();

        auth.delete_account(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
    }
}
