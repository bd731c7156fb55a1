use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use doorward_domain::{SessionId, Timestamp};

/// The port that answers "has this session ended?" for every request, and so never asks the database.
///
/// A session needs to be remembered only while an access token can still name it.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait EndedSessions: Send + Sync {
    /// Remembers that a session has ended, until `until` at least.
    fn note(&self, session: SessionId, until: Timestamp);

    /// Whether the session is known to have ended.
    fn has_ended(&self, session: SessionId) -> bool;

    /// Forgets the sessions that no access token can name any more at `now`.
    fn forget_past(&self, now: Timestamp);
}

/// The ended sessions that this process knows of.
#[derive(Debug, Default)]
pub struct MemoryEndedSessions(RwLock<HashMap<SessionId, Timestamp>>);

impl EndedSessions for MemoryEndedSessions {
    fn note(&self, session: SessionId, until: Timestamp) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(session, until);
    }

    fn has_ended(&self, session: SessionId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session)
    }

    fn forget_past(&self, now: Timestamp) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_ended_session_is_remembered_until_its_time() {
        let (session, other) = (SessionId::from_uuid(Uuid::from_u128(1)), SessionId::from_uuid(Uuid::from_u128(2)));
        let until = Timestamp::from_unix_micros(100);
        let ended = MemoryEndedSessions::default();
        ended.note(session, until);
        ended.forget_past(Timestamp::from_unix_micros(99));
        assert!(ended.has_ended(session));
        assert!(!ended.has_ended(other));
        ended.forget_past(until);
        assert!(!ended.has_ended(session));
    }
}
