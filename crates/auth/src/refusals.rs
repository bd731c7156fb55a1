//! Refusals by the thousand are counted instead of written one by one: a flood must not fill the disk.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_domain::{Client, EventKind, EventReason, SecurityEvent, Timestamp};

use crate::unit::retrying;
use crate::{Auth, Fault};

/// The time in which refusals of one sort are written in full until there are too many.
pub const REFUSAL_WINDOW: Duration = Duration::from_secs(10);

/// How many refusals of one sort a node writes in full within a [`REFUSAL_WINDOW`]. The rest become one entry with their
/// number when the window ends.
pub const REFUSALS_IN_FULL: u32 = 50;

#[derive(Clone, Copy)]
struct Window {
    began: Timestamp,
    written: u32,
    counted: u32,
}

type Sort = (EventKind, EventReason);

/// The refusals of a node, by sort. There are as many sorts as there are names.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<Sort, Window>>);

impl Refusals {
    /// Whether a refusal is to be written in full. If not, it has been counted.
    pub(crate) fn is_written(&self, kind: EventKind, reason: EventReason, now: Timestamp) -> bool {
        let mut windows = self.windows();
        let window = windows.entry((kind, reason)).or_insert(Window { began: now, written: 0, counted: 0 });
        // What was counted in a window that is over is still to be written, and waits for that.
        if is_over(window, now) && window.counted == 0 {
            *window = Window { began: now, written: 0, counted: 0 };
        }
        if window.written < REFUSALS_IN_FULL && window.counted == 0 {
            window.written += 1;
            return true;
        }
        window.counted = window.counted.saturating_add(1);
        false
    }

    /// What was counted in windows that are over, or in any, and is counted no longer.
    fn take(&self, now: Timestamp, all: bool) -> Vec<(Sort, u32)> {
        let mut windows = self.windows();
        let mut taken = Vec::new();
        windows.retain(|sort, window| {
            let over = all || is_over(window, now);
            if over && window.counted > 0 {
                taken.push((*sort, window.counted));
            }
            !over
        });
        taken
    }

    /// Counts again what could not be written.
    fn put_back(&self, taken: Vec<(Sort, u32)>, now: Timestamp) {
        let mut windows = self.windows();
        for (sort, counted) in taken {
            let window = windows.entry(sort).or_insert(Window { began: now, written: 0, counted: 0 });
            window.counted = window.counted.saturating_add(counted);
        }
    }

    fn windows(&self) -> MutexGuard<'_, HashMap<Sort, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(window: &Window, now: Timestamp) -> bool {
    // A clock that was set back ends it as well.
    now < window.began || now >= window.began.plus(REFUSAL_WINDOW)
}

impl Auth {
    /// Writes what was only counted, one entry for each sort of refusal. Of windows that go on, with `all` alone: when the
    /// service ends.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer; nothing is lost then.
    pub async fn record_counted_refusals(&self, all: bool) -> Result<(), Fault> {
        let now = self.now();
        let taken = self.refusals().take(now, all);
        if taken.is_empty() {
            return Ok(());
        }
        let written = self.write_counted(&taken).await;
        if written.is_err() {
            self.refusals().put_back(taken, now);
        }
        written
    }

    async fn write_counted(&self, taken: &[(Sort, u32)]) -> Result<(), Fault> {
        let event = |&((kind, reason), count): &(Sort, u32)| {
            let event = self.event(kind, Some(reason), (None, None), &Client::default())?;
            Ok(SecurityEvent { count, ..event })
        };
        let events = taken.iter().map(event).collect::<Result<Vec<_>, Fault>>()?;
        retrying(|| async {
            let mut unit = self.store().write().await?;
            for event in &events {
                unit.events().append(event).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::StoreError;
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, SECOND, Seen, Setup};

    const SORT: Sort = (EventKind::Login, EventReason::GuessLimit);

    fn refuse(refusals: &Refusals, times: usize, now: Timestamp) -> usize {
        (0..times).filter(|_| refusals.is_written(SORT.0, SORT.1, now)).count()
    }

    #[test]
    fn so_many_are_written_and_the_rest_is_counted() {
        let refusals = Refusals::default();
        assert_eq!(refuse(&refusals, 1_000, NOW), 50);
        assert!(
            refusals.is_written(EventKind::Login, EventReason::ClientLimit, NOW),
            "another sort has its own window"
        );
        assert_eq!(refusals.take(NOW.plus(9 * SECOND), false), []);
        assert_eq!(refusals.take(NOW.plus(10 * SECOND), false), [(SORT, 950)]);
        assert_eq!(refuse(&refusals, 1_000, NOW.plus(10 * SECOND)), 50, "a new window");
        assert_eq!(refusals.take(NOW.plus(11 * SECOND), true), [(SORT, 950)]);
    }

    #[test]
    fn a_few_in_every_window_are_all_written() {
        let refusals = Refusals::default();
        for window in 0..5 {
            assert_eq!(refuse(&refusals, 50, NOW.plus(window * REFUSAL_WINDOW)), 50);
        }
        assert_eq!(refusals.take(NOW.plus(5 * REFUSAL_WINDOW), false), []);
    }

    fn flooded() -> (Setup, Auth) {
        let setup = Setup::new(RegistrationMode::Verified);
        let spare = Setup { store: std::sync::Arc::clone(&setup.store), ..Setup::new(RegistrationMode::Verified) };
        let auth = setup.auth();
        refuse(auth.refusals(), 80, NOW);
        (spare, auth)
    }

    #[pollster::test]
    async fn what_was_counted_becomes_one_entry_with_its_number() {
        let (setup, auth) = flooded();
        let seen = Seen::<SecurityEvent>::default();
        let mut unit = MockUnit::default();
        let events = seen.clone();
        unit.events.expect_append().times(1).returning(move |event| {
            events.note(event.clone());
            Ok(())
        });
        let written = setup.store.plan_write(unit);

        auth.record_counted_refusals(true).await.unwrap();
        auth.record_counted_refusals(true).await.unwrap();

        assert!(written.yes());
        let event = seen.only();
        assert_eq!((event.kind, event.reason, event.count), (SORT.0, Some(SORT.1), 30));
        assert_eq!((event.user_id, event.client), (None, Client::default()));
    }

    #[pollster::test]
    async fn what_cannot_be_written_is_not_lost() {
        let (setup, auth) = flooded();
        let mut failing = MockUnit::default();
        failing.events.expect_append().returning(|_| Err(StoreError::Unavailable("gone".into())));
        setup.store.plan_write(failing);
        assert!(auth.record_counted_refusals(true).await.is_err());
        let mut unit = MockUnit::default();
        unit.events.expect_append().times(1).withf(|event| event.count == 30).returning(|_| Ok(()));
        setup.store.plan_write(unit);
        auth.record_counted_refusals(true).await.unwrap();
    }
}
