use doorward_domain::{Client, EndReason, EventKind, EventReason, Password, PasswordRefused};
use secrecy::SecretString;
use thiserror::Error;

use crate::new_password::Kept;
use crate::unit::retrying;
use crate::{Auth, CurrentUser, DeviceToken, Fault, ReauthenticationError, Unauthenticated};

/// A wish for another password.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    /// The password so far.
    pub current: Password,
    /// The password to set.
    pub new: Password,
    /// What an earlier log-in from this device was given to be known again.
    pub device: Option<SecretString>,
}

/// Why the password was not changed.
#[derive(Debug, Error)]
pub enum ChangePasswordError {
    /// The user did not prove who they are.
    #[error(transparent)]
    Reauthentication(#[from] ReauthenticationError),
    /// The new password cannot be set.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
}

impl From<Fault> for ChangePasswordError {
    fn from(fault: Fault) -> Self {
        Self::Reauthentication(fault.into())
    }
}

impl Auth {
    /// Changes the password of a user who knows the present one. Ends every other session, and every mailed token
    /// but the one that undoes a change of addresses. No other device than this one is known any more; gives what this one
    /// is known by.
    ///
    /// # Errors
    ///
    /// [`ChangePasswordError`]; nothing was changed then.
    pub async fn change_password(
        &self,
        current: &CurrentUser,
        request: ChangePassword,
        client: &Client,
    ) -> Result<DeviceToken, ChangePasswordError> {
        let act = EventKind::PasswordChange;
        let (user, checked) = self.reauthenticate(current, &request.current, act, client).await?;
        self.check_new_password(&request.new, &user.email).await??;
        let hash = self.parts().hasher.hash(&request.new).await.map_err(Fault::from)?;
        let credential = self.new_credential(user.id, hash)?;
        let device = request.device.as_ref().and_then(|text| self.parts().device_tokens.recognise(text));
        let device = self.device_or_new(device)?;
        let changed = retrying(|| async {
            let mut unit = self.store().write().await?;
            let unchanged = unit.credentials().hold(user.id, checked.version).await?;
            let Some(user) = unchanged.filter(|user| !user.disabled()) else { return Ok(false) };
            let kept = Kept { session: Some(current.session_id()), device: &device };
            let reason = EndReason::PasswordChanged;
            self.replace_password(&mut *unit, &user, &credential, reason, kept, client).await?;
            let subject = (Some(user.id), Some(current.session_id()));
            unit.events().append(&self.event(act, None, subject, client)?).await?;
            unit.commit().await?;
            Ok(true)
        })
        .await?;
        // The password changed while it was being checked, so the one that was given is no longer it.
        if !changed {
            self.record(act, EventReason::CredentialChanged, (Some(user.id), None), client).await?;
            return Err(ReauthenticationError::from(Unauthenticated).into());
        }
        Ok(device)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_domain::store::MockUnit;
    use doorward_domain::{EventReason, Mail, MailKind, PasswordCredential};

    use super::*;

    use crate::password::{HashingError, MockPasswordScreen, Verification};
    use crate::testing::{
        GIVEN, OTHER_SESSION, SESSION_ID, Seen, Setup, USER_ID, VERSION, access_token, checking, client, current_user,
        disabled_user, email, expect_event, expect_new_password, has_ended, hash, holding_checked, password, proven,
        recording, screen_that_is_down, user,
    };

    const NEW: &str = "correct horse battery staple";

    fn request() -> ChangePassword {
        ChangePassword { current: password(GIVEN), new: password(NEW), device: None }
    }

    /// A service in which the password so far is right and one password is hashed, while no unit is open.
    fn hashing() -> Setup {
        let mut setup = proven();
        let store = Arc::clone(&setup.store);
        setup.hasher.expect_hash().times(1).returning(move |given| {
            assert_eq!(given.expose(), NEW);
            assert!(!store.in_use(), "a unit is open while a password is hashed");
            Ok(hash("a new hash"))
        });
        setup
    }

    /// A unit that sets the password and does everything that belongs to it.
    fn setting(credentials: &Seen<PasswordCredential>, mails: &Seen<Mail>) -> MockUnit {
        let mut unit = holding_checked(Some(user()));
        let kept = (EndReason::PasswordChanged, Some(SESSION_ID));
        expect_new_password(&mut unit, kept, vec![OTHER_SESSION], credentials, mails);
        expect_event(&mut unit, EventKind::PasswordChange, None, (Some(USER_ID), Some(SESSION_ID)));
        unit
    }

    #[pollster::test]
    async fn a_change_sets_the_password_and_ends_every_session_but_the_one_that_asks() {
        let (credentials, mails) = (Seen::default(), Seen::default());
        let setup = hashing();
        let written = setup.store.plan_write(setting(&credentials, &mails));
        let auth = setup.auth();

        auth.change_password(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
        let set = credentials.only();
        assert_eq!((set.user_id, set.hash), (USER_ID, hash("a new hash")));
        assert_ne!(set.version, VERSION);
        let mail = mails.only();
        assert_eq!((mail.kind, mail.to, mail.user_id), (MailKind::PasswordChanged, email(), Some(USER_ID)));
        assert!(has_ended(&auth, OTHER_SESSION));
        assert!(auth.authenticate(&access_token()).is_ok(), "the session that asks goes on");
    }

    #[pollster::test]
    async fn a_wrong_password_changes_nothing_and_counts_as_a_failure() {
        let setup = checking(Verification::Wrong);
        let mut unit = recording(EventKind::PasswordChange, EventReason::WrongPassword, Some(USER_ID));
        unit.credentials.expect_note_failure().times(1).withf(|id| *id == USER_ID).returning(|_| Ok(()));
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.change_password(&current_user(&auth), request(), &client()).await;

        let Err(ChangePasswordError::Reauthentication(error)) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(error, ReauthenticationError::InvalidCredentials), "{error:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_refused_password_is_neither_hashed_nor_written() {
        for (text, refused) in [
            ("1234567", PasswordRefused::TooShort { min_length: 8 }),
            ("ada@example.com", PasswordRefused::ContainsContext),
            ("a common one", PasswordRefused::TooCommon),
        ] {
            let mut setup = proven();
            setup.screen = MockPasswordScreen::new();
            setup.screen.expect_is_common().returning(|password| Ok(password.expose() == "a common one"));
            let auth = setup.auth();

            let wish = ChangePassword { new: password(text), ..request() };
            let outcome = auth.change_password(&current_user(&auth), wish, &client()).await;

            let Err(ChangePasswordError::PasswordRefused(reason)) = outcome else { panic!("{text}: {outcome:?}") };
            assert_eq!(reason, refused, "{text}");
        }
    }

    #[pollster::test]
    async fn a_screen_that_is_down_hashes_and_writes_nothing() {
        let mut setup = proven();
        setup.screen = screen_that_is_down();
        let auth = setup.auth();

        let outcome = auth.change_password(&current_user(&auth), request(), &client()).await;

        let Err(ChangePasswordError::Reauthentication(ReauthenticationError::Fault(fault))) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(matches!(fault, Fault::Screen(_)), "{fault:?}");
    }

    #[pollster::test]
    async fn a_password_that_changed_while_it_was_checked_is_not_replaced() {
        for held in [None, Some(disabled_user())] {
            let setup = hashing();
            let undone = setup.store.plan_write(holding_checked(held));
            let refusal = recording(EventKind::PasswordChange, EventReason::CredentialChanged, Some(USER_ID));
            let recorded = setup.store.plan_write(refusal);
            let auth = setup.auth();

            let outcome = auth.change_password(&current_user(&auth), request(), &client()).await;

            let refused = matches!(
                outcome,
                Err(ChangePasswordError::Reauthentication(ReauthenticationError::Unauthenticated(_)))
            );
            assert!(refused, "{outcome:?}");
            assert!(!undone.yes() && recorded.yes());
            assert!(!has_ended(&auth, OTHER_SESSION));
        }
    }

    #[pollster::test]
    async fn a_full_hashing_queue_writes_nothing() {
        let mut setup = proven();
        setup.hasher.expect_hash().times(1).returning(|_| Err(HashingError::Overloaded));
        let auth = setup.auth();

        let outcome = auth.change_password(&current_user(&auth), request(), &client()).await;

        let Err(ChangePasswordError::Reauthentication(ReauthenticationError::Fault(fault))) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(matches!(fault, Fault::Hashing(HashingError::Overloaded)), "{fault:?}");
    }

    #[pollster::test]
    async fn a_collision_repeats_the_whole_unit_with_the_same_setting() {
        let (credentials, mails) = (Seen::default(), Seen::default());
        let setup = hashing();
        setup.store.plan_collision(setting(&credentials, &mails));
        let written = setup.store.plan_write(setting(&credentials, &mails));
        let auth = setup.auth();

        auth.change_password(&current_user(&auth), request(), &client()).await.unwrap();

        assert!(written.yes());
        let versions: Vec<_> = credentials.all().into_iter().map(|set| set.version).collect();
        assert_eq!(versions.len(), 2);
        assert_eq!(versions[0], versions[1]);
    }
}
