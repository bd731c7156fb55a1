use doorward_domain::{Client, EndReason, EventKind};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault};

/// Why the sessions were not ended.
#[derive(Debug, Error)]
pub enum LogoutAllError {
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Ends every session of a user, the one that asks included.
    ///
    /// # Errors
    ///
    /// [`LogoutAllError::Fault`]; no session was ended then.
    pub async fn logout_all(&self, user: &CurrentUser, client: &Client) -> Result<(), LogoutAllError> {
        let now = self.now();
        retrying(|| async {
            let mut unit = self.store().write().await?;
            // A login that is under way either has begun its session by now or waits until these have ended.
            unit.users().hold(user.id()).await?;
            let ended = unit.sessions().end_all(user.id(), None, EndReason::LoggedOutEverywhere, now).await?;
            let subject = (Some(user.id()), Some(user.session_id()));
            let event = self.event(EventKind::LogoutAll, None, subject, client)?;
            unit.events().append(&event).await?;
            for session in ended {
                self.note_ended(session, now);
            }
            Ok(unit.commit().await?)
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{SessionId, User};
    use mockall::Sequence;
    use uuid::Uuid;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{
        NOW, OTHER_SESSION, REFUSED, SESSION_ID, Setup, USER_ID, access_token, client, collision, current_user,
        expect_event, has_ended, user,
    };

    const FOREIGN: SessionId = SessionId::from_uuid(Uuid::from_u128(9));

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit that holds the user and then ends these sessions.
    fn ending(held: Option<User>, sessions: Vec<SessionId>) -> MockUnit {
        let mut unit = MockUnit::default();
        let mut order = Sequence::new();
        let hold = unit.users.expect_hold().times(1).in_sequence(&mut order);
        hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
        let end = unit.sessions.expect_end_all().times(1).in_sequence(&mut order);
        let end = end.withf(|id, except, reason, now| {
            (*id, *except, *reason, *now) == (USER_ID, None, EndReason::LoggedOutEverywhere, NOW)
        });
        end.returning(move |_, _, _, _| Ok(sessions.clone()));
        unit
    }

    #[pollster::test]
    async fn every_session_ends_after_the_user_is_held() {
        let mut unit = ending(Some(user()), vec![SESSION_ID, OTHER_SESSION]);
        expect_event(&mut unit, EventKind::LogoutAll, None, (Some(USER_ID), Some(SESSION_ID)));
        let setup = setup();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        auth.logout_all(&current_user(&auth), &client()).await.unwrap();

        assert!(written.yes());
        for session in [SESSION_ID, OTHER_SESSION] {
            assert!(has_ended(&auth, session));
        }
        assert!(!has_ended(&auth, FOREIGN));
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn no_session_left_and_no_user_left_are_no_errors() {
        for held in [Some(user()), None] {
            let mut unit = ending(held, Vec::new());
            expect_event(&mut unit, EventKind::LogoutAll, None, (Some(USER_ID), Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            auth.logout_all(&current_user(&auth), &client()).await.unwrap();

            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit_and_notes_what_the_last_one_ended() {
        let unit = |sessions| {
            let mut unit = ending(Some(user()), sessions);
            expect_event(&mut unit, EventKind::LogoutAll, None, (Some(USER_ID), Some(SESSION_ID)));
            unit
        };
        let setup = setup();
        setup.store.plan_collision(unit(vec![SESSION_ID]));
        let written = setup.store.plan_write(unit(vec![SESSION_ID, OTHER_SESSION]));
        let auth = setup.auth();

        auth.logout_all(&current_user(&auth), &client()).await.unwrap();

        assert!(written.yes());
        assert!(has_ended(&auth, OTHER_SESSION));
    }

    #[pollster::test]
    async fn nothing_is_noted_when_nothing_was_written() {
        let setup = setup();
        for _ in 0..5 {
            let mut unit = MockUnit::default();
            unit.users.expect_hold().times(1).returning(|_| Err(collision()));
            setup.store.plan_write(unit);
        }
        let auth = setup.auth();

        let outcome = auth.logout_all(&current_user(&auth), &client()).await;

        assert!(matches!(outcome, Err(LogoutAllError::Fault(Fault::Store(_)))), "{outcome:?}");
        assert!(!has_ended(&auth, SESSION_ID));
    }
}
