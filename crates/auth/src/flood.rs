//! Plain floods, held off in memory before anything else is done.

use std::hash::Hash;

use doorward_domain::{Client, ClientNetwork, Rate, SessionId, Timestamp};
use quick_cache::sync::Cache;

use crate::throttle::ThrottlePolicy;
use crate::{Auth, TooOften};

/// Counts by key how often something is done, on this node alone.
///
/// It remembers so many keys and no more, whatever comes: who has enough addresses to have their own forgotten has enough
/// to need no second turn with any.
pub(crate) struct Gate<K> {
    rate: Option<Rate>,
    /// When as many as may be at once will have come back, in microseconds.
    full_at: Cache<K, i64>,
}

impl<K: Eq + Hash + Clone> Gate<K> {
    const REMEMBERED: usize = 64 * 1024;

    fn new(rate: Option<Rate>) -> Self {
        // Without a limit nothing is remembered.
        Self { rate, full_at: Cache::new(if rate.is_some() { Self::REMEMBERED } else { 1 }) }
    }

    /// Lets one through, or says how long to wait.
    fn pass(&self, key: &K, now: Timestamp) -> Result<(), TooOften> {
        let Some(rate) = self.rate else { return Ok(()) };
        // Two at once may see the same count: a flood is held off all the same, and nobody waits for a lock.
        let noted = self.full_at.get(key).map_or(now, Timestamp::from_unix_micros);
        let full = now.plus(rate.window());
        let taken = noted.max(now).plus(rate.interval());
        if taken > full {
            if noted > full {
                // The clock was set back, which must not close the gate for long.
                self.full_at.insert(key.clone(), full.unix_micros());
            }
            return Err(TooOften::until(taken.min(full.plus(rate.interval())).minus(rate.window()), now));
        }
        self.full_at.insert(key.clone(), taken.unix_micros());
        Ok(())
    }
}

/// The gates of a node.
pub(crate) struct Gates {
    requests: Gate<ClientNetwork>,
    refreshes: Gate<ClientNetwork>,
    sessions: Gate<SessionId>,
}

impl Gates {
    pub(crate) fn new(policy: &ThrottlePolicy) -> Self {
        Self {
            requests: Gate::new(policy.requests_by_client),
            refreshes: Gate::new(policy.refresh_by_client),
            sessions: Gate::new(policy.refresh_by_session),
        }
    }
}

impl Auth {
    /// Lets a request of a client through, whatever it asks for, or says how long to wait. Asks no database; to be called
    /// first.
    ///
    /// # Errors
    ///
    /// [`TooOften`].
    pub fn pass_request(&self, client: &Client) -> Result<(), TooOften> {
        match client.ip {
            Some(ip) => self.gates().requests.pass(&ClientNetwork::of(ip), self.now()),
            None => Ok(()),
        }
    }

    pub(crate) fn pass_refresh(&self, client: &Client) -> Result<(), TooOften> {
        match client.ip {
            Some(ip) => self.gates().refreshes.pass(&ClientNetwork::of(ip), self.now()),
            None => Ok(()),
        }
    }

    pub(crate) fn pass_session(&self, session: SessionId) -> Result<(), TooOften> {
        self.gates().sessions.pass(&session, self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{NOW, SECOND};

    fn passed(gate: &Gate<u32>, key: u32, now: Timestamp) -> usize {
        (0..100).take_while(|_| gate.pass(&key, now).is_ok()).count()
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_by_one() {
        let gate = Gate::new(Some(Rate::new(10, 20 * SECOND)));
        assert_eq!(passed(&gate, 1, NOW), 10);
        assert_eq!(passed(&gate, 2, NOW), 10, "another one has its own");
        assert_eq!(gate.pass(&1, NOW), Err(TooOften { retry_after: 2 * SECOND }));
        assert_eq!(passed(&gate, 1, NOW.plus(SECOND)), 0);
        assert_eq!(passed(&gate, 1, NOW.plus(2 * SECOND)), 1);
        assert_eq!(passed(&gate, 1, NOW.plus(100 * SECOND)), 10, "no more come back than there were");
    }

    #[test]
    fn a_clock_that_is_set_back_closes_a_gate_for_no_longer_than_its_window() {
        let gate = Gate::new(Some(Rate::new(10, 20 * SECOND)));
        assert_eq!(passed(&gate, 1, NOW.plus(Duration::from_hours(1))), 10);
        assert_eq!(passed(&gate, 1, NOW), 0);
        assert_eq!(gate.pass(&1, NOW), Err(TooOften { retry_after: 2 * SECOND }));
        assert_eq!(passed(&gate, 1, NOW.plus(4 * SECOND)), 2);
    }

    #[test]
    fn a_gate_without_a_rate_is_open() {
        let gate = Gate::new(None);
        assert_eq!(passed(&gate, 1, NOW), 100);
    }
}
