use std::fmt;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::Timestamp;

/// The SHA-256 of a refresh token. The token has 256 bits of entropy of its own, so it needs no salt and no
/// slow hash (NIST SP 800-63B-4 section 3.1.2.2).
#[derive(Clone, Copy)]
pub struct RefreshTokenHash([u8; 32]);

impl RefreshTokenHash {
    /// The digest that was computed or read.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, for a database.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for RefreshTokenHash {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for RefreshTokenHash {}

impl fmt::Debug for RefreshTokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshTokenHash(..)")
    }
}

/// What is known of one refresh token of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshTokenRecord {
    /// Its place in the session's chain; the first is 0 and each successor one more.
    pub generation: u32,
    /// Its hash.
    pub hash: RefreshTokenHash,
    /// When it was first exchanged for its successor; `None` while it is the newest of its session.
    pub used_at: Option<Timestamp>,
}

/// What presenting a refresh token again means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A parallel tab, a retry or a lost response: the same successor is handed out again.
    Repeat,
    /// Somebody holds a copy of an old token: the session ends (RFC 9700 section 4.14.2).
    Replay,
}

/// Decides about a refresh token that has been used before, from what is known of its successor.
///
/// Until the successor has been used itself, and for `window` after that, the token gives the same successor.
/// A successor that is no longer known was used so long ago that its record has been forgotten.
#[must_use]
pub fn judge_reuse(successor: Option<&RefreshTokenRecord>, now: Timestamp, window: Duration) -> Reuse {
    match successor {
        Some(RefreshTokenRecord { used_at: None, .. }) => Reuse::Repeat,
        Some(RefreshTokenRecord { used_at: Some(used_at), .. }) if now < used_at.plus(window) => Reuse::Repeat,
        Some(_) | None => Reuse::Replay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn successor(used_at: Option<Timestamp>) -> RefreshTokenRecord {
        RefreshTokenRecord { generation: 7, hash: RefreshTokenHash::from_bytes([7; 32]), used_at }
    }

    #[test]
    fn an_unused_successor_is_handed_out_again_however_late() {
        assert_eq!(judge_reuse(Some(&successor(None)), at(1_000_000), WINDOW), Reuse::Repeat);
    }

    #[test]
    fn a_used_successor_is_handed_out_again_within_the_window_only() {
        let used = successor(Some(at(100)));
        assert_eq!(judge_reuse(Some(&used), at(100), WINDOW), Reuse::Repeat);
        assert_eq!(judge_reuse(Some(&used), at(109), WINDOW), Reuse::Repeat);
        assert_eq!(judge_reuse(Some(&used), at(110), WINDOW), Reuse::Replay);
        assert_eq!(judge_reuse(Some(&used), at(100), Duration::ZERO), Reuse::Replay);
    }

    #[test]
    fn a_forgotten_successor_means_a_replay() {
        assert_eq!(judge_reuse(None, at(0), WINDOW), Reuse::Replay);
    }
}
