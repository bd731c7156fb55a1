use std::fmt;
use std::sync::Arc;

use doorward_domain::{
    Client, Clock, EmailAddress, EndReason, Entropy, EntropyUnavailable, EventId, EventKind, Role, SecurityEvent,
    SessionId, Store, Timestamp, User, UserId,
};
use thiserror::Error;

use crate::unit::retrying;
use crate::{Auth, Fault};

/// What an operator does to accounts. It needs far less than an [`Auth`], so that a command has it at once: no
/// hashing threads, no keys, no mail.
#[derive(Clone)]
pub struct Administration {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// Why an account was not changed.
#[derive(Debug, Error)]
pub enum AdministrationError {
    /// There is no such user.
    #[error("there is no such user")]
    UnknownUser,
    /// More roles than an access token has room for.
    #[error("a user has at most {} roles", Administration::MOST_ROLES)]
    TooManyRoles,
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Administration {
    /// The most roles that a user may have. They stand in every access token.
    pub const MOST_ROLES: usize = 32;

    /// The accounts in this database.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { store, clock, entropy }
    }

    /// The user with this address, in whatever case; `None` where nobody has it.
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn find_user(&self, address: &EmailAddress) -> Result<Option<User>, Fault> {
        Ok(self.store.read().await?.users().find_by_address(address).await?)
    }

    /// Disables an account: it cannot log in, and its sessions end. One that is disabled stays as it is.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`].
    pub async fn disable_user(&self, id: UserId) -> Result<(), AdministrationError> {
        self.disable(id, |_, _| ()).await
    }

    /// Enables an account that is disabled. It can log in again; its sessions stay ended.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`].
    pub async fn enable_user(&self, id: UserId) -> Result<(), AdministrationError> {
        let found = retrying(|| async {
            let mut unit = self.store.write().await?;
            if unit.users().hold(id).await?.is_none() {
                return Ok(Found::Nobody);
            }
            let now = self.clock.now();
            if !unit.users().set_disabled(id, None, now).await? {
                return Ok(Found::User);
            }
            unit.events().append(&self.event(EventKind::UserEnable, id, now)?).await?;
            unit.commit().await?;
            Ok(Found::User)
        })
        .await?;
        found.into()
    }

    /// Gives a user these roles and no others. Doorward's own nodes go by them within seconds, also for access tokens
    /// that say otherwise. A user who has exactly these stays as they are.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`], [`AdministrationError::TooManyRoles`].
    pub async fn set_roles(&self, id: UserId, roles: &[Role]) -> Result<(), AdministrationError> {
        self.give_roles(id, roles, |_, _| ()).await
    }

    /// `ending` is told which sessions end, and when, right before the unit is committed.
    async fn disable(&self, id: UserId, ending: impl Fn(&[SessionId], Timestamp)) -> Result<(), AdministrationError> {
        let found = retrying(|| async {
            let mut unit = self.store.write().await?;
            // A log-in that is under way either has begun its session by now or waits and finds the account disabled.
            if unit.users().hold(id).await?.is_none() {
                return Ok(Found::Nobody);
            }
            // Not before: waiting may take long, and tokens are issued meanwhile.
            let now = self.clock.now();
            if !unit.users().set_disabled(id, Some(now), now).await? {
                return Ok(Found::User);
            }
            let ended = unit.sessions().end_all(id, None, EndReason::AccountDisabled, now).await?;
            unit.events().append(&self.event(EventKind::UserDisable, id, now)?).await?;
            ending(&ended, now);
            unit.commit().await?;
            Ok(Found::User)
        })
        .await?;
        found.into()
    }

    /// `giving` is told the roles as they will be, and since when, right before the unit is committed.
    async fn give_roles(
        &self,
        id: UserId,
        roles: &[Role],
        giving: impl Fn(&[String], Timestamp),
    ) -> Result<(), AdministrationError> {
        if roles.len() > Self::MOST_ROLES {
            return Err(AdministrationError::TooManyRoles);
        }
        // In one order and each once, so that the same roles are the same text wherever they stand.
        let mut roles = roles.to_vec();
        roles.sort();
        roles.dedup();
        let names: Vec<String> = roles.iter().map(Role::to_string).collect();
        let found = retrying(|| async {
            let mut unit = self.store.write().await?;
            let Some(user) = unit.users().hold(id).await? else { return Ok(Found::Nobody) };
            if user.roles == names {
                return Ok(Found::User);
            }
            let now = self.clock.now();
            unit.users().set_roles(id, &roles, now).await?;
            unit.events().append(&self.event(EventKind::RolesChange, id, now)?).await?;
            giving(&names, now);
            unit.commit().await?;
            Ok(Found::User)
        })
        .await?;
        found.into()
    }

    /// An entry for the security log. An operator is at the machine and not a client.
    fn event(&self, kind: EventKind, user: UserId, at: Timestamp) -> Result<SecurityEvent, EntropyUnavailable> {
        Ok(SecurityEvent {
            id: EventId::new(&*self.clock, &*self.entropy)?,
            at,
            kind,
            reason: None,
            user_id: Some(user),
            session_id: None,
            client: Client::default(),
            count: 1,
        })
    }
}

impl fmt::Debug for Administration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Administration(..)")
    }
}

/// Whether there was somebody to change.
#[derive(Clone, Copy)]
enum Found {
    User,
    Nobody,
}

impl From<Found> for Result<(), AdministrationError> {
    fn from(found: Found) -> Self {
        match found {
            Found::User => Ok(()),
            Found::Nobody => Err(AdministrationError::UnknownUser),
        }
    }
}

impl Auth {
    /// The same as [`Administration::find_user`].
    ///
    /// # Errors
    ///
    /// [`Fault::Store`] when the database does not answer.
    pub async fn find_user(&self, address: &EmailAddress) -> Result<Option<User>, Fault> {
        self.administration().find_user(address).await
    }

    /// The same as [`Administration::disable_user`], and this node refuses the access tokens at once.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`].
    pub async fn disable_user(&self, id: UserId) -> Result<(), AdministrationError> {
        self.administration().disable(id, |ended, now| self.note_all_ended(ended, now)).await
    }

    /// The same as [`Administration::enable_user`].
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`].
    pub async fn enable_user(&self, id: UserId) -> Result<(), AdministrationError> {
        self.administration().enable_user(id).await
    }

    /// The same as [`Administration::set_roles`], and this node goes by the roles at once.
    ///
    /// # Errors
    ///
    /// [`AdministrationError::UnknownUser`], [`AdministrationError::TooManyRoles`].
    pub async fn set_roles(&self, id: UserId, roles: &[Role]) -> Result<(), AdministrationError> {
        let note = |roles: &[String], now: Timestamp| {
            self.parts().revocations.note_roles(id, roles.to_vec(), self.sayable_until(now));
        };
        self.administration().give_roles(id, roles, note).await
    }

    fn administration(&self) -> Administration {
        let parts = self.parts();
        Administration::new(Arc::clone(&parts.store), Arc::clone(&parts.clock), Arc::clone(&parts.entropy))
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::StoreError;
    use doorward_domain::store::MockUnit;
    use mockall::Sequence;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{
        CountingEntropy, NOW, OTHER_SESSION, REFUSED, SESSION_ID, Setup, TestStore, Time, USER_ID, access_token,
        current_user, disabled_user, email, user,
    };

    fn administration(store: &Arc<TestStore>) -> Administration {
        Administration::new(
            Arc::<TestStore>::clone(store),
            Arc::new(Time::at(NOW).clock()),
            Arc::new(CountingEntropy::default()),
        )
    }

    /// A unit that holds this user.
    fn holding(held: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        unit.users.expect_hold().times(1).withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
        unit
    }

    fn records(unit: &mut MockUnit, kind: EventKind) {
        let append = unit.events.expect_append().times(1);
        let append = append.withf(move |event| {
            (event.kind, event.reason, event.at) == (kind, None, NOW)
                && (event.user_id, event.session_id) == (Some(USER_ID), None)
                && event.client == Client::default()
        });
        append.returning(|_| Ok(()));
    }

    /// A unit that holds a user, disables the account and then ends these sessions.
    fn disabling(sessions: Vec<SessionId>) -> MockUnit {
        let mut unit = MockUnit::default();
        let mut order = Sequence::new();
        let hold = unit.users.expect_hold().times(1).in_sequence(&mut order);
        hold.withf(|id| *id == USER_ID).returning(|_| Ok(Some(user())));
        let set = unit.users.expect_set_disabled().times(1).in_sequence(&mut order);
        let set = set.withf(|id, disabled_at, now| (*id, *disabled_at, *now) == (USER_ID, Some(NOW), NOW));
        set.returning(|_, _, _| Ok(true));
        let end = unit.sessions.expect_end_all().times(1).in_sequence(&mut order);
        let end = end.withf(|id, except, reason, now| {
            (*id, *except, *reason, *now) == (USER_ID, None, EndReason::AccountDisabled, NOW)
        });
        end.returning(move |_, _, _, _| Ok(sessions.clone()));
        records(&mut unit, EventKind::UserDisable);
        unit
    }

    /// A unit in which the account is in the wished state already.
    fn unchanged(held: User) -> MockUnit {
        let mut unit = holding(Some(held));
        unit.users.expect_set_disabled().times(1).returning(|_, _, _| Ok(false));
        unit
    }

    /// A unit that gives the user these roles.
    fn giving(expected: &'static [&'static str]) -> MockUnit {
        let mut unit = holding(Some(user()));
        let set = unit.users.expect_set_roles().times(1);
        let set = set.withf(|id, roles, now| {
            (*id, *now) == (USER_ID, NOW) && roles.iter().map(Role::as_str).eq(expected.iter().copied())
        });
        set.returning(|_, _, _| Ok(true));
        records(&mut unit, EventKind::RolesChange);
        unit
    }

    fn roles(texts: &[&str]) -> Vec<Role> {
        texts.iter().map(|text| Role::parse(text).unwrap()).collect()
    }

    #[pollster::test]
    async fn no_more_roles_than_a_token_has_room_for() {
        // No unit is opened: one that is fails the test.
        let store = Arc::new(TestStore::default());
        let roles: Vec<Role> =
            (0..=Administration::MOST_ROLES).map(|n| Role::parse(&format!("r{n}")).unwrap()).collect();
        let outcome = administration(&store).set_roles(USER_ID, &roles).await;
        assert!(matches!(outcome, Err(AdministrationError::TooManyRoles)), "{outcome:?}");
    }

    #[pollster::test]
    async fn a_user_is_found_by_address() {
        for found in [Some(user()), None] {
            let store = Arc::new(TestStore::default());
            let mut unit = MockUnit::default();
            let find = unit.users.expect_find_by_address().times(1);
            let expected = found.clone();
            find.withf(|address| *address == email()).returning(move |_| Ok(found.clone()));
            store.plan_read(unit);

            assert_eq!(administration(&store).find_user(&email()).await.unwrap(), expected);
        }
    }

    #[pollster::test]
    async fn disabling_ends_every_session_in_the_same_unit() {
        let store = Arc::new(TestStore::default());
        let written = store.plan_write(disabling(vec![SESSION_ID]));

        administration(&store).disable_user(USER_ID).await.unwrap();

        assert!(written.yes());
    }

    #[pollster::test]
    async fn disabling_twice_and_enabling_twice_record_nothing_further() {
        let store = Arc::new(TestStore::default());
        let unused = [store.plan_write(unchanged(disabled_user())), store.plan_write(unchanged(user()))];

        administration(&store).disable_user(USER_ID).await.unwrap();
        administration(&store).enable_user(USER_ID).await.unwrap();

        assert!(!unused.iter().any(crate::testing::Committed::yes));
    }

    #[pollster::test]
    async fn enabling_is_recorded_and_brings_no_session_back() {
        let mut unit = holding(Some(disabled_user()));
        let set = unit.users.expect_set_disabled().times(1);
        let set = set.withf(|id, disabled_at, now| (*id, *disabled_at, *now) == (USER_ID, None, NOW));
        set.returning(|_, _, _| Ok(true));
        records(&mut unit, EventKind::UserEnable);
        let store = Arc::new(TestStore::default());
        let written = store.plan_write(unit);

        administration(&store).enable_user(USER_ID).await.unwrap();

        assert!(written.yes());
    }

    #[pollster::test]
    async fn roles_are_written_in_order_and_each_once() {
        for (given, expected) in [
            (roles(&["writer", "admin", "writer"]), &["admin", "writer"][..]),
            (roles(&["billing:read"]), &["billing:read"][..]),
        ] {
            let store = Arc::new(TestStore::default());
            let written = store.plan_write(giving(expected));

            administration(&store).set_roles(USER_ID, &given).await.unwrap();

            assert!(written.yes(), "{expected:?}");
        }
    }

    #[pollster::test]
    async fn the_roles_that_a_user_has_already_are_not_written() {
        for had in [vec!["admin".to_owned()], Vec::new()] {
            let given: Vec<Role> = had.iter().map(|text| Role::parse(text).unwrap()).collect();
            let store = Arc::new(TestStore::default());
            let unused = store.plan_write(holding(Some(User { roles: had, ..user() })));

            administration(&store).set_roles(USER_ID, &given).await.unwrap();

            assert!(!unused.yes());
        }
    }

    #[pollster::test]
    async fn nobody_cannot_be_changed() {
        let store = Arc::new(TestStore::default());
        let unused = [holding(None), holding(None), holding(None)].map(|unit| store.plan_write(unit));
        let administration = administration(&store);

        for outcome in [
            administration.disable_user(USER_ID).await,
            administration.enable_user(USER_ID).await,
            administration.set_roles(USER_ID, &roles(&["admin"])).await,
        ] {
            assert!(matches!(outcome, Err(AdministrationError::UnknownUser)), "{outcome:?}");
        }
        assert!(!unused.iter().any(crate::testing::Committed::yes));
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit() {
        let store = Arc::new(TestStore::default());
        store.plan_collision(disabling(vec![SESSION_ID]));
        let disabled = store.plan_write(disabling(vec![SESSION_ID, OTHER_SESSION]));
        store.plan_collision(giving(&["admin"]));
        let given = store.plan_write(giving(&["admin"]));

        administration(&store).disable_user(USER_ID).await.unwrap();
        administration(&store).set_roles(USER_ID, &roles(&["admin"])).await.unwrap();

        assert!(disabled.yes() && given.yes());
    }

    #[pollster::test]
    async fn the_node_that_disables_refuses_the_access_tokens_at_once() {
        let setup = Setup::new(RegistrationMode::Verified);
        let written = setup.store.plan_write(disabling(vec![SESSION_ID]));
        let auth = setup.auth();

        auth.disable_user(USER_ID).await.unwrap();

        assert!(written.yes());
        assert_eq!(auth.authenticate(&access_token()), REFUSED);
    }

    #[pollster::test]
    async fn the_node_that_gives_roles_goes_by_them_at_once() {
        let setup = Setup::new(RegistrationMode::Verified);
        setup.store.plan_write(giving(&["admin"]));
        let auth = setup.auth();
        assert!(!current_user(&auth).has_role("admin"));

        auth.set_roles(USER_ID, &roles(&["admin"])).await.unwrap();

        assert_eq!(current_user(&auth).roles(), ["admin"]);
    }

    #[pollster::test]
    async fn nothing_is_noted_when_nothing_was_written() {
        let setup = Setup::new(RegistrationMode::Verified);
        let mut unit = MockUnit::default();
        unit.users.expect_hold().times(1).returning(|_| Err(StoreError::Unavailable("gone".into())));
        setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.disable_user(USER_ID).await;

        assert!(matches!(outcome, Err(AdministrationError::Fault(_))), "{outcome:?}");
        assert!(auth.authenticate(&access_token()).is_ok());
    }
}
