use crate::{SessionId, Timestamp, UserId};

/// Something that access tokens go on saying though it no longer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// The session has ended, or its user was deleted.
    SessionEnded(SessionId),
    /// The user has other roles now.
    RolesChanged {
        /// Who.
        user_id: UserId,
        /// The roles as they are now.
        roles: Vec<String>,
    },
    /// A signing key was added, revoked or sealed anew.
    KeysChanged,
}

/// A [`Revocation`], and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRevocation {
    /// What happened.
    pub revocation: Revocation,
    /// When.
    pub at: Timestamp,
}
