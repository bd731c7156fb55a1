use std::time::Duration;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many sessions one step deletes at most, so that no step holds locks for long.
pub const CLEAN_UP_BATCH: u32 = 500;

/// How long an ended or expired session is kept, for the user's questions and for recognising late replays.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// What one step of cleaning up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanUp {
    /// How many sessions were deleted.
    pub sessions: u64,
    /// Whether another step would find more.
    pub more: bool,
}

impl Auth {
    /// Deletes a batch of sessions that ended or expired over a day ago, and forgets ended sessions that no
    /// access token can name any more. Safe to run on many nodes at once.
    ///
    /// Nothing depends on it: what has expired is refused whether or not it has been deleted.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn clean_up(&self) -> Result<CleanUp, Fault> {
        let now = self.now();
        self.parts().ended_sessions.forget_past(now);
        let sessions = retrying(|| async {
            let mut unit = self.store().write().await?;
            let deleted = unit.sessions().delete_expired(now.minus(KEPT_FOR), CLEAN_UP_BATCH).await?;
            unit.commit().await?;
            Ok(deleted)
        })
        .await?;
        Ok(CleanUp { sessions, more: sessions >= u64::from(CLEAN_UP_BATCH) })
    }
}
