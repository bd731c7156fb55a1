use doorward_domain::{Client, EndReason, EventKind, EventReason, Session, SessionId};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault};

/// Why a session was not ended.
#[derive(Debug, Error)]
pub enum EndSessionError {
    /// The user has no such session; somebody else may.
    #[error("there is no such session")]
    NotFound,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// The user's sessions that go on, the newest first (ASVS 7.5.2).
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn sessions(&self, user: &CurrentUser) -> Result<Vec<Session>, Fault> {
        Ok(self.store().read().await?.sessions().live(user.id(), self.now()).await?)
    }

    /// Ends one of the user's own sessions. From then on its refresh tokens are refused everywhere, its access tokens
    /// here at once and elsewhere within a second.
    ///
    /// Ending a session that has ended is no error.
    ///
    /// # Errors
    ///
    /// [`EndSessionError::NotFound`] for a session that there is not and for another user's alike.
    pub async fn end_session(&self, user: &CurrentUser, id: SessionId, client: &Client) -> Result<(), EndSessionError> {
        let now = self.now();
        let subject = (Some(user.id()), Some(user.session_id()));
        let ended = retrying(|| async {
            let mut unit = self.store().write().await?;
            let found = unit.sessions().find(id).await?.filter(|session| session.user_id == user.id());
            let reason = if found.is_none() {
                Some(EventReason::UnknownSession)
            } else if unit.sessions().end(id, EndReason::EndedByUser, now).await? {
                None
            } else {
                Some(EventReason::SessionEnded)
            };
            let event = self.event(EventKind::SessionEnd, reason, subject, client)?;
            unit.events().append(&event).await?;
            if let Some(session) = &found {
                // The moment stays when it had ended before: readers of the feed have heard of it.
                self.note_ended(id, session.ended_at.unwrap_or(now));
            }
            unit.commit().await?;
            Ok(found.is_some())
        })
        .await?;
        if ended { Ok(()) } else { Err(EndSessionError::NotFound) }
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::UserId;
    use doorward_domain::store::MockUnit;
    use uuid::Uuid;

    use super::*;
    use crate::testing::{
        NOW, OTHER_SESSION, SESSION_ID, Setup, USER_ID, access_token, client, current_user, expect_event, session,
    };
    use crate::{RegistrationMode, Standing};

    const SUBJECT: (Option<UserId>, Option<SessionId>) = (Some(USER_ID), Some(SESSION_ID));

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn finding(id: SessionId, found: Option<Session>) -> MockUnit {
        let mut unit = MockUnit::default();
        let find = unit.sessions.expect_find().times(1);
        find.withf(move |asked| *asked == id).returning(move |_| Ok(found.clone()));
        unit
    }

    fn ending(id: SessionId, was_live: bool) -> MockUnit {
        let mut unit = finding(id, Some(Session { id, ..session() }));
        let end = unit.sessions.expect_end().times(1);
        let end = end.withf(move |asked, reason, now| (*asked, *reason, *now) == (id, EndReason::EndedByUser, NOW));
        end.returning(move |_, _, _| Ok(was_live));
        unit
    }

    #[pollster::test]
    async fn one_s_own_sessions_are_those_that_go_on() {
        let setup = setup();
        let mut unit = MockUnit::default();
        let live = unit.sessions.expect_live().times(1);
        live.withf(|user, now| (*user, *now) == (USER_ID, NOW)).returning(|_, _| Ok(vec![session()]));
        setup.store.plan_read(unit);
        let auth = setup.auth();
        assert_eq!(auth.sessions(&current_user(&auth)).await.unwrap(), [session()]);
    }

    #[pollster::test]
    async fn another_session_of_one_s_own_ends_and_this_one_goes_on() {
        for (was_live, reason) in [(true, None), (false, Some(EventReason::SessionEnded))] {
            let setup = setup();
            let mut unit = ending(OTHER_SESSION, was_live);
            expect_event(&mut unit, EventKind::SessionEnd, reason, SUBJECT);
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            auth.end_session(&current_user(&auth), OTHER_SESSION, &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(auth.parts().revocations.check(OTHER_SESSION, USER_ID), Standing::Ended);
            assert!(auth.authenticate(&access_token()).is_ok());
        }
    }

    #[pollster::test]
    async fn another_user_s_session_is_one_that_there_is_not() {
        let stranger = UserId::from_uuid(Uuid::from_u128(9));
        for found in [None, Some(Session { id: OTHER_SESSION, user_id: stranger, ..session() })] {
            let setup = setup();
            // A session that is ended all the same fails the test: the unit expects no such thing.
            let mut unit = finding(OTHER_SESSION, found);
            expect_event(&mut unit, EventKind::SessionEnd, Some(EventReason::UnknownSession), SUBJECT);
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            let outcome = auth.end_session(&current_user(&auth), OTHER_SESSION, &client()).await;

            assert!(matches!(outcome, Err(EndSessionError::NotFound)), "{outcome:?}");
            assert!(written.yes());
            assert_ne!(auth.parts().revocations.check(OTHER_SESSION, stranger), Standing::Ended);
        }
    }
}
