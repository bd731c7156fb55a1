use doorward_domain::{EventId, SecurityEvent};

use crate::{Auth, CurrentUser, Fault};

/// Which of a user's own security events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListEvents {
    /// Only those before this one; `None` for the newest.
    pub before: Option<EventId>,
    /// How many at most, from 1 to [`ListEvents::LONGEST`].
    pub limit: u32,
}

impl ListEvents {
    /// The most that are listed at once.
    pub const LONGEST: u32 = 100;
}

impl Default for ListEvents {
    /// The newest 50.
    fn default() -> Self {
        Self { before: None, limit: 50 }
    }
}

/// Some of a user's own security events, the newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<SecurityEvent>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<EventId>,
}

impl Auth {
    /// What the security log says of the user, the newest first, but for refreshes that succeeded: a client makes one
    /// every few minutes, and they would bury the rest.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn events(&self, user: &CurrentUser, list: ListEvents) -> Result<EventPage, Fault> {
        let limit = list.limit.clamp(1, ListEvents::LONGEST);
        // One more than asked for tells whether there is a next page.
        let mut events = self.store().read().await?.events().of_user(user.id(), list.before, limit + 1).await?;
        let more = events.len() > limit as usize;
        events.truncate(limit as usize);
        let next = events.last().filter(|_| more).map(|event| event.id);
        Ok(EventPage { events, next })
    }
}
