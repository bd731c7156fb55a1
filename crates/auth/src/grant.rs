use std::time::Duration;

use doorward_domain::{Client, CredentialVersion, EntropyUnavailable, Session, SessionId, Timestamp, User, UserId};

use crate::token::AccessToken;
use crate::{Auth, DeviceToken, Fault, RefreshToken};

/// What a client gets for having proved who its user is.
#[derive(Clone, Debug)]
pub struct SessionGrant {
    /// For the requests of the next minutes.
    pub access_token: AccessToken,
    /// For getting the next grant.
    pub refresh_token: RefreshToken,
    /// For the next log-in from the same device; given at a log-in and a registration.
    pub device_token: Option<DeviceToken>,
    /// How long the refresh token can be used.
    pub refresh_expires_in: Duration,
    /// The session that both belong to.
    pub session_id: SessionId,
    /// Who it is.
    pub user: User,
}

impl Auth {
    /// A session that begins now, and its first refresh token.
    pub(crate) fn new_session(
        &self,
        user_id: UserId,
        credential_version: CredentialVersion,
        client: &Client,
        now: Timestamp,
    ) -> Result<(Session, RefreshToken), EntropyUnavailable> {
        let id = self.fresh(SessionId::new)?;
        let policy = self.settings().sessions;
        let session = Session {
            id,
            user_id,
            credential_version,
            authenticated_at: now,
            amr: vec!["pwd".to_owned()],
            last_seen_at: now,
            idle_expires_at: now.plus(policy.idle).min(now.plus(policy.absolute)),
            expires_at: now.plus(policy.absolute),
            ended_at: None,
            client: Client { request_id: None, ..client.clone() },
        };
        let refresh_token = self.parts().refresh_tokens.first(id, &*self.parts().entropy)?;
        Ok((session, refresh_token))
    }

    /// Signs an access token for a session that has been committed.
    pub(crate) fn grant(
        &self,
        session: &Session,
        user: User,
        refresh_token: RefreshToken,
        now: Timestamp,
    ) -> Result<SessionGrant, Fault> {
        Ok(SessionGrant {
            access_token: self.parts().issuer.issue(session, &user, now)?,
            refresh_token,
            device_token: None,
            refresh_expires_in: session.refreshable_for(now),
            session_id: session.id,
            user,
        })
    }
}
