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
                None => return Ok(self.record(EventKind::Logout, EventReason::UnknownToken, None, client).await?),
            },
        };
        Ok(self.end_session(session_id, user_id, client).await?)
    }

    async fn end_session(&self, id: SessionId, user_id: Option<UserId>, client: &Client) -> Result<(), Fault> {
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
            Ok(unit.commit().await?)
        })
        .await?;
        self.note_ended(id, now);
        Ok(())
    }
}
