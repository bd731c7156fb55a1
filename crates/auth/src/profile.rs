use doorward_domain::{Client, DisplayName, EventKind, EventReason, User};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, CurrentUser, Fault, Unauthenticated};

/// A wish to be called something else, or nothing.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The new name; `None` takes the old one away.
    pub name: Option<DisplayName>,
}

/// Why one's own profile could not be read or changed.
#[derive(Debug, Error)]
pub enum ProfileError {
    /// The account is gone or disabled since the token was issued.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// The user as they are now, not as their token remembers them.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Unauthenticated`] when the account is gone or disabled.
    pub async fn me(&self, user: &CurrentUser) -> Result<User, ProfileError> {
        let found = self.find_self(user).await?;
        Ok(found.filter(|user| !user.disabled()).ok_or(Unauthenticated)?)
    }

    /// Sets or clears the user's own name.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Unauthenticated`] when the account is gone or disabled; its name did not change then.
    pub async fn rename(&self, user: &CurrentUser, request: Rename, client: &Client) -> Result<User, ProfileError> {
        let now = self.now();
        let renamed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let held = unit.users().hold(user.id()).await?;
            let reason = held.as_ref().map_or(EventReason::UnknownAccount, |_| EventReason::AccountDisabled);
            let renamed = match held.filter(|user| !user.disabled()) {
                Some(user) => unit.users().rename(user.id, request.name.clone(), now).await?,
                None => None,
            };
            let reason = renamed.is_none().then_some(reason);
            let subject = (Some(user.id()), Some(user.session_id()));
            let event = self.event(EventKind::ProfileChange, reason, subject, client)?;
            unit.events().append(&event).await?;
            unit.commit().await?;
            Ok(renamed)
        })
        .await?;
        Ok(renamed.ok_or(Unauthenticated)?)
    }

    async fn find_self(&self, user: &CurrentUser) -> Result<Option<User>, Fault> {
        Ok(self.store().read().await?.users().find(user.id()).await?)
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, SESSION_ID, Setup, USER_ID, client, current_user, disabled_user, expect_event, user};

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit that finds the user.
    fn finding(found: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        let find = unit.users.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(move |_| Ok(found.clone()));
        unit
    }

    /// A unit that holds the user.
    fn holding(held: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        let hold = unit.users.expect_hold().times(1);
        hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
        unit
    }

    #[pollster::test]
    async fn the_profile_is_as_it_is_now() {
        let renamed = User { name: DisplayName::parse("Ada Lovelace").ok(), ..user() };
        let setup = setup();
        setup.store.plan_read(finding(Some(renamed.clone())));
        let auth = setup.auth();

        assert_eq!(auth.me(&current_user(&auth)).await.unwrap(), renamed);
    }

    #[pollster::test]
    async fn a_token_outlives_neither_the_account_nor_its_being_enabled() {
        for found in [None, Some(disabled_user())] {
            let setup = setup();
            setup.store.plan_read(finding(found));
            let auth = setup.auth();

            let outcome = auth.me(&current_user(&auth)).await;

            assert!(matches!(outcome, Err(ProfileError::Unauthenticated(_))), "{outcome:?}");
        }
    }

    #[pollster::test]
    async fn a_name_is_set_and_cleared_and_both_are_recorded() {
        for name in [DisplayName::parse("Countess").ok(), None] {
            let renamed = User { name: name.clone(), updated_at: NOW, ..user() };
            let mut unit = holding(Some(User { name: DisplayName::parse("Ada").ok(), ..user() }));
            let (expected, result) = (name.clone(), renamed.clone());
            let rename = unit.users.expect_rename().times(1);
            let rename = rename.withf(move |id, name, now| *id == USER_ID && *name == expected && *now == NOW);
            rename.returning(move |_, _, _| Ok(Some(result.clone())));
            expect_event(&mut unit, EventKind::ProfileChange, None, (Some(USER_ID), Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            let outcome = auth.rename(&current_user(&auth), Rename { name }, &client()).await.unwrap();

            assert!(written.yes());
            assert_eq!(outcome, renamed);
        }
    }

    #[pollster::test]
    async fn a_disabled_or_deleted_account_keeps_its_name() {
        for (held, reason) in
            [(None, EventReason::UnknownAccount), (Some(disabled_user()), EventReason::AccountDisabled)]
        {
            let mut unit = holding(held);
            expect_event(&mut unit, EventKind::ProfileChange, Some(reason), (Some(USER_ID), Some(SESSION_ID)));
            let setup = setup();
            let written = setup.store.plan_write(unit);
            let auth = setup.auth();

            let request = Rename { name: DisplayName::parse("Countess").ok() };
            let outcome = auth.rename(&current_user(&auth), request, &client()).await;

            assert!(matches!(outcome, Err(ProfileError::Unauthenticated(_))), "{outcome:?}");
            assert!(written.yes());
        }
    }
}
