use std::sync::PoisonError;

use doorward_domain::store::RevocationPosition;
use doorward_domain::{RecordedRevocation, Revocation, Timestamp};

use crate::token::CLOCK_SKEW;
use crate::{Auth, Fault};

/// What one look into the database brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Whether the signing keys have changed and are to be loaded again.
    pub keys_changed: bool,
}

impl Auth {
    /// Learns from the database what other nodes have revoked, and at the start what this one had before. One step,
    /// to be repeated several times a second: what happened elsewhere is known here with the next one.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer. When that lasts, no access token is taken any more
    /// ([`AuthSettings::staleness`](crate::AuthSettings::staleness)).
    pub async fn watch_revocations(&self) -> Result<Watched, Fault> {
        // Before reading: what is committed while the answer is on its way may not be in it.
        let now = self.now();
        let went_back = self.parts().revocations.last_heard().is_some_and(|heard| now < heard);
        let position = if went_back {
            // While the clock was ahead, things may have been taken for past that are not.
            RevocationPosition::START
        } else {
            *self.position().lock().unwrap_or_else(PoisonError::into_inner)
        };
        let (records, position) = self.store().read().await?.revocations().since(position).await?;
        let mut key_changes = Vec::new();
        for RecordedRevocation { revocation, at } in records {
            let until = self.sayable_until(at);
            match revocation {
                Revocation::KeysChanged => key_changes.push(at),
                _ if until <= now => {}
                Revocation::SessionEnded(session) => self.parts().revocations.note_ended(session, until),
                Revocation::RolesChanged { user_id, roles } => {
                    self.parts().revocations.note_roles(user_id, roles, until);
                }
            }
        }
        *self.position().lock().unwrap_or_else(PoisonError::into_inner) = position;
        self.parts().revocations.heard(now);
        // What was committed a moment ago may be read again, for long where another transaction is left open.
        let mut known = self.key_changes().lock().unwrap_or_else(PoisonError::into_inner);
        let keys_changed = key_changes.iter().any(|at| !known.contains(at));
        *known = key_changes;
        Ok(Watched { keys_changed })
    }

    /// Until when an access token can say what was true before `at`. The clocks of two nodes count in, twice: of the
    /// one that issued it and of the one that revoked.
    pub(crate) fn sayable_until(&self, at: Timestamp) -> Timestamp {
        at.plus(self.settings().access_token_lifetime).plus(2 * CLOCK_SKEW)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::store::MockUnit;
    use doorward_domain::{SessionId, StoreError};

    use super::*;
    use crate::testing::{NOW, OTHER_SESSION, REFUSED, SECOND, SESSION_ID, Setup, USER_ID, access_token};
    use crate::token::TokenSettings;
    use crate::{AuthenticationError, RegistrationMode, Standing};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit that is asked from one position on and answers with these and the next position.
    fn saying(from: i64, records: Vec<(Revocation, Timestamp)>, upto: i64) -> MockUnit {
        let mut unit = MockUnit::default();
        let since = unit.revocations.expect_since().times(1);
        since.withf(move |position| *position == RevocationPosition::new(from)).returning(move |_| {
            let records = records.clone().into_iter();
            let records = records.map(|(revocation, at)| RecordedRevocation { revocation, at }).collect();
            Ok((records, RevocationPosition::new(upto)))
        });
        unit
    }

    fn ended(session: SessionId) -> Revocation {
        Revocation::SessionEnded(session)
    }

    #[pollster::test]
    async fn what_another_node_revoked_counts_here_after_one_step() {
        let setup = setup();
        let roles = Revocation::RolesChanged { user_id: USER_ID, roles: vec!["admin".to_owned()] };
        setup.store.plan_read(saying(0, vec![(ended(OTHER_SESSION), NOW), (roles, NOW)], 7));
        setup.store.plan_read(saying(7, vec![(ended(SESSION_ID), NOW)], 8));
        setup.store.plan_read(saying(8, Vec::new(), 8));
        let auth = setup.auth();

        assert_eq!(auth.watch_revocations().await.unwrap(), Watched { keys_changed: false });
        assert!(auth.authenticate(&access_token()).unwrap().has_role("admin"));
        assert_eq!(auth.parts().revocations.check(OTHER_SESSION, USER_ID), Standing::Ended);

        auth.watch_revocations().await.unwrap();
        auth.watch_revocations().await.unwrap();
        assert!(auth.authenticate(&access_token()).is_err());
    }

    #[pollster::test]
    async fn what_no_token_can_say_any_more_is_not_remembered() {
        let nameable = TokenSettings::DEFAULT_LIFETIME + 2 * CLOCK_SKEW;
        let setup = setup();
        let past = (ended(SESSION_ID), NOW.minus(nameable));
        let last = (ended(OTHER_SESSION), NOW.minus(nameable).plus(SECOND));
        setup.store.plan_read(saying(0, vec![past, last], 3));
        let auth = setup.auth();

        auth.watch_revocations().await.unwrap();

        assert!(auth.authenticate(&access_token()).is_ok());
        assert_eq!(auth.parts().revocations.check(OTHER_SESSION, USER_ID), Standing::Ended);
    }

    #[pollster::test]
    async fn changed_keys_are_reported_once() {
        let change = |seconds| (Revocation::KeysChanged, NOW.minus(seconds * SECOND));
        let setup = setup();
        setup.store.plan_read(saying(0, vec![change(7)], 1));
        setup.store.plan_read(saying(1, vec![change(7)], 1));
        setup.store.plan_read(saying(1, vec![change(7), change(2)], 1));
        setup.store.plan_read(saying(1, vec![change(7), change(2)], 9));
        setup.store.plan_read(saying(9, Vec::new(), 9));
        let auth = setup.auth();
        for keys_changed in [true, false, true, false, false] {
            assert_eq!(auth.watch_revocations().await.unwrap(), Watched { keys_changed });
        }
    }

    #[pollster::test]
    async fn a_clock_that_was_ahead_for_a_while_brings_no_session_back() {
        let setup = setup();
        let time = setup.time.clone();
        setup.store.plan_read(saying(0, vec![(ended(SESSION_ID), NOW)], 7));
        setup.store.plan_read(saying(0, vec![(ended(SESSION_ID), NOW)], 7));
        let auth = setup.auth();
        time.set(NOW.plus(Duration::from_hours(1)));
        auth.watch_revocations().await.unwrap();
        auth.parts().revocations.forget_past(auth.now());

        time.set(NOW.plus(SECOND));
        auth.watch_revocations().await.unwrap();

        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn a_silent_database_is_asked_from_the_same_position_and_makes_the_node_stale() {
        let setup = setup();
        let staleness = setup.settings.staleness;
        let time = setup.time.clone();
        let mut silent = MockUnit::default();
        silent.revocations.expect_since().times(1).returning(|_| Err(StoreError::Unavailable("gone".into())));
        setup.store.plan_read(silent);
        setup.store.plan_read(saying(0, Vec::new(), 0));
        let auth = setup.auth();
        time.set(NOW.plus(staleness + SECOND));

        assert!(auth.watch_revocations().await.is_err());
        assert_eq!(auth.authenticate(&access_token()), Err(AuthenticationError::Stale));

        auth.watch_revocations().await.unwrap();
        assert!(!matches!(auth.authenticate(&access_token()), Err(AuthenticationError::Stale)));
    }
}
