use crate::{Auth, AuthenticationError, Feed};

impl Auth {
    /// What other services are told of revocations, so that they know as well: all of it, or what became known after
    /// a feed was last read.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError::Stale`] when this node has not heard from the database for too long: whoever relies on
    /// the feed must not take silence for "nothing has been revoked".
    pub fn revocation_feed(&self, after: Option<&str>) -> Result<Feed, AuthenticationError> {
        if self.access_tokens().is_stale(self.now()) {
            return Err(AuthenticationError::Stale);
        }
        Ok(self.parts().revocations.feed(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{DAY, NOW, SECOND, SESSION_ID, Setup};

    #[test]
    fn a_node_that_hears_nothing_says_nothing() {
        let setup = Setup::new(RegistrationMode::Verified);
        let (time, staleness) = (setup.time.clone(), setup.settings.staleness);
        let auth = setup.auth();
        time.set(NOW.plus(staleness));
        assert!(auth.revocation_feed(None).is_ok());
        time.set(NOW.plus(staleness + SECOND));
        assert_eq!(auth.revocation_feed(None), Err(AuthenticationError::Stale));
    }

    #[test]
    fn a_cursor_leads_to_what_became_known_after_it() {
        let auth = Setup::new(RegistrationMode::Verified).auth();
        let before = auth.revocation_feed(None).unwrap();
        assert!(before.is_empty());

        auth.note_ended(SESSION_ID, NOW);

        let after = auth.revocation_feed(Some(&before.cursor)).unwrap();
        assert_eq!(after.ended, [(SESSION_ID, auth.sayable_until(NOW))]);
        assert!(auth.sayable_until(NOW) < NOW.plus(DAY));
        let again = auth.revocation_feed(Some(&after.cursor)).unwrap();
        assert!(again.is_empty());
        assert_eq!(again.cursor, after.cursor, "whoever waits for news would be woken by none");
    }
}
