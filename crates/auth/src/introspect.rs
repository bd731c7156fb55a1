use doorward_domain::{Client, Session, StoreError};
use secrecy::{ExposeSecret, SecretString};

use crate::{Auth, AuthenticationError, CurrentUser, Fault, Logout, LogoutError, RefreshToken};

/// What an active token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// It is an access token of this user.
    AccessToken(CurrentUser),
    /// It is the newest refresh token of this session.
    RefreshToken(Box<Session>),
}

impl Auth {
    /// What a token says while it is active, for a service that asks instead of verifying (RFC 7662); `None` for any
    /// other text. Nothing is changed: a refresh token is not used up, and an old one is no replay here.
    ///
    /// An access token is judged as [`Auth::authenticate`] judges it. A refresh token is active while it has not been
    /// exchanged.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer, or has not for so long that nothing can be said of an
    /// access token.
    pub async fn introspect(&self, token: &SecretString) -> Result<Option<Introspection>, Fault> {
        if is_refresh_token(token) {
            let session = self.refreshable(token).await?;
            return Ok(session.map(|session| Introspection::RefreshToken(Box::new(session))));
        }
        match self.authenticate(token) {
            Ok(user) => Ok(Some(Introspection::AccessToken(user))),
            Err(AuthenticationError::Unauthenticated(_)) => Ok(None),
            // "Inactive" would be a statement, and a wrong one perhaps.
            Err(error @ AuthenticationError::Stale) => Err(StoreError::Unavailable(Box::new(error)).into()),
        }
    }

    /// Ends the session of a token, for a service that has no more use for it (RFC 7009). A text that is no token of
    /// this service has nothing to end, which is no error (section 2.2).
    ///
    /// # Errors
    ///
    /// [`Fault`]; the session goes on then.
    pub async fn revoke(&self, token: &SecretString, client: &Client) -> Result<(), Fault> {
        let request = if is_refresh_token(token) {
            Logout::RefreshToken(token.clone())
        } else {
            Logout::AccessToken(token.clone())
        };
        match self.logout(request, client).await {
            Ok(()) | Err(LogoutError::Unauthenticated(_)) => Ok(()),
            Err(LogoutError::Fault(fault)) => Err(fault),
        }
    }

    /// The session that a refresh token can be exchanged in.
    async fn refreshable(&self, token: &SecretString) -> Result<Option<Session>, Fault> {
        let Some(token) = self.parts().refresh_tokens.recognise(token) else { return Ok(None) };
        let mut unit = self.store().read().await?;
        let Some(session) = unit.sessions().find(token.session_id()).await? else { return Ok(None) };
        if !session.is_live(self.now()) {
            return Ok(None);
        }
        let record = unit.sessions().find_refresh(session.id, token.generation()).await?;
        if !record.is_some_and(|record| record.used_at.is_none() && record.hash == token.hash()) {
            return Ok(None);
        }
        let user = unit.users().find(session.user_id).await?;
        Ok(user.filter(|user| !user.disabled()).map(|_| session))
    }
}

/// Whether the text presents itself as a refresh token. No access token does: its first character is that of a JSON
/// object in base64url.
fn is_refresh_token(token: &SecretString) -> bool {
    token.expose_secret().starts_with(RefreshToken::PREFIX)
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{EndReason, EventKind, EventReason, RefreshTokenHash, RefreshTokenRecord, User};

    use super::*;
    use crate::testing::{
        CountingEntropy, NOW, SECOND, SESSION_ID, Setup, USER_ID, access_token, client, current_user, disabled_user,
        expect_event, recording, refresh_tokens, session, user,
    };
    use crate::{RefreshTokens, RegistrationMode, RootSecret};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    fn refresh_token() -> RefreshToken {
        refresh_tokens().first(SESSION_ID, &CountingEntropy::default()).unwrap()
    }

    fn record() -> RefreshTokenRecord {
        let token = refresh_token();
        RefreshTokenRecord { generation: token.generation(), hash: token.hash(), used_at: None }
    }

    fn foreign_token() -> RefreshToken {
        let other = RootSecret::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        RefreshTokens::new(&other).first(SESSION_ID, &CountingEntropy::default()).unwrap()
    }

    fn text(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    /// A unit that holds this session, this record of its first token, and this user.
    fn knowing(session: Option<Session>, record: Option<RefreshTokenRecord>, user: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.sessions.expect_find().withf(|id| *id == SESSION_ID).returning(move |_| Ok(session.clone()));
        let find = unit.sessions.expect_find_refresh().withf(|id, generation| (*id, *generation) == (SESSION_ID, 0));
        find.returning(move |_, _| Ok(record.clone()));
        unit.users.expect_find().withf(|id| *id == USER_ID).returning(move |_| Ok(user.clone()));
        unit
    }

    #[pollster::test]
    async fn an_access_token_says_whose_it_is_and_asks_no_database() {
        let auth = setup().auth();

        let outcome = auth.introspect(&access_token()).await.unwrap();

        assert_eq!(outcome, Some(Introspection::AccessToken(current_user(&auth))));
    }

    #[pollster::test]
    async fn an_access_token_of_an_ended_session_says_nothing() {
        let auth = setup().auth();
        auth.note_ended(SESSION_ID, NOW);
        assert_eq!(auth.introspect(&access_token()).await.unwrap(), None);
    }

    #[pollster::test]
    async fn the_newest_refresh_token_of_a_live_session_is_active() {
        let setup = setup();
        setup.store.plan_read(knowing(Some(session()), Some(record()), Some(user())));

        let outcome = setup.auth().introspect(&refresh_token().to_text()).await.unwrap();

        assert_eq!(outcome, Some(Introspection::RefreshToken(Box::new(session()))));
    }

    #[pollster::test]
    async fn a_refresh_token_that_cannot_be_exchanged_is_inactive() {
        let ended = Session { ended_at: Some(NOW.minus(SECOND)), ..session() };
        let idle = Session { idle_expires_at: NOW, ..session() };
        let used = RefreshTokenRecord { used_at: Some(NOW.minus(SECOND)), ..record() };
        let other = RefreshTokenRecord { hash: RefreshTokenHash::from_bytes([7; 32]), ..record() };
        for (why, unit) in [
            ("forgotten session", knowing(None, Some(record()), Some(user()))),
            ("ended session", knowing(Some(ended), Some(record()), Some(user()))),
            ("expired session", knowing(Some(idle), Some(record()), Some(user()))),
            ("forgotten token", knowing(Some(session()), None, Some(user()))),
            ("used token", knowing(Some(session()), Some(used), Some(user()))),
            ("another hash", knowing(Some(session()), Some(other), Some(user()))),
            ("disabled user", knowing(Some(session()), Some(record()), Some(disabled_user()))),
            ("deleted user", knowing(Some(session()), Some(record()), None)),
        ] {
            let setup = setup();
            setup.store.plan_read(unit);

            let outcome = setup.auth().introspect(&refresh_token().to_text()).await.unwrap();

            assert_eq!(outcome, None, "{why}");
        }
    }

    #[pollster::test]
    async fn whatever_was_not_issued_here_is_inactive_and_asks_no_database() {
        let foreign = foreign_token().to_text();
        for token in [text(""), text("forged"), text("dwr_"), text("dwr_forged"), foreign] {
            assert_eq!(setup().auth().introspect(&token).await.unwrap(), None);
        }
    }

    #[pollster::test]
    async fn a_database_that_does_not_answer_is_no_answer_either() {
        let mut unit = MockUnit::default();
        unit.sessions.expect_find().times(1).returning(|_| Err(StoreError::Unavailable("gone".into())));
        let setup = setup();
        setup.store.plan_read(unit);

        let outcome = setup.auth().introspect(&refresh_token().to_text()).await;

        assert!(matches!(outcome, Err(Fault::Store(StoreError::Unavailable(_)))), "{outcome:?}");
    }

    #[pollster::test]
    async fn either_token_is_revoked_by_ending_its_session() {
        for token in [access_token(), refresh_token().to_text()] {
            let mut unit = knowing(Some(session()), None, None);
            let end = unit.sessions.expect_end().times(1);
            let end = end.withf(|id, reason, now| (*id, *reason, *now) == (SESSION_ID, EndReason::LoggedOut, NOW));
            end.returning(|_, _, _| Ok(true));
            expect_event(&mut unit, EventKind::Logout, None, (Some(USER_ID), Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            auth.revoke(&token, &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(auth.introspect(&access_token()).await.unwrap(), None);
        }
    }

    #[pollster::test]
    async fn revoking_what_is_no_token_is_no_error() {
        setup().auth().revoke(&text("forged"), &client()).await.unwrap();

        let setup = setup();
        let written = setup.store.plan_write(recording(EventKind::Logout, EventReason::UnknownToken, None));
        setup.auth().revoke(&foreign_token().to_text(), &client()).await.unwrap();
        assert!(written.yes());
    }
}
