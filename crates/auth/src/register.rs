use std::sync::OnceLock;

use doorward_domain::store::WriteUnit;
use doorward_domain::{
    Client, DisplayName, EmailAddress, EventKind, EventReason, MailKind, Password, PasswordRefused, User, UserId,
};
use secrecy::SecretString;
use thiserror::Error;

use crate::throttle::ByClient;
use crate::unit::retrying;
use crate::unusual_login::device_digest;
use crate::{Auth, Challenge, DeviceTokens, Fault, Proof, ProofError, ProofPurpose, SessionGrant};

/// A wish to have an account.
#[derive(Clone, Debug)]
pub struct Register {
    /// The address, which is the name of the account.
    pub email: EmailAddress,
    /// The password to set.
    pub password: Password,
    /// What the user wishes to be called.
    pub name: Option<DisplayName>,
    /// What an earlier log-in from this device was given to be known again.
    pub device: Option<SecretString>,
    /// The proof of work, where one is asked for.
    pub proof: Option<Proof>,
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Everybody, and the account can log in once its address is verified. Says nothing of who has an account.
    /// The default.
    #[default]
    Verified,
    /// Everybody, and a session begins at once. Says of an address whether it has an account.
    Open,
    /// Nobody.
    Closed,
}

/// What came of it.
#[derive(Clone, Debug)]
pub enum Registration {
    /// The account exists and a session has begun.
    SessionStarted(Box<SessionGrant>),
    /// The owner of the address has to prove that it is theirs. The same whether or not there was an account.
    VerificationPending,
}

/// Why nobody was registered.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// The password cannot be set.
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
    /// The address has an account. Only said in [`RegistrationMode::Open`].
    #[error("the address has an account already")]
    EmailTaken,
    /// Nobody can register.
    #[error("registration is closed")]
    Closed,
    /// A proof of work is asked for, and there was none that is good.
    #[error("a proof of work is needed")]
    ProofRequired(Challenge),
    /// Nobody's mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ProofError> for RegisterError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Required(challenge) => Self::ProofRequired(challenge),
            ProofError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl Auth {
    /// Registers a user, and logs them in where no verified address is needed.
    ///
    /// User, password, session and security event are written in one unit. The password is hashed before it
    /// begins, for a known address as well, and a known address costs as many statements as a new one.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; nothing but a security event was written then.
    pub async fn register(&self, request: Register, client: &Client) -> Result<Registration, RegisterError> {
        let mode = self.settings().registration;
        if mode == RegistrationMode::Closed {
            self.record(EventKind::Register, EventReason::RegistrationClosed, (None, None), client).await?;
            return Err(RegisterError::Closed);
        }
        self.take_for_client(ByClient::Register, EventKind::Register, client).await?;
        self.demand_proof(ProofPurpose::Register, request.proof.as_ref()).await?;
        self.check_new_password(&request.password, &request.email).await??;
        let hash = self.parts().hasher.hash(&request.password).await.map_err(Fault::from)?;

        let now = self.now();
        let user = User {
            id: self.fresh(UserId::new).map_err(Fault::from)?,
            email: request.email,
            email_verified_at: None,
            name: request.name,
            locale: client.locale.clone(),
            roles: Vec::new(),
            disabled_at: None,
            created_at: now,
            updated_at: now,
        };
        let credential = self.new_credential(user.id, hash)?;
        let opened = match mode {
            RegistrationMode::Open => {
                Some(self.new_session(user.id, credential.version, client, now).map_err(Fault::from)?)
            }
            RegistrationMode::Verified | RegistrationMode::Closed => None,
        };

        let device = request.device.as_ref().and_then(|text| self.parts().device_tokens.recognise(text));
        let device = self.device_or_new(device)?;
        // Asked once, however often the unit is tried.
        let refusal_written = OnceLock::new();
        let added = retrying(|| async {
            let mut unit = self.store().write().await?;
            let added = unit.users().insert_new(&user).await?;
            let session_id = opened.as_ref().map(|(session, _)| session.id);
            let event = if added {
                unit.credentials().insert(&credential).await?;
                if let Some((session, refresh_token)) = &opened {
                    unit.sessions().insert(session, &refresh_token.hash()).await?;
                    unit.sessions().note_device(user.id, device_digest(user.id, client), now).await?;
                    unit.sessions().trust_device(user.id, device.digest(), DeviceTokens::MOST, now).await?;
                }
                let mail = self.new_mail(MailKind::VerifyEmail, &user.email, Some(user.id), client)?;
                self.queue_requested(&mut *unit, &mail).await?;
                Some(self.event(EventKind::Register, None, (Some(user.id), session_id), client)?)
            } else {
                if opened.is_none() {
                    self.tell_owner(&mut *unit, &user.email, client).await?;
                }
                let sort = (EventKind::Register, EventReason::AddressTaken);
                let is_written = *refusal_written.get_or_init(|| self.refusals().is_written(sort.0, sort.1, now));
                is_written.then(|| self.event(sort.0, Some(sort.1), (None, None), client)).transpose()?
            };
            if let Some(event) = event {
                unit.events().append(&event).await?;
            }
            unit.commit().await?;
            Ok(added)
        })
        .await?;

        match opened {
            None => Ok(Registration::VerificationPending),
            Some(_) if !added => Err(RegisterError::EmailTaken),
            Some((session, refresh_token)) => {
                let grant = self.grant(&session, user, refresh_token, now)?;
                let grant = SessionGrant { device_token: Some(device), ..grant };
                Ok(Registration::SessionStarted(Box::new(grant)))
            }
        }
    }
}

impl Auth {
    /// What registering a known address does where that must not show: the same statements as for a new one.
    ///
    /// An account whose address was never verified and that nobody was ever logged in to belongs to nobody yet. Now
    /// that two have registered it, neither's password counts, and the mail lets the owner of the address set one.
    /// Otherwise somebody could register another's address before or after them, and have them verify an account with
    /// a password that is not theirs.
    async fn tell_owner(&self, unit: &mut dyn WriteUnit, address: &EmailAddress, client: &Client) -> Result<(), Fault> {
        let mail = self.new_mail(MailKind::AlreadyRegistered, address, None, client)?;
        // Without the mail its owner would be left without a password and a word.
        if self.queue_requested(unit, &mail).await? {
            unit.credentials().remove_unverified(address).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_domain::store::{Allowance, MockUnit};
    use doorward_domain::{Mail, PasswordCredential, RefreshTokenHash, SecurityEvent, Session};
    use secrecy::ExposeSecret;

    use super::*;
    use crate::password::{HashingError, MockPasswordScreen};
    use crate::proof_of_work::tests::{EASY, solve, spending};
    use crate::testing::{
        NOW, Seen, Setup, client, collision, email, expect_event, hash, issued_text, password, queueing, recording,
        screen_that_is_down,
    };

    const PASSWORD: &str = "correct horse battery staple";

    fn wish(text: &str) -> Register {
        Register {
            email: email(),
            password: password(text),
            name: DisplayName::parse("Ada").ok(),
            device: None,
            proof: None,
        }
    }

    /// Expects one password to be hashed, while no unit is open.
    fn hashes(setup: &mut Setup) {
        let store = Arc::clone(&setup.store);
        setup.hasher.expect_hash().times(1).returning(move |given| {
            assert_eq!(given.expose(), PASSWORD);
            assert!(!store.in_use(), "a unit is open while a password is hashed");
            Ok(hash("a new hash"))
        });
    }

    /// A unit in which the address is free, or not.
    fn inserting(free: bool, users: &Seen<User>) -> MockUnit {
        let mut unit = MockUnit::default();
        let users = users.clone();
        unit.users.expect_insert_new().times(1).returning(move |user| {
            users.note(user.clone());
            Ok(free)
        });
        unit
    }

    #[pollster::test]
    async fn an_open_registration_writes_everything_in_one_unit_and_begins_a_session() {
        let (users, credentials) = (Seen::default(), Seen::default());
        let (sessions, events) = (Seen::<(Session, RefreshTokenHash)>::default(), Seen::<SecurityEvent>::default());
        let mut unit = inserting(true, &users);
        let seen = credentials.clone();
        unit.credentials.expect_insert().times(1).returning(move |credential: &PasswordCredential| {
            seen.note(credential.clone());
            Ok(())
        });
        let seen = sessions.clone();
        unit.sessions.expect_insert().times(1).returning(move |session, first| {
            seen.note((session.clone(), *first));
            Ok(())
        });
        let seen = events.clone();
        unit.events.expect_append().times(1).returning(move |event| {
            seen.note(event.clone());
            Ok(())
        });
        let mut setup = Setup::new(RegistrationMode::Open);
        hashes(&mut setup);
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

        let Ok(Registration::SessionStarted(grant)) = outcome else { panic!("{outcome:?}") };
        assert!(written.yes());
        let user = users.only();
        assert_eq!((user.email.clone(), user.name.clone()), (email(), DisplayName::parse("Ada").ok()));
        assert!(!user.email_verified() && !user.disabled() && user.roles.is_empty());
        assert_eq!((user.created_at, user.updated_at), (NOW, NOW));
        let credential = credentials.only();
        assert_eq!(credential.user_id, user.id);
        assert_eq!(credential.hash, hash("a new hash"));
        let (session, first) = sessions.only();
        assert_eq!((session.user_id, session.credential_version), (user.id, credential.version));
        assert_eq!(first, grant.refresh_token.hash());
        let event = events.only();
        assert_eq!((event.kind, event.reason), (EventKind::Register, None));
        assert_eq!((event.user_id, event.session_id), (Some(user.id), Some(session.id)));
        assert_eq!(event.client, client());
        assert_eq!((grant.session_id, &grant.user), (session.id, &user));
        assert_eq!(grant.access_token.text.expose_secret(), issued_text(session.id).expose_secret());
    }

    #[pollster::test]
    async fn a_verified_registration_says_the_same_of_a_new_and_a_known_address_and_begins_no_session() {
        for (free, unclaimed, kind) in [
            (true, false, MailKind::VerifyEmail),
            (false, true, MailKind::AlreadyRegistered),
            (false, false, MailKind::AlreadyRegistered),
        ] {
            let (users, mails) = (Seen::default(), Seen::<Mail>::default());
            let mut unit = inserting(free, &users);
            if free {
                unit.credentials.expect_insert().times(1).returning(|_| Ok(()));
            } else {
                let remove = unit.credentials.expect_remove_unverified().times(1);
                remove.withf(|address| *address == email()).returning(move |_| Ok(unclaimed));
            }
            let allow = unit.outbox.expect_take_allowance().times(1);
            let allow =
                allow.withf(|address, allowance, _, _| *address == email() && *allowance == Allowance::Requested);
            allow.returning(|_, _, _, _| Ok(true));
            queueing(&mut unit, &mails);
            let reason = (!free).then_some(EventReason::AddressTaken);
            let seen = users.clone();
            let append = unit.events.expect_append().times(1);
            let append = append.withf(move |event| {
                (event.kind, event.reason) == (EventKind::Register, reason)
                    && event.user_id == free.then(|| seen.only().id)
                    && event.session_id.is_none()
            });
            append.returning(|_| Ok(()));
            let mut setup = Setup::new(RegistrationMode::Verified);
            hashes(&mut setup);
            let written = setup.store.plan_write(unit);

            let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

            assert!(matches!(outcome, Ok(Registration::VerificationPending)), "{free}: {outcome:?}");
            assert!(written.yes());
            let mail = mails.only();
            assert_eq!((mail.kind, mail.to), (kind, email()), "{free} {unclaimed}");
            assert_eq!(mail.user_id, free.then(|| users.only().id));
        }
    }

    #[pollster::test]
    async fn a_taken_address_writes_nothing_but_the_event() {
        let mut unit = inserting(false, &Seen::default());
        unit.outbox.expect_take_allowance().returning(|_, _, _, _| panic!("an allowance was taken"));
        expect_event(&mut unit, EventKind::Register, Some(EventReason::AddressTaken), (None, None));
        let mut setup = Setup::new(RegistrationMode::Open);
        hashes(&mut setup);
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

        assert!(matches!(outcome, Err(RegisterError::EmailTaken)), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn a_closed_registration_hashes_nothing_and_is_recorded() {
        let setup = Setup::new(RegistrationMode::Closed);
        let unit = recording(EventKind::Register, EventReason::RegistrationClosed, None);
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

        assert!(matches!(outcome, Err(RegisterError::Closed)), "{outcome:?}");
        assert!(written.yes());
    }

    #[pollster::test]
    async fn without_a_proof_nothing_is_hashed_and_with_one_it_is_spent_first() {
        let mut setup = Setup::new(RegistrationMode::Verified);
        setup.settings.proofs.difficulty = Some(EASY);
        hashes(&mut setup);
        let (spent, users) = (Seen::default(), Seen::default());
        let committed = setup.store.plan_write(spending(true, &spent));
        let mut unit = inserting(true, &users);
        unit.credentials.expect_insert().times(1).returning(|_| Ok(()));
        unit.events.expect_append().times(1).returning(|_| Ok(()));
        let written = setup.store.plan_write(unit);
        let auth = setup.auth();

        let outcome = auth.register(wish(PASSWORD), &client()).await;
        let Err(RegisterError::ProofRequired(challenge)) = outcome else { panic!("{outcome:?}") };
        assert!(!committed.yes() && !written.yes());

        let proof = Some(solve(&challenge));
        let outcome = auth.register(Register { proof, ..wish(PASSWORD) }, &client()).await;
        assert!(matches!(outcome, Ok(Registration::VerificationPending)), "{outcome:?}");
        assert!(committed.yes() && written.yes());
        assert_eq!((spent.all().len(), users.all().len()), (1, 1));
    }

    #[pollster::test]
    async fn a_refused_password_is_neither_hashed_nor_written() {
        for (text, refused) in [
            ("1234567", PasswordRefused::TooShort { min_length: 8 }),
            ("ada@example.com", PasswordRefused::ContainsContext),
            ("ADA@example.com1", PasswordRefused::ContainsContext),
            ("doorward1", PasswordRefused::ContainsContext),
            ("a common one", PasswordRefused::TooCommon),
        ] {
            let mut setup = Setup::new(RegistrationMode::Open);
            setup.screen = MockPasswordScreen::new();
            setup.screen.expect_is_common().returning(|password| Ok(password.expose() == "a common one"));

            let outcome = setup.auth().register(wish(text), &client()).await;

            let Err(RegisterError::PasswordRefused(reason)) = outcome else { panic!("{text}: {outcome:?}") };
            assert_eq!(reason, refused, "{text}");
        }
    }

    #[pollster::test]
    async fn a_screen_that_is_down_hashes_and_writes_nothing() {
        for mode in [RegistrationMode::Open, RegistrationMode::Verified] {
            let mut setup = Setup::new(mode);
            setup.screen = screen_that_is_down();

            let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

            assert!(matches!(outcome, Err(RegisterError::Fault(Fault::Screen(_)))), "{outcome:?}");
        }
    }

    #[pollster::test]
    async fn a_full_hashing_queue_writes_nothing() {
        let mut setup = Setup::new(RegistrationMode::Open);
        setup.hasher.expect_hash().times(1).returning(|_| Err(HashingError::Overloaded));

        let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

        let overloaded = matches!(outcome, Err(RegisterError::Fault(Fault::Hashing(HashingError::Overloaded))));
        assert!(overloaded, "{outcome:?}");
    }

    #[pollster::test]
    async fn a_collision_repeats_the_unit_with_the_same_user_and_hashes_once() {
        let users = Seen::default();
        let mut setup = Setup::new(RegistrationMode::Verified);
        hashes(&mut setup);
        let mut collided = inserting(true, &users);
        collided.credentials.expect_insert().times(1).returning(|_| Err(collision()));
        let undone = setup.store.plan_write(collided);
        let mut unit = inserting(true, &users);
        unit.credentials.expect_insert().times(1).returning(|_| Ok(()));
        unit.events.expect_append().times(1).returning(|_| Ok(()));
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().register(wish(PASSWORD), &client()).await;

        assert!(matches!(outcome, Ok(Registration::VerificationPending)), "{outcome:?}");
        assert!(!undone.yes() && written.yes());
        let users = users.all();
        assert_eq!(users.len(), 2);
        assert_eq!(users[0], users[1]);
    }
}
