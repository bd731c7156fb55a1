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

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;
    use doorward_domain::{Client, EventKind};
    use uuid::Uuid;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, Setup, USER_ID, current_user};

    fn event(n: u128) -> SecurityEvent {
        let id = EventId::from_uuid(Uuid::from_u128(n));
        let kind = EventKind::Login;
        SecurityEvent {
            id,
            at: NOW,
            kind,
            reason: None,
            user_id: Some(USER_ID),
            session_id: None,
            client: Client::default(),
            count: 1,
        }
    }

    #[pollster::test]
    async fn a_page_says_where_the_next_one_begins_if_there_is_one() {
        let before = Some(event(9).id);
        for (asked, fetched, stored, next) in
            [(2, 3, 3, Some(event(2).id)), (2, 3, 2, None), (0, 2, 1, None), (1_000, 101, 0, None)]
        {
            let setup = Setup::new(RegistrationMode::Verified);
            let mut unit = MockUnit::default();
            let of_user = unit.events.expect_of_user().times(1);
            let of_user = of_user.withf(move |user, from, limit| (*user, *from, *limit) == (USER_ID, before, fetched));
            of_user.returning(move |_, _, _| Ok((1..=stored).map(event).collect()));
            setup.store.plan_read(unit);
            let auth = setup.auth();
            let page = auth.events(&current_user(&auth), ListEvents { before, limit: asked }).await.unwrap();
            assert_eq!(page.next, next, "{asked}");
            assert!(page.events.len() <= asked.max(1) as usize);
        }
    }
}
