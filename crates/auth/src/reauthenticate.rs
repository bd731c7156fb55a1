use doorward_domain::{Client, EventKind, EventReason, Password, PasswordCredential, User};
use thiserror::Error;

use crate::password::Verification;
use crate::throttle::Guess;
use crate::{Auth, CurrentUser, Fault, Unauthenticated};

/// Why a user could not prove anew who they are.
#[derive(Debug, Error)]
pub enum ReauthenticationError {
    /// The password is wrong.
    #[error("the password is wrong")]
    InvalidCredentials,
    /// The account is gone or disabled since the token was issued.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Checks the password of a user who is logged in, before something that a stolen session must not be enough
    /// for (ASVS 7.5.1). A wrong one is recorded as a failed `act`, and counted as a failed log-in; who has a session has a
    /// count of wrong ones of their own, so that no stranger can use it up.
    pub(crate) async fn reauthenticate(
        &self,
        current: &CurrentUser,
        password: &Password,
        act: EventKind,
        client: &Client,
    ) -> Result<(User, PasswordCredential), ReauthenticationError> {
        let mut unit = self.store().read().await.map_err(Fault::from)?;
        let user = unit.users().find(current.id()).await.map_err(Fault::from)?;
        let Some(user) = user.filter(|user| !user.disabled()) else { return Err(Unauthenticated.into()) };
        let credential = unit.credentials().find(user.id).await.map_err(Fault::from)?;
        drop(unit);
        let attempt = self.begin_attempt(act, Guess::Session(user.id), Some(user.id), client).await?;
        let hash = credential.as_ref().map(|credential| &credential.hash);
        let verification = self.verify_attempt(password, hash, &attempt).await?;
        if let (Some(credential), Some(Verification::Right { .. })) = (credential, verification) {
            self.end_attempt(&attempt).await?;
            return Ok((user, credential));
        }
        self.record_failed_password(act, EventReason::WrongPassword, Some(user.id), client).await?;
        Err(ReauthenticationError::InvalidCredentials)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::password::HashingError;
    use crate::testing::{
        Setup, USER_ID, VERSION, attempting, client, credential, current_user, disabled_user, password, recording, user,
    };

    const ACT: EventKind = EventKind::PasswordChange;
    const PASSWORD: &str = "correct horse battery staple";
    const RIGHT: Verification = Verification::Right { upgraded: None };

    fn setup() -> Setup {
        Setup::new(RegistrationMode::Verified)
    }

    /// A unit that finds this user, who is enabled, and this password of theirs.
    fn finding(credential: Option<PasswordCredential>) -> MockUnit {
        let mut unit = finding_user(Some(user()));
        let find = unit.credentials.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(move |_| Ok(credential.clone()));
        unit
    }

    fn finding_user(found: Option<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        let find = unit.users.expect_find().times(1);
        find.withf(|id| *id == USER_ID).returning(move |_| Ok(found.clone()));
        unit
    }

    /// Expects the password to be checked against this one, while no unit is open.
    fn checks(setup: &mut Setup, stored: Option<PasswordCredential>, found: Result<Verification, HashingError>) {
        let store = Arc::clone(&setup.store);
        setup.hasher.expect_verify().times(1).returning(move |given, hash| {
            assert_eq!(given.expose(), PASSWORD);
            assert_eq!(hash, stored.as_ref().map(|credential| &credential.hash));
            assert!(!store.in_use(), "a unit is open while a password is checked");
            found.clone()
        });
    }

    /// A unit that counts a wrong password of the user and records it.
    fn counting() -> MockUnit {
        let mut unit = recording(ACT, EventReason::WrongPassword, Some(USER_ID));
        unit.credentials.expect_note_failure().times(1).withf(|id| *id == USER_ID).returning(|_| Ok(()));
        unit
    }

    #[pollster::test]
    async fn the_right_password_gives_the_user_and_the_setting_that_was_checked_and_writes_nothing() {
        let mut setup = setup();
        setup.store.plan_read(finding(Some(credential())));
        checks(&mut setup, Some(credential()), Ok(RIGHT));
        let counted = [setup.store.plan_write(attempting()), setup.store.plan_write(attempting())];
        let auth = setup.auth();

        let outcome = auth.reauthenticate(&current_user(&auth), &password(PASSWORD), ACT, &client()).await;

        let (found, checked) = outcome.unwrap();
        assert_eq!((found, checked.user_id, checked.version), (user(), USER_ID, VERSION));
        assert!(counted.iter().all(crate::testing::Committed::yes));
    }

    #[pollster::test]
    async fn a_wrong_password_is_recorded_and_counted() {
        for (stored, found) in [
            (Some(credential()), Verification::Wrong),
            // Undoing a change of addresses has taken the password away, so that none is right.
            (None, Verification::Wrong),
            // A hasher that breaks its promise still opens no door.
            (None, RIGHT),
        ] {
            let mut setup = setup();
            setup.store.plan_read(finding(stored.clone()));
            checks(&mut setup, stored, Ok(found));
            setup.store.plan_write(attempting());
            let written = setup.store.plan_write(counting());
            let auth = setup.auth();

            let outcome = auth.reauthenticate(&current_user(&auth), &password(PASSWORD), ACT, &client()).await;

            assert!(matches!(outcome, Err(ReauthenticationError::InvalidCredentials)), "{outcome:?}");
            assert!(written.yes());
        }
    }

    #[pollster::test]
    async fn an_unreadable_hash_is_as_good_as_a_wrong_password() {
        let mut setup = setup();
        setup.store.plan_read(finding(Some(credential())));
        checks(&mut setup, Some(credential()), Err(HashingError::Unreadable));
        // The hash that makes up for the time, whatever it finds.
        checks(&mut setup, None, Ok(RIGHT));
        setup.store.plan_write(attempting());
        let written = setup.store.plan_write(counting());
        let auth = setup.auth();

        let outcome = auth.reauthenticate(&current_user(&auth), &password(PASSWORD), ACT, &client()).await;

        assert!(matches!(outcome, Err(ReauthenticationError::InvalidCredentials)), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn nobody_s_password_is_checked_once_the_account_is_gone_or_disabled() {
        for found in [None, Some(disabled_user())] {
            let setup = setup();
            setup.store.plan_read(finding_user(found));
            let auth = setup.auth();

            let outcome = auth.reauthenticate(&current_user(&auth), &password(PASSWORD), ACT, &client()).await;

            assert!(matches!(outcome, Err(ReauthenticationError::Unauthenticated(_))), "{outcome:?}");
        }
    }

    #[pollster::test]
    async fn a_full_hashing_queue_counts_nothing() {
        let mut setup = setup();
        setup.store.plan_read(finding(Some(credential())));
        checks(&mut setup, Some(credential()), Err(HashingError::Overloaded));
        setup.store.plan_write(attempting());
        let mut unit = MockUnit::default();
        unit.throttles.expect_take_back_guess().times(1).returning(|_, _| Ok(()));
        let given_back = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.reauthenticate(&current_user(&auth), &password(PASSWORD), ACT, &client()).await;

        let overloaded = matches!(outcome, Err(ReauthenticationError::Fault(Fault::Hashing(HashingError::Overloaded))));
        assert!(overloaded, "{outcome:?}");
        assert!(given_back.yes());
    }
}
