use doorward_domain::{Client, EndReason, EventKind, EventReason, SessionId, UserId};
use secrecy::SecretString;
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault, Unauthenticated};

/// A wish to end a session, shown to be one's own by either of its tokens.
#[derive(Clone, Debug)]
pub enum Logout {
    /// By an access token.
    AccessToken(SecretString),
    /// By a refresh token of any age.
    RefreshToken(SecretString),
}

/// Why no session was ended.
#[derive(Debug, Error)]
pub enum LogoutError {
    /// The access token is not valid. (A refresh token that is not valid has nothing left to end, which is no
    /// error: RFC 7009 section 2.2.)
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Ends a session. From then on its refresh tokens are refused everywhere and its access tokens here.
    ///
    /// Ending a session that has ended is no error.
    ///
    /// # Errors
    ///
    /// [`LogoutError::Unauthenticated`] when the access token is not one of this service.
    pub async fn logout(&self, request: Logout, client: &Client) -> Result<(), LogoutError> {
        let (session_id, user_id) = match request {
            Logout::AccessToken(token) => {
                let claims = self.verify_signature(&token)?;
                (claims.session_id, Some(claims.user_id))
            }
            Logout::RefreshToken(token) => match self.parts().refresh_tokens.recognise(&token) {
                Some(token) => (token.session_id(), None),
                None => {
                    return Ok(self.record(EventKind::Logout, EventReason::UnknownToken, (None, None), client).await?);
                }
            },
        };
        Ok(self.end_proven(session_id, user_id, client).await?)
    }

    async fn end_proven(&self, id: SessionId, user_id: Option<UserId>, client: &Client) -> Result<(), Fault> {
        let now = self.now();
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let ended = unit.sessions().end(id, EndReason::LoggedOut, now).await?;
            let user_id = match user_id {
                Some(user_id) => Some(user_id),
                None => unit.sessions().find(id).await?.map(|session| session.user_id),
            };
            let reason = (!ended).then_some(EventReason::SessionEnded);
            let event = self.event(EventKind::Logout, reason, (user_id, Some(id)), client)?;
            unit.events().append(&event).await?;
            self.note_ended(id, now);
            Ok(unit.commit().await?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{Session, StoreError};

    use super::*;
    use crate::testing::{
        CountingEntropy, NOW, REFUSED, SECOND, SESSION_ID, Setup, USER_ID, access_token, client, expect_event,
        has_ended, recording, refresh_tokens, session,
    };
    use crate::{RefreshTokens, RegistrationMode, RootSecret};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn refresh_token() -> SecretString {
        refresh_tokens().first(SESSION_ID, &CountingEntropy::default()).unwrap().to_text()
    }

    /// A unit in which the session ends now, or has ended before.
    fn ending(ends_now: bool) -> MockUnit {
        let mut unit = MockUnit::default();
        let end = unit.sessions.expect_end().times(1);
        let end = end.withf(|id, reason, now| (*id, *reason, *now) == (SESSION_ID, EndReason::LoggedOut, NOW));
        end.returning(move |_, _, _| Ok(ends_now));
        unit
    }

    /// Expects to be asked whose session it is.
    fn whose(unit: &mut MockUnit, session: Option<Session>) {
        let find = unit.sessions.expect_find().times(1);
        find.withf(|id| *id == SESSION_ID).returning(move |_| Ok(session.clone()));
    }

    #[pollster::test]
    async fn an_access_token_ends_its_session() {
        let mut unit = ending(true);
        expect_event(&mut unit, EventKind::Logout, None, (Some(USER_ID), Some(SESSION_ID)));
        let setup = setup();
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        auth.logout(Logout::AccessToken(access_token()), &client()).await.unwrap();

        assert!(written.yes());
        assert!(has_ended(&auth, SESSION_ID));
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn a_refresh_token_of_any_age_ends_its_session() {
        let tokens = refresh_tokens();
        let first = tokens.first(SESSION_ID, &CountingEntropy::default()).unwrap();
        for token in [tokens.successor(&first), first] {
            let mut unit = ending(true);
            whose(&mut unit, Some(session()));
            expect_event(&mut unit, EventKind::Logout, None, (Some(USER_ID), Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            auth.logout(Logout::RefreshToken(token.to_text()), &client()).await.unwrap();

            assert!(written.yes());
            assert!(has_ended(&auth, SESSION_ID));
        }
    }

    #[pollster::test]
    async fn a_session_that_has_ended_or_been_forgotten_can_be_ended_again() {
        let ended = Session { ended_at: Some(NOW.minus(SECOND)), ..session() };
        for found in [Some(ended), None] {
            let user_id = found.as_ref().map(|session| session.user_id);
            let mut unit = ending(false);
            whose(&mut unit, found);
            let reason = Some(EventReason::SessionEnded);
            expect_event(&mut unit, EventKind::Logout, reason, (user_id, Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            auth.logout(Logout::RefreshToken(refresh_token()), &client()).await.unwrap();

            assert!(written.yes());
            assert!(has_ended(&auth, SESSION_ID));
        }
    }

    #[pollster::test]
    async fn an_access_token_logs_out_twice() {
        let setup = setup();
        for (ends_now, reason) in [(true, None), (false, Some(EventReason::SessionEnded))] {
            let mut unit = ending(ends_now);
            expect_event(&mut unit, EventKind::Logout, reason, (Some(USER_ID), Some(SESSION_ID)));
            setup.store.plan_write(unit);
        }
        let auth = setup.auth();

        auth.logout(Logout::AccessToken(access_token()), &client()).await.unwrap();
        auth.logout(Logout::AccessToken(access_token()), &client()).await.unwrap();
    }

    #[pollster::test]
    async fn an_unknown_refresh_token_has_nothing_left_to_end() {
        let other_key = RootSecret::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        let foreign = RefreshTokens::new(&other_key).first(SESSION_ID, &CountingEntropy::default()).unwrap();
        for token in [foreign.to_text(), SecretString::from("not a token".to_owned())] {
            let setup = setup();
            let written = setup.store.plan_write(recording(EventKind::Logout, EventReason::UnknownToken, None));
            let auth = setup.auth();

            auth.logout(Logout::RefreshToken(token), &client()).await.unwrap();

            assert!(written.yes());
            assert!(!has_ended(&auth, SESSION_ID));
        }
    }

    #[pollster::test]
    async fn a_forged_access_token_ends_nothing_and_writes_nothing() {
        let auth = setup().auth();

        let outcome = auth.logout(Logout::AccessToken(SecretString::from("forged".to_owned())), &client()).await;

        assert!(matches!(outcome, Err(LogoutError::Unauthenticated(_))), "{outcome:?}");
        assert!(!has_ended(&auth, SESSION_ID));
    }

    #[pollster::test]
    async fn a_session_is_not_noted_as_ended_when_its_end_was_not_written() {
        let mut unit = MockUnit::default();
        unit.sessions.expect_end().times(1).returning(|_, _, _| Err(StoreError::Unavailable("gone".into())));
        let setup = setup();
        let undone = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.logout(Logout::AccessToken(access_token()), &client()).await;

        assert!(matches!(outcome, Err(LogoutError::Fault(_))), "{outcome:?}");
        assert!(!undone.yes());
        assert!(!has_ended(&auth, SESSION_ID));
    }
}
