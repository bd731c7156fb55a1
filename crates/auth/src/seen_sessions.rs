use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use doorward_domain::{SessionId, Timestamp};

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many sessions one unit notes.
const BATCH: usize = 200;
/// How far apart two notes of one session are at least.
const APART: Duration = Duration::from_mins(1);

/// The sessions that were used since it was last written down.
#[derive(Debug, Default)]
pub(crate) struct SeenSessions(Mutex<HashMap<SessionId, Timestamp>>);

impl SeenSessions {
    pub(crate) fn note(&self, session: SessionId, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(session, at);
    }

    fn take(&self) -> Vec<(SessionId, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect()
    }
}

impl Auth {
    /// Writes down which sessions were used, for their users to see. One step; no session is written more than once a
    /// minute, however many requests it makes.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer; those uses are not written down then.
    pub async fn note_seen_sessions(&self) -> Result<(), Fault> {
        for batch in self.seen().take().chunks(BATCH) {
            retrying(|| async {
                let mut unit = self.store().write().await?;
                unit.sessions().note_seen(batch, APART).await?;
                Ok(unit.commit().await?)
            })
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, SECOND, SESSION_ID, Seen, Setup, access_token};

    #[pollster::test]
    async fn many_requests_are_one_note() {
        let noted = Seen::<(SessionId, Timestamp)>::default();
        let mut unit = MockUnit::default();
        let seen = noted.clone();
        unit.sessions.expect_note_seen().times(1).returning(move |sessions, apart| {
            assert_eq!(apart, Duration::from_secs(60));
            for session in sessions {
                seen.note(*session);
            }
            Ok(())
        });
        let setup = Setup::new(RegistrationMode::Verified);
        let written = setup.store.plan_write(unit);
        let time = setup.time.clone();
        let auth = setup.auth();
        for second in 0..10 {
            time.set(NOW.plus(second * SECOND));
            auth.authenticate(&access_token()).unwrap();
        }

        auth.note_seen_sessions().await.unwrap();

        assert!(written.yes());
        assert_eq!(noted.only(), (SESSION_ID, NOW));
    }

    #[pollster::test]
    async fn nothing_is_written_when_nobody_came() {
        let auth = Setup::new(RegistrationMode::Verified).auth();
        auth.note_seen_sessions().await.unwrap();
    }
}
