use doorward_domain::store::WriteUnit;
use doorward_domain::{
    Client, EndReason, EventKind, EventReason, Reuse, Session, SessionId, Timestamp, User, UserId, judge_reuse,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault, RefreshToken, SessionGrant};

/// A wish to go on with a session.
#[derive(Clone, Debug)]
pub struct RotateRefresh {
    /// The refresh token, as the client has it.
    pub refresh_token: SecretString,
}

/// Why the session does not go on.
#[derive(Debug, Error)]
pub enum RefreshError {
    /// The token is unknown, expired, revoked or replayed; which of these is not said.
    #[error("the refresh token is not valid")]
    InvalidRefreshToken,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What a unit of work decided about a refresh token.
enum Decision {
    /// The session goes on with the token's successor.
    Continued(Box<(Session, User)>),
    /// It does not, and this is why.
    Refused { reason: EventReason, user_id: Option<UserId> },
}

impl Auth {
    /// Exchanges a refresh token for its successor and a new access token.
    ///
    /// A token has one successor, whoever asks and however often: parallel tabs, retries and lost responses
    /// get the same one. An older token is a replay; its whole session ends, and that ending is committed
    /// although the answer is an error (RFC 9700 section 4.14.2).
    ///
    /// # Errors
    ///
    /// [`RefreshError::InvalidRefreshToken`], recorded in the security log by then.
    pub async fn refresh(&self, request: RotateRefresh, client: &Client) -> Result<SessionGrant, RefreshError> {
        let Some(token) = self.parts().refresh_tokens.recognise(&request.refresh_token) else {
            // Not from here, so the database need not be asked about it.
            self.record(EventKind::Refresh, EventReason::UnknownToken, None, client).await?;
            return Err(RefreshError::InvalidRefreshToken);
        };
        let successor = self.parts().refresh_tokens.successor(&token);
        let now = self.now();
        let decision = retrying(|| async {
            let mut unit = self.store().write().await?;
            let decision = self.rotate(&mut *unit, &token, &successor, now).await?;
            let session_id = Some(token.session_id());
            let event = match &decision {
                Decision::Continued(grantee) => {
                    let user_id = Some(grantee.0.user_id);
                    self.event(EventKind::Refresh, None, (user_id, session_id), client)?
                }
                Decision::Refused { reason, user_id } => {
                    self.event(EventKind::Refresh, Some(*reason), (*user_id, session_id), client)?
                }
            };
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(decision)
        })
        .await?;

        match decision {
            Decision::Continued(grantee) => {
                let (session, user) = *grantee;
                Ok(self.grant(&session, user, successor, now)?)
            }
            Decision::Refused { reason, .. } => {
                if reason == EventReason::Replay {
                    self.note_ended(token.session_id(), now);
                }
                Err(RefreshError::InvalidRefreshToken)
            }
        }
    }

    async fn rotate(
        &self,
        unit: &mut dyn WriteUnit,
        token: &RefreshToken,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> Result<Decision, Fault> {
        let id = token.session_id();
        let refused = |reason, user_id| Ok(Decision::Refused { reason, user_id });
        // Holding the session sends everybody with one of its tokens through here one after the other.
        let Some(session) = unit.sessions().hold(id).await? else {
            return refused(EventReason::UnknownToken, None);
        };
        let user_id = Some(session.user_id);
        if !session.is_live(now) {
            return refused(EventReason::SessionEnded, user_id);
        }
        let Some(user) = unit.users().find(session.user_id).await? else {
            return refused(EventReason::UnknownAccount, user_id);
        };
        if user.disabled() {
            return refused(EventReason::AccountDisabled, user_id);
        }

        if unit.sessions().consume_refresh(id, token.generation(), &token.hash(), now).await? {
            unit.sessions().insert_refresh(id, successor.generation(), &successor.hash()).await?;
            let idle_expires_at = now.plus(self.settings().sessions.idle).min(session.expires_at);
            unit.sessions().touch(id, now, idle_expires_at).await?;
            let cutoff = now.minus(self.settings().sessions.reuse_window);
            unit.sessions().forget_refresh(id, cutoff).await?;
            let session = Session { last_seen_at: now, idle_expires_at, ..session };
            return Ok(Decision::Continued(Box::new((session, user))));
        }
        match self.judge(unit, id, token, successor, now).await? {
            Some(Reuse::Repeat) => Ok(Decision::Continued(Box::new((session, user)))),
            Some(Reuse::Replay) => {
                unit.sessions().end(id, EndReason::Replayed, now).await?;
                refused(EventReason::Replay, user_id)
            }
            None => refused(EventReason::UnknownToken, user_id),
        }
    }

    /// What it means that a token has been used before; `None` when it is not the token that was handed out.
    async fn judge(
        &self,
        unit: &mut dyn WriteUnit,
        id: SessionId,
        token: &RefreshToken,
        successor: &RefreshToken,
        now: Timestamp,
    ) -> Result<Option<Reuse>, Fault> {
        let presented = unit.sessions().find_refresh(id, token.generation()).await?;
        if presented.is_some_and(|record| record.hash != token.hash()) {
            return Ok(None);
        }
        let known = unit.sessions().find_refresh(id, successor.generation()).await?;
        if known.as_ref().is_some_and(|record| record.hash != successor.hash()) {
            return Ok(None);
        }
        Ok(Some(judge_reuse(known.as_ref(), now, self.settings().sessions.reuse_window)))
    }
}
