use std::time::Duration;

use doorward_domain::Timestamp;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// How many sessions one step deletes at most, so that no step holds locks for long.
pub const CLEAN_UP_BATCH: u32 = 500;

/// How long an ended or expired session is kept, for the user's questions and for recognising late replays.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// How long wrong passwords for an address without an account are remembered. As long as nobody waits for, so that an
/// address that has one cannot be told by its counting on.
const GUESSES_KEPT_FOR: Duration = Duration::from_hours(30 * 24);

/// How much longer than it matters a revocation or a spent proof of work is kept: the clocks of nodes differ.
const MARGIN: Duration = Duration::from_hours(1);

/// What one step of cleaning up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanUp {
    /// How many sessions were deleted.
    pub sessions: u64,
    /// Whether another step would find more.
    pub more: bool,
}

impl Auth {
    /// Deletes a batch of sessions and mailed tokens that ended or expired over a day ago, and forgets ended sessions that no
    /// access token can name any more, and proofs of work that have expired. Safe to run on many nodes at once.
    ///
    /// Nothing depends on it: what has expired is refused whether or not it has been deleted.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn clean_up(&self) -> Result<CleanUp, Fault> {
        let now = self.now();
        self.parts().revocations.forget_past(now);
        retrying(|| async {
            let mut unit = self.store().write().await?;
            let over = now.minus(KEPT_FOR);
            let sessions = unit.sessions().delete_expired(over, CLEAN_UP_BATCH).await?;
            let tokens = unit.one_time_tokens().delete_expired(over, CLEAN_UP_BATCH).await?;
            let allowances = unit.outbox().forget_allowances(over, CLEAN_UP_BATCH).await?;
            let revocations = unit.revocations().forget(self.forgettable(now), CLEAN_UP_BATCH).await?;
            let throttles = unit.throttles().forget(now, now.minus(GUESSES_KEPT_FOR), CLEAN_UP_BATCH).await?;
            let proofs = unit.proofs().forget(now.minus(MARGIN), CLEAN_UP_BATCH).await?;
            unit.commit().await?;
            let most = [tokens, allowances, revocations, throttles, proofs].into_iter().fold(sessions, u64::max);
            Ok(CleanUp { sessions, more: most >= u64::from(CLEAN_UP_BATCH) })
        })
        .await
    }
}

impl Auth {
    /// Before when a revocation matters to nobody: no token can say what it revoked, and every node that was silent
    /// has started anew.
    fn forgettable(&self, now: Timestamp) -> Timestamp {
        let sayable_for = self.sayable_until(now).since(now);
        now.minus(sayable_for).minus(MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::Timestamp;
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{DAY, NOW, SECOND, SESSION_ID, Setup, collision, has_ended};
    use crate::token::{CLOCK_SKEW, TokenSettings};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit that deletes so many sessions, tokens, allowances, revocations, throttles and proofs that were over at this
    /// moment.
    fn deleting(over: Timestamp, [sessions, tokens, allowances, revocations, throttles, proofs]: [u64; 6]) -> MockUnit {
        let mut unit = MockUnit::default();
        let delete = unit.sessions.expect_delete_expired().times(1);
        let delete = delete.withf(move |moment, limit| (*moment, *limit) == (over, CLEAN_UP_BATCH));
        delete.returning(move |_, _| Ok(sessions));
        let delete = unit.one_time_tokens.expect_delete_expired().times(1);
        let delete = delete.withf(move |moment, limit| (*moment, *limit) == (over, CLEAN_UP_BATCH));
        delete.returning(move |_, _| Ok(tokens));
        let forget = unit.outbox.expect_forget_allowances().times(1);
        let forget = forget.withf(move |moment, limit| (*moment, *limit) == (over, CLEAN_UP_BATCH));
        forget.returning(move |_, _| Ok(allowances));
        // A day over is what is kept of the rest; revocations go when no token can say what they revoked, an hour later.
        let forgettable = over.plus(DAY).minus(TokenSettings::DEFAULT_LIFETIME + 2 * CLOCK_SKEW + 3_600 * SECOND);
        let forget = unit.revocations.expect_forget().times(1);
        let forget = forget.withf(move |moment, limit| (*moment, *limit) == (forgettable, CLEAN_UP_BATCH));
        forget.returning(move |_, _| Ok(revocations));
        let forget = unit.throttles.expect_forget().times(1);
        let now = over.plus(DAY);
        let forget = forget.withf(move |moment, guesses, limit| {
            (*moment, *guesses, *limit) == (now, now.minus(30 * DAY), CLEAN_UP_BATCH)
        });
        forget.returning(move |_, _, _| Ok(throttles));
        let expired = over.plus(DAY).minus(3_600 * SECOND);
        let forget = unit.proofs.expect_forget().times(1);
        let forget = forget.withf(move |moment, limit| (*moment, *limit) == (expired, CLEAN_UP_BATCH));
        forget.returning(move |_, _| Ok(proofs));
        unit
    }

    #[pollster::test]
    async fn what_is_over_is_kept_for_a_day_and_deleted_in_batches() {
        for (deleted, more) in [
            ([0, 0, 0, 0, 0, 0], false),
            ([499, 499, 499, 499, 499, 499], false),
            ([500, 0, 0, 0, 0, 0], true),
            ([0, 500, 0, 0, 0, 0], true),
            ([0, 0, 500, 0, 0, 0], true),
            ([0, 0, 0, 500, 0, 0], true),
            ([0, 0, 0, 0, 500, 0], true),
            ([0, 0, 0, 0, 0, 500], true),
        ] {
            let setup = setup();
            let written = setup.store.plan_write(deleting(NOW.minus(DAY), deleted));

            let outcome = setup.auth().clean_up().await.unwrap();

            assert!(written.yes());
            assert_eq!(outcome, CleanUp { sessions: deleted[0], more });
        }
    }

    #[pollster::test]
    async fn an_ended_session_is_remembered_while_a_token_can_name_it_and_no_longer() {
        let nameable = TokenSettings::DEFAULT_LIFETIME + 2 * CLOCK_SKEW;
        let (last, past) = (NOW.plus(nameable).minus(SECOND), NOW.plus(nameable));
        let setup = setup();
        setup.store.plan_write(deleting(last.minus(DAY), [0; 6]));
        setup.store.plan_write(deleting(past.minus(DAY), [0; 6]));
        let time = setup.time.clone();
        let auth = setup.auth();
        auth.note_ended(SESSION_ID, NOW);

        time.set(last);
        auth.clean_up().await.unwrap();
        assert!(has_ended(&auth, SESSION_ID));

        time.set(past);
        auth.clean_up().await.unwrap();
        assert!(!has_ended(&auth, SESSION_ID));
    }

    #[pollster::test]
    async fn a_collision_repeats_the_batch() {
        let mut collided = MockUnit::default();
        collided.sessions.expect_delete_expired().times(1).returning(|_, _| Err(collision()));
        let setup = setup();
        let undone = setup.store.plan_write(collided);
        let written = setup.store.plan_write(deleting(NOW.minus(DAY), [3, 2, 1, 0, 0, 0]));

        let outcome = setup.auth().clean_up().await.unwrap();

        assert_eq!(outcome, CleanUp { sessions: 3, more: false });
        assert!(!undone.yes() && written.yes());
    }
}
