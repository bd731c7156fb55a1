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
        let ended = retrying(|| async {
            let mut unit = self.store().write().await?;
            // A login that is under way either has begun its session by now or waits until these have ended.
            unit.users().hold(user.id()).await?;
            let ended = unit.sessions().end_all(user.id(), EndReason::LoggedOutEverywhere, now).await?;
            let subject = (Some(user.id()), Some(user.session_id()));
            let event = self.event(EventKind::LogoutAll, None, subject, client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(ended)
        })
        .await?;
        for session in ended {
            self.note_ended(session, now);
        }
        Ok(())
    }
}
