use std::time::Duration;

use crate::names::names;
use crate::{Client, CredentialVersion, SessionId, Timestamp, UserId};

/// One log-in and what follows from it until it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Names the session; the `sid` of its access tokens.
    pub id: SessionId,
    /// Whose session it is.
    pub user_id: UserId,
    /// Which setting of the password it was opened with.
    pub credential_version: CredentialVersion,
    /// When the user proved who they are.
    pub authenticated_at: Timestamp,
    /// How the user proved it, in the values of RFC 8176.
    pub amr: Vec<String>,
    /// When the session was last refreshed.
    pub last_seen_at: Timestamp,
    /// When it ends unless it is refreshed before; never later than `expires_at`.
    pub idle_expires_at: Timestamp,
    /// When it ends whatever happens.
    pub expires_at: Timestamp,
    /// When it was ended early; `None` while it was not.
    pub ended_at: Option<Timestamp>,
    /// Where it was opened from; which request that was stands in the security log.
    pub client: Client,
}

impl Session {
    /// Whether the session still goes on.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.idle_expires_at && now < self.expires_at
    }

    /// How long its newest refresh token can still be used: the nearer of the two limits.
    #[must_use]
    pub fn refreshable_for(&self, now: Timestamp) -> Duration {
        self.idle_expires_at.min(self.expires_at).since(now)
    }
}

/// How long sessions last (ASVS 7.1.1, 7.3.1, 7.3.2).
///
/// # Defaults
///
/// Idle 30 days, absolute 90 days, reuse window 10 seconds, 50 sessions of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// How long a session lasts without being refreshed.
    pub idle: Duration,
    /// How long a session lasts at most.
    pub absolute: Duration,
    /// How long a used refresh token still gives the same successor after that successor has been used too.
    pub reuse_window: Duration,
    /// How many sessions a user has at most; a further one ends the oldest.
    pub most_per_user: u32,
}

impl Default for SessionPolicy {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { idle: 30 * DAY, absolute: 90 * DAY, reuse_window: Duration::from_secs(10), most_per_user: 50 }
    }
}

names! {
    /// Why a session ended before its time.
    EndReason {
        /// The user logged out.
        LoggedOut = "logged_out",
        /// The user ended all their sessions.
        LoggedOutEverywhere = "logged_out_everywhere",
        /// The user ended it from another session.
        EndedByUser = "ended_by_user",
        /// A refresh token was presented that had been replaced long ago: somebody holds a copy.
        Replayed = "replayed",
        /// The user began more sessions than one may have.
        SessionLimit = "session_limit",
        /// The password was set anew by a mailed link.
        PasswordReset = "password_reset",
        /// The user changed the password.
        PasswordChanged = "password_changed",
        /// The address of the account changed.
        EmailChanged = "email_changed",
        /// The account was disabled.
        AccountDisabled = "account_disabled",
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn session() -> Session {
        Session {
            id: SessionId::from_uuid(Uuid::from_u128(1)),
            user_id: UserId::from_uuid(Uuid::from_u128(2)),
            credential_version: CredentialVersion::from_uuid(Uuid::from_u128(3)),
            authenticated_at: at(0),
            amr: vec!["pwd".to_owned()],
            last_seen_at: at(0),
            idle_expires_at: at(100),
            expires_at: at(300),
            ended_at: None,
            client: Client::default(),
        }
    }

    #[test]
    fn each_limit_ends_a_session_on_its_own() {
        assert!(session().is_live(at(99)));
        assert!(!session().is_live(at(100)));
        let refreshed = Session { idle_expires_at: at(400), ..session() };
        assert!(refreshed.is_live(at(299)));
        assert!(!refreshed.is_live(at(300)));
        let ended = Session { ended_at: Some(at(5)), ..session() };
        assert!(!ended.is_live(at(6)));
    }

    #[test]
    fn the_nearer_limit_bounds_the_refresh_token() {
        assert_eq!(session().refreshable_for(at(40)), Duration::from_secs(60));
        let refreshed = Session { idle_expires_at: at(400), ..session() };
        assert_eq!(refreshed.refreshable_for(at(250)), Duration::from_secs(50));
        assert_eq!(refreshed.refreshable_for(at(999)), Duration::ZERO);
    }
}
