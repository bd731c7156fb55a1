use doorward_domain::{Client, RefreshTokenRecord, Session, Timestamp, User};
use secrecy::SecretString;
use thiserror::Error;

use crate::{Auth, AuthenticationError, CurrentUser, Fault, RefreshError, RefreshToken, RotateRefresh, SessionGrant};

/// A wish to go on with a session in a page, by the refresh token that the browser keeps.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The refresh token, as the browser has it.
    pub refresh_token: SecretString,
}

/// Whose session it is.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The user, as an access token of the session names them.
    pub user: CurrentUser,
    /// Their account.
    pub account: User,
    /// What takes the token's place, where it was time for that.
    pub rotated: Option<Box<SessionGrant>>,
}

/// Why a page is not shown to the user of a session.
#[derive(Debug, Error)]
pub enum ResumeError {
    /// The token is unknown, expired, revoked or replayed; which of these is not said.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// Nothing has been heard of revocations for too long.
    #[error("it cannot be told at this moment whether the session goes on")]
    Stale,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<RefreshError> for ResumeError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::InvalidRefreshToken => Self::InvalidRefreshToken,
            RefreshError::Fault(fault) => fault.into(),
        }
    }
}

impl From<AuthenticationError> for ResumeError {
    fn from(error: AuthenticationError) -> Self {
        match error {
            AuthenticationError::Unauthenticated(_) => Self::InvalidRefreshToken,
            AuthenticationError::Stale => Self::Stale,
        }
    }
}

impl Auth {
    /// The user whose session a refresh token belongs to, for pages: a browser that follows a link has its cookie and
    /// no access token.
    ///
    /// The newest token of a session that needs no extension is only looked at. Any other goes through
    /// [`refresh`](Self::refresh), which decides what it is worth: so a page is as good a sign of life as a client that
    /// refreshes, and an old token is a replay here as there.
    ///
    /// # Errors
    ///
    /// [`ResumeError`].
    pub async fn resume(&self, request: Resume, client: &Client) -> Result<Resumed, ResumeError> {
        let now = self.now();
        // Not from here. Anybody can ask for pages with any cookie, so that is nothing to put on record.
        let Some(token) = self.parts().refresh_tokens.recognise(&request.refresh_token) else {
            return Err(ResumeError::InvalidRefreshToken);
        };
        let (account, access_token, rotated) = if let Some((session, account)) = self.unused(&token, now).await? {
            let access_token = self.parts().issuer.issue(&session, &account, now).map_err(Fault::from)?;
            (account, access_token, None)
        } else {
            let grant = self.refresh(RotateRefresh { refresh_token: request.refresh_token }, client).await?;
            (grant.user.clone(), grant.access_token.clone(), Some(Box::new(grant)))
        };
        let user = self.authenticate(&access_token.text)?;
        Ok(Resumed { user, account, rotated })
    }

    /// The session and the user of a token that is the newest of its session, unless it is time for the next one.
    async fn unused(&self, token: &RefreshToken, now: Timestamp) -> Result<Option<(Session, User)>, Fault> {
        let mut unit = self.store().read().await?;
        let Some(session) = unit.sessions().find(token.session_id()).await? else { return Ok(None) };
        if !session.is_live(now) || self.is_worth_extending(&session, now) {
            return Ok(None);
        }
        let record = unit.sessions().find_refresh(session.id, token.generation()).await?;
        if !record.is_some_and(|record| is_unused(&record, token)) {
            return Ok(None);
        }
        let account = unit.users().find(session.user_id).await?.filter(|user| !user.disabled());
        Ok(account.map(|account| (session, account)))
    }

    /// Whether a new token would put off the end of the session by as long as an access token lives: as often as a
    /// client would refresh. Where sessions may be idle for a short time only, by half of that.
    fn is_worth_extending(&self, session: &Session, now: Timestamp) -> bool {
        let idle = self.settings().sessions.idle;
        let worth = self.settings().access_token_lifetime.min(idle / 2);
        session.idle_expires_at.plus(worth) <= now.plus(idle).min(session.expires_at)
    }
}

fn is_unused(record: &RefreshTokenRecord, token: &RefreshToken) -> bool {
    record.used_at.is_none() && record.hash == token.hash()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::MockUnit;
    use doorward_domain::{EventKind, EventReason, RefreshTokenHash};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{
        CountingEntropy, DAY, NOW, SECOND, SESSION_ID, Setup, USER_ID, claims, client, disabled_user, expect_event,
        issued_text, refresh_tokens, session, user,
    };
    use crate::token::{MockTokenVerifier, TokenRefused};

    fn token() -> RefreshToken {
        refresh_tokens().first(SESSION_ID, &CountingEntropy::default()).unwrap()
    }

    fn request() -> Resume {
        Resume { refresh_token: token().to_text() }
    }

    /// Knows the access token that its issuer makes.
    fn setup() -> Setup {
        let mut verifier = MockTokenVerifier::new();
        verifier.expect_generation().returning(|| 0);
        verifier.expect_verify().returning(|text, _| {
            if text == issued_text(SESSION_ID).expose_secret() { Ok(claims()) } else { Err(TokenRefused) }
        });
        Setup { verifier, ..Setup::new(RegistrationMode::Verified) }
    }

    /// A session that was refreshed so long ago.
    fn refreshed(ago: Duration) -> Session {
        let idle = doorward_domain::SessionPolicy::default().idle;
        Session { idle_expires_at: NOW.minus(ago).plus(idle), expires_at: NOW.plus(90 * DAY), ..session() }
    }

    fn unused() -> RefreshTokenRecord {
        RefreshTokenRecord { generation: 0, hash: token().hash(), used_at: None }
    }

    /// A unit that looks the session up, its token and its user, each as often as it is there to be found.
    fn looking(session: Option<Session>, record: Option<RefreshTokenRecord>, user: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.sessions.expect_find().times(1).returning(move |_| Ok(session.clone()));
        unit.sessions.expect_find_refresh().returning(move |_, _| Ok(record.clone()));
        unit.users.expect_find().returning(move |_| Ok(user.clone()));
        unit
    }

    /// What `refresh` does with a session that has ended, which shows that it was asked.
    fn refusing() -> MockUnit {
        let mut unit = MockUnit::default();
        let ended = Session { ended_at: Some(NOW), ..session() };
        unit.sessions.expect_hold().times(1).returning(move |_| Ok(Some(ended.clone())));
        let subject = (Some(USER_ID), Some(SESSION_ID));
        expect_event(&mut unit, EventKind::Refresh, Some(EventReason::SessionEnded), subject);
        unit
    }

    #[pollster::test]
    async fn the_newest_token_of_a_session_is_looked_at_and_not_used() {
        for ago in [Duration::ZERO, 599 * SECOND] {
            let setup = setup();
            setup.store.plan_read(looking(Some(refreshed(ago)), Some(unused()), Some(user())));
            let resumed = setup.auth().resume(request(), &client()).await.unwrap();
            assert_eq!((resumed.user.id(), resumed.user.session_id()), (USER_ID, SESSION_ID));
            assert_eq!(resumed.account, user());
            assert!(resumed.rotated.is_none());
        }
    }

    #[pollster::test]
    async fn whatever_is_not_the_newest_token_of_a_live_session_is_for_refresh_to_judge() {
        let used = RefreshTokenRecord { used_at: Some(NOW), ..unused() };
        let other = RefreshTokenRecord { hash: RefreshTokenHash::from_bytes([7; 32]), ..unused() };
        let fresh = || Some(refreshed(Duration::ZERO));
        let ended = Session { ended_at: Some(NOW), ..refreshed(Duration::ZERO) };
        for unit in [
            looking(None, Some(unused()), Some(user())),
            looking(Some(ended), Some(unused()), Some(user())),
            looking(Some(refreshed(600 * SECOND)), Some(unused()), Some(user())),
            looking(fresh(), Some(used), Some(user())),
            looking(fresh(), Some(other), Some(user())),
            looking(fresh(), None, Some(user())),
            looking(fresh(), Some(unused()), None),
            looking(fresh(), Some(unused()), Some(disabled_user())),
        ] {
            let setup = setup();
            setup.store.plan_read(unit);
            let asked = setup.store.plan_write(refusing());
            let outcome = setup.auth().resume(request(), &client()).await;
            assert!(matches!(outcome, Err(ResumeError::InvalidRefreshToken)), "{outcome:?}");
            assert!(asked.yes());
        }
    }

    /// The store of the tests would fail the test if it were asked anything.
    #[pollster::test]
    async fn what_is_no_token_of_this_service_is_refused_without_a_trace() {
        let refresh_token = SecretString::from("dwr_made_up".to_owned());
        let outcome = setup().auth().resume(Resume { refresh_token }, &client()).await;
        assert!(matches!(outcome, Err(ResumeError::InvalidRefreshToken)), "{outcome:?}");
    }

    #[pollster::test]
    async fn a_short_session_is_extended_by_halves_and_no_session_beyond_its_limit() {
        for (idle, ago, extended) in [(10, 4, false), (10, 5, true), (10, 9, true)] {
            let mut setup = setup();
            setup.settings.sessions.idle = idle * SECOND;
            let session = Session { idle_expires_at: NOW.minus(ago * SECOND).plus(idle * SECOND), ..session() };
            assert_eq!(setup.auth().is_worth_extending(&session, NOW), extended, "{idle} {ago}");
        }
        let last = Session { idle_expires_at: session().expires_at, ..session() };
        assert!(!setup().auth().is_worth_extending(&last, NOW));
    }
}
