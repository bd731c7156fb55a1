use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_domain::{Clock, Timestamp};
use quick_cache::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::token::{AccessClaims, CLOCK_SKEW, TokenVerifier};
use crate::{AuthenticationError, CurrentUser, Revocations, Standing, Unauthenticated};

/// How often at most the use of a token is worth noting.
const NOTED_EVERY: Duration = Duration::from_mins(1);

/// Checks access tokens: signature and claims once for each token, what has been revoked for every request.
/// Asks no database.
pub struct AccessTokens {
    verifier: Arc<dyn TokenVerifier>,
    revocations: Arc<dyn Revocations>,
    clock: Arc<dyn Clock>,
    staleness: Option<Duration>,
    /// By a digest, so that a memory dump holds no token.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Verified {
    claims: Arc<AccessClaims>,
    /// Which keys it was verified with.
    generation: u64,
    /// When its use was last noted, in microseconds.
    noted_at: AtomicI64,
}

impl Verified {
    /// Whether this use is to be noted: the first one within a minute.
    fn is_worth_noting(&self, now: Timestamp) -> bool {
        let last = self.noted_at.load(Ordering::Relaxed);
        let due = Timestamp::from_unix_micros(last).plus(NOTED_EVERY) <= now;
        due && self.noted_at.compare_exchange(last, now.unix_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl AccessTokens {
    /// How many verified tokens to remember where nothing speaks against it. Each takes about half a kilobyte.
    pub const REMEMBERED: usize = 8 * 1024;

    /// Checks tokens with this verifier and these revocations.
    ///
    /// `staleness` is for how long the revocations may have heard nothing before no token is taken any more; `None`
    /// where nobody tells them anything. `remembered` is how many verified tokens are remembered; with 0 each is
    /// verified each time.
    #[must_use]
    pub fn new(
        verifier: Arc<dyn TokenVerifier>,
        revocations: Arc<dyn Revocations>,
        clock: Arc<dyn Clock>,
        staleness: Option<Duration>,
        remembered: usize,
    ) -> Self {
        Self { verifier, revocations, clock, staleness, verified: Cache::new(remembered) }
    }

    /// The user that an access token names.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError`].
    pub fn check(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        self.check_use(token).map(|(user, _)| user)
    }

    /// The same, and whether this use of the token is to be noted.
    pub(crate) fn check_use(&self, token: &SecretString) -> Result<(CurrentUser, bool), AuthenticationError> {
        let now = self.clock.now();
        let text = token.expose_secret();
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let verified = self.verified(digest, text, now)?;
        match self.revocations.check(verified.claims.session_id, verified.claims.user_id) {
            Standing::Ended => {
                self.verified.remove(&digest);
                Err(Unauthenticated.into())
            }
            Standing::Live { .. } if self.is_stale(now) => Err(AuthenticationError::Stale),
            Standing::Live { roles } => {
                let worth_noting = verified.is_worth_noting(now);
                Ok((CurrentUser::new(Arc::clone(&verified.claims), roles), worth_noting))
            }
        }
    }

    fn verified(&self, digest: [u8; 32], text: &str, now: Timestamp) -> Result<Arc<Verified>, Unauthenticated> {
        let generation = self.verifier.generation();
        if let Some(known) = self.verified.get(&digest) {
            if known.generation == generation && now < known.claims.expires_at.plus(CLOCK_SKEW) {
                return Ok(known);
            }
            self.verified.remove(&digest);
        }
        let claims = Arc::new(self.verifier.verify(text, now)?);
        let verified = Arc::new(Verified { claims, generation, noted_at: AtomicI64::new(0) });
        self.verified.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    /// Whether too long ago was heard what has been revoked.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        let Some(limit) = self.staleness else { return false };
        // What was heard in the future was heard before the clock was set back, however long ago that is.
        self.revocations.last_heard().is_none_or(|heard| heard.plus(limit) < now || heard > now.plus(limit))
    }
}

impl fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessTokens").field("staleness", &self.staleness).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::MemoryRevocations;
    use crate::testing::{DAY, NOW, REFUSED, SECOND, SESSION_ID, Time, USER_ID, claims};
    use crate::token::{MockTokenVerifier, TokenRefused, TokenSettings};

    const LIMIT: Duration = Duration::from_secs(30);

    struct Stage {
        time: Time,
        revocations: Arc<MemoryRevocations>,
        generation: Arc<AtomicU64>,
        tokens: AccessTokens,
    }

    /// Tokens that are checked by a verifier which is asked so many times.
    fn stage(verified: usize, staleness: Option<Duration>) -> Stage {
        stage_of(verified, staleness, AccessTokens::REMEMBERED)
    }

    fn stage_of(verified: usize, staleness: Option<Duration>, remembered: usize) -> Stage {
        let (time, generation) = (Time::at(NOW), Arc::new(AtomicU64::new(0)));
        let revocations = Arc::new(MemoryRevocations::new(uuid::Uuid::nil()));
        let mut verifier = MockTokenVerifier::new();
        let verify = verifier.expect_verify().times(verified);
        verify.returning(|text, now| {
            let valid = text.starts_with("genuine") && now < claims().expires_at.plus(CLOCK_SKEW);
            if valid { Ok(claims()) } else { Err(TokenRefused) }
        });
        let counted = Arc::clone(&generation);
        verifier.expect_generation().returning(move || counted.load(Ordering::SeqCst));
        let known: Arc<dyn Revocations> = revocations.clone();
        let tokens = AccessTokens::new(Arc::new(verifier), known, Arc::new(time.clock()), staleness, remembered);
        Stage { time, revocations, generation, tokens }
    }

    fn token(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn a_token_is_verified_once() {
        let stage = stage(2, None);
        for _ in 0..10 {
            assert_eq!(stage.tokens.check(&token("genuine")).unwrap().id(), USER_ID);
        }
        assert!(stage.tokens.check(&token("genuine, another")).is_ok());
    }

    #[test]
    fn no_more_tokens_are_remembered_than_said() {
        let stage = stage_of(3, None, 0);
        for _ in 0..3 {
            assert!(stage.tokens.check(&token("genuine")).is_ok());
        }
        let stage = stage_of(1_000, None, 100);
        for n in 0..1_000 {
            assert!(stage.tokens.check(&token(&format!("genuine {n}"))).is_ok());
        }
        assert!(stage.tokens.verified.len() <= 100);
    }

    #[test]
    fn a_refusal_is_not_remembered() {
        let stage = stage(3, None);
        for _ in 0..3 {
            assert_eq!(stage.tokens.check(&token("forged")), REFUSED);
        }
    }

    #[test]
    fn a_verified_token_is_refused_once_it_has_expired() {
        let stage = stage(2, None);
        let end = NOW.plus(TokenSettings::DEFAULT_LIFETIME).plus(CLOCK_SKEW);
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.time.set(end.minus(SECOND));
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.time.set(end);
        assert_eq!(stage.tokens.check(&token("genuine")), REFUSED);
    }

    #[test]
    fn other_keys_verify_again() {
        let stage = stage(2, None);
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.generation.store(1, Ordering::SeqCst);
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        assert!(stage.tokens.check(&token("genuine")).is_ok());
    }

    #[test]
    fn an_ended_session_refuses_a_token_that_was_verified_before() {
        let stage = stage(1, None);
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.revocations.note_ended(SESSION_ID, NOW.plus(DAY));
        assert_eq!(stage.tokens.check(&token("genuine")), REFUSED);
        assert!(stage.tokens.verified.is_empty(), "its place is free again");
    }

    #[test]
    fn changed_roles_count_and_not_those_of_the_token() {
        let stage = stage(1, None);
        assert!(!stage.tokens.check(&token("genuine")).unwrap().has_role("admin"));
        stage.revocations.note_roles(USER_ID, vec!["admin".to_owned()], NOW.plus(DAY));
        let user = stage.tokens.check(&token("genuine")).unwrap();
        assert!(user.has_role("admin"));
        assert_eq!(user.roles(), ["admin"]);
        assert!(user.claims().roles.is_empty());
    }

    #[test]
    fn nobody_is_let_in_by_what_may_be_out_of_date() {
        let stage = stage(3, Some(LIMIT));
        assert_eq!(stage.tokens.check(&token("genuine")), Err(AuthenticationError::Stale), "nothing was heard");
        stage.revocations.heard(NOW);
        stage.time.set(NOW.plus(LIMIT));
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.time.set(NOW.plus(LIMIT + SECOND));
        assert_eq!(stage.tokens.check(&token("genuine")), Err(AuthenticationError::Stale));
        assert_eq!(stage.tokens.check(&token("forged")), REFUSED, "what is refused anyway stays refused");
        stage.revocations.note_ended(SESSION_ID, NOW.plus(DAY));
        assert_eq!(stage.tokens.check(&token("genuine")), REFUSED);
        stage.revocations.heard(NOW.plus(LIMIT));
        assert_eq!(stage.tokens.check(&token("forged, too")), REFUSED);
    }

    #[test]
    fn what_was_heard_before_the_clock_was_set_back_says_nothing() {
        let stage = stage(1, Some(LIMIT));
        stage.revocations.heard(NOW.plus(LIMIT));
        assert!(stage.tokens.check(&token("genuine")).is_ok());
        stage.revocations.heard(NOW.plus(LIMIT + SECOND));
        assert_eq!(stage.tokens.check(&token("genuine")), Err(AuthenticationError::Stale));
    }

    #[test]
    fn a_use_is_worth_noting_once_a_minute() {
        let stage = stage(1, None);
        let worth = || stage.tokens.check_use(&token("genuine")).unwrap().1;
        assert!(worth() && !worth());
        stage.time.set(NOW.plus(59 * SECOND));
        assert!(!worth());
        stage.time.set(NOW.plus(60 * SECOND));
        assert!(worth() && !worth());
    }
}
