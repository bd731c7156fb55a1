use std::time::Duration;

/// How often something may be done: so many times at once, after which it may be done again one by one, evenly, so that
/// as many have come back after `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    times: u32,
    per: Duration,
}

impl Rate {
    /// So many times, at least once, in each such time.
    #[must_use]
    pub const fn new(times: u32, per: Duration) -> Self {
        Self { times: if times == 0 { 1 } else { times }, per }
    }

    /// How many times at once.
    #[must_use]
    pub const fn times(self) -> u32 {
        self.times
    }

    /// After how long one more comes back, at least a microsecond.
    #[must_use]
    pub fn interval(self) -> Duration {
        (self.per / self.times).max(Duration::from_micros(1))
    }

    /// After how long all of them have come back.
    #[must_use]
    pub fn window(self) -> Duration {
        self.interval() * self.times
    }
}

/// How many wrong passwords in a row one account may be tried with (NIST SP 800-63B-4 section 3.2.2).
///
/// # Defaults
///
/// 5 without a delay; then 30 seconds, twice as long each time up to an hour; 100 in all, after which only a mailed link
/// helps, or a device that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessPolicy {
    /// How many before the first delay, at least 1.
    pub free: u32,
    /// The first delay.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// How many in a row at the most, however much time lies between them; at most 100.
    pub most: u32,
}

impl GuessPolicy {
    /// The most wrong passwords in a row that the standard allows.
    pub const MOST: u32 = 100;

    /// How long to wait after so many wrong passwords in a row.
    #[must_use]
    pub fn delay_after(&self, guesses: u32) -> Duration {
        let Some(doublings) = guesses.checked_sub(self.free) else { return Duration::ZERO };
        if doublings >= self.doublings() { self.longest_delay } else { self.first_delay * (1 << doublings) }
    }

    /// How often the first delay is doubled until it is the longest.
    #[must_use]
    pub fn doublings(&self) -> u32 {
        (0..31).find(|n| self.first_delay.saturating_mul(1 << n) >= self.longest_delay).unwrap_or(31)
    }
}

impl Default for GuessPolicy {
    fn default() -> Self {
        Self { free: 5, first_delay: Duration::from_secs(30), longest_delay: Duration::from_hours(1), most: Self::MOST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_up_comes_back_evenly() {
        let rate = Rate::new(50, Duration::from_mins(15));
        assert_eq!((rate.interval(), rate.window()), (Duration::from_secs(18), Duration::from_mins(15)));
        assert_eq!(Rate::new(0, Duration::from_secs(1)).times(), 1);
        assert_eq!(Rate::new(3, Duration::ZERO).interval(), Duration::from_micros(1));
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let policy = GuessPolicy::default();
        for (guesses, seconds) in [(0, 0), (4, 0), (5, 30), (6, 60), (7, 120), (11, 1_920), (12, 3_600), (100, 3_600)] {
            assert_eq!(policy.delay_after(guesses), Duration::from_secs(seconds), "{guesses}");
        }
        let constant = GuessPolicy { first_delay: policy.longest_delay, ..policy };
        assert_eq!((constant.doublings(), constant.delay_after(5)), (0, policy.longest_delay));
    }

    #[test]
    fn a_hundred_guesses_take_days_at_least() {
        let policy = GuessPolicy::default();
        let all: Duration = (1..100).map(|guesses| policy.delay_after(guesses)).sum();
        assert!(all > Duration::from_hours(3 * 24), "{all:?}");
    }
}
