use doorward_domain::{Client, EventKind, EventReason};

use crate::{Auth, CurrentUser, Fault};

impl Auth {
    /// Records that a request was refused before it came to any use case, or failed for a reason that nobody foresaw.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn record_refused_request(&self, reason: EventReason, client: &Client) -> Result<(), Fault> {
        self.record(EventKind::Request, reason, (None, None), client).await
    }

    /// Records that a user asked for what is not theirs to reach (ASVS 16.3.2), with
    /// [`EventReason::OtherOwner`], [`EventReason::UnknownResource`] or [`EventReason::MissingRole`].
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn record_refused_access(
        &self,
        user: &CurrentUser,
        reason: EventReason,
        client: &Client,
    ) -> Result<(), Fault> {
        self.record(EventKind::ResourceAccess, reason, (Some(user.id()), Some(user.session_id())), client).await
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{SESSION_ID, Setup, USER_ID, client, current_user, expect_event};

    #[pollster::test]
    async fn refused_access_is_on_record_with_the_session_that_tried() {
        let setup = Setup::new(RegistrationMode::Verified);
        let mut unit = MockUnit::default();
        let subject = (Some(USER_ID), Some(SESSION_ID));
        expect_event(&mut unit, EventKind::ResourceAccess, Some(EventReason::OtherOwner), subject);
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();
        auth.record_refused_access(&current_user(&auth), EventReason::OtherOwner, &client()).await.unwrap();
        assert!(written.yes());
    }
}
