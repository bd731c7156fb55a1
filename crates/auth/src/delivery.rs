//! What delivering mails and delivering webhooks have in common: for how long a node keeps them to itself, and when what
//! failed is tried again.

use std::time::Duration;

use doorward_domain::Timestamp;

use crate::{Auth, Fault};

/// For how long a node keeps what it delivers to itself. When it dies, another one delivers it after this.
pub(crate) const LEASE: Duration = Duration::from_secs(45);
/// How much is leased at once.
pub(crate) const BATCH: u32 = 20;
/// For how long delivering is tried.
const TRIED_FOR: Duration = Duration::from_hours(24);
/// The wait after the first failed attempt; it doubles with every further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long it may take to write down how an attempt went.
const SETTLING: Duration = Duration::from_secs(5);

/// How long after its lease a node stops beginning attempts that take up to `limit`, so that what it has begun ends
/// within the lease.
pub(crate) const fn last_start(limit: Duration) -> Duration {
    LEASE.saturating_sub(limit).saturating_sub(SETTLING)
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryReport<Id> {
    /// How many were handed over.
    pub sent: u32,
    /// Those that were not, and why; each is tried again or a dead letter.
    pub failed: Vec<FailedDelivery<Id>>,
    /// Whether there was no connection to whoever takes them.
    pub no_connection: bool,
}

/// What was not handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDelivery<Id> {
    /// Which it was.
    pub id: Id,
    /// Why. Holds neither an address nor a token nor a secret.
    pub error: String,
    /// Whether it is a dead letter now.
    pub dead: bool,
}

impl<Id> Default for DeliveryReport<Id> {
    fn default() -> Self {
        Self { sent: 0, failed: Vec::new(), no_connection: false }
    }
}

/// Something whose lease ends without its having been handed over.
pub(crate) struct Unsent<Id> {
    pub(crate) id: Id,
    /// When it is due again; never, when it is a dead letter.
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) attempts: u32,
}

impl<Id> Unsent<Id> {
    pub(crate) fn failed(self, error: &str) -> FailedDelivery<Id> {
        FailedDelivery { id: self.id, error: error.to_owned(), dead: self.due_at.is_none() }
    }
}

impl Auth {
    /// What becomes of something that has just failed after so many earlier attempts: it is due again after a wait, or a
    /// dead letter.
    pub(crate) fn unsent<Id>(
        &self,
        id: Id,
        created_at: Timestamp,
        earlier_attempts: u32,
        refused_for_good: bool,
    ) -> Result<Unsent<Id>, Fault> {
        let attempts = earlier_attempts.saturating_add(1);
        let due_at = self.now().plus(self.wait_after(attempts)?);
        let again = !refused_for_good && due_at <= created_at.plus(TRIED_FOR);
        Ok(Unsent { id, due_at: again.then_some(due_at), attempts })
    }

    /// How long to wait after so many failed attempts: up to a quarter longer than the doubled wait before, so that
    /// what failed together is not tried again together.
    fn wait_after(&self, attempts: u32) -> Result<Duration, Fault> {
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        let mut random = [0];
        self.parts().entropy.fill(&mut random)?;
        Ok(wait + wait / 1024 * u32::from(random[0]))
    }
}
