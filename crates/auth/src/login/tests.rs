use std::sync::Arc;

use crate::password::HashingError;
use crate::unusual_login::device_digest;
use doorward_domain::store::{DeviceSeen, MockUnit, Taken, ThrottleKey};
use doorward_domain::{Mail, MailKind, SecurityEvent, SessionId, StoreError};
use secrecy::ExposeSecret;

use super::*;
use crate::ThrottleKeys;
use crate::proof_of_work::tests::{EASY, solve, spending};
use crate::testing::{
    CountingEntropy, DAY, NOW, Seen, Setup, USER_ID, VERSION, attempting, client, collision, credential, disabled_user,
    email, hash, issued_text, password, queueing, recording, root_secret, user,
};

const RIGHT: Verification = Verification::Right { upgraded: None };

fn claim() -> Login {
    Login { email: email(), password: password("correct horse battery staple"), device: None, proof: None }
}

/// A service that knows this account, and whose hasher finds this.
fn setup(mode: RegistrationMode, account: Option<User>, found: Result<Verification, HashingError>) -> Setup {
    let account = account.map(|user| (user, credential()));
    let stored = account.as_ref().map(|(_, credential)| credential.hash.clone());
    let mut unit = MockUnit::default();
    let find = unit.credentials.expect_find_by_address().times(1);
    find.withf(|address| *address == email()).returning(move |_| Ok(account.clone()));

    let mut setup = Setup::new(mode);
    setup.store.plan_read(unit);
    setup.store.plan_write(attempting());
    let store = Arc::clone(&setup.store);
    setup.hasher.expect_verify().times(1).returning(move |given, hash| {
        assert_eq!(given.expose(), "correct horse battery staple");
        assert_eq!(hash.cloned(), stored, "the hash must be the account's, or none where there is no account");
        assert!(!store.in_use(), "a unit is open while a password is checked");
        found.clone()
    });
    setup
}

/// A unit in which the password is still what it was, provided that there is a user.
fn holding(user: Option<User>) -> MockUnit {
    let mut unit = MockUnit::default();
    let hold = unit.credentials.expect_hold().times(1);
    hold.withf(|id, version| (*id, *version) == (USER_ID, VERSION)).returning(move |_, _| Ok(user.clone()));
    unit
}

/// A unit that begins a session.
fn beginning(sessions: &Seen<SessionId>, events: &Seen<SecurityEvent>) -> MockUnit {
    let mut unit = holding(Some(user()));
    let seen = sessions.clone();
    unit.sessions.expect_insert().times(1).returning(move |session, _| {
        assert_eq!((session.user_id, session.credential_version), (USER_ID, VERSION));
        assert_eq!((session.authenticated_at, session.expires_at), (NOW, NOW.plus(90 * DAY)));
        seen.note(session.id);
        Ok(())
    });
    let seen = events.clone();
    unit.events.expect_append().times(1).returning(move |event| {
        seen.note(event.clone());
        Ok(())
    });
    unit
}

#[pollster::test]
async fn a_login_writes_session_and_event_in_one_unit() {
    let (sessions, events) = (Seen::default(), Seen::default());
    let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
    let written = setup.store.plan_write(beginning(&sessions, &events));

    let grant = setup.auth().login(claim(), &client()).await.unwrap();

    assert!(written.yes());
    assert_eq!((grant.session_id, &grant.user), (sessions.only(), &user()));
    assert_eq!(grant.refresh_token.session_id(), grant.session_id);
    assert_eq!(grant.refresh_expires_in, 30 * DAY);
    assert_eq!(grant.access_token.text.expose_secret(), issued_text(grant.session_id).expose_secret());
    let event = events.only();
    assert_eq!((event.kind, event.reason), (EventKind::Login, None));
    assert_eq!((event.user_id, event.session_id), (Some(USER_ID), Some(grant.session_id)));
    assert_eq!(event.client, client());
}

#[pollster::test]
async fn an_unknown_account_is_checked_against_no_hash_and_answered_like_a_wrong_password() {
    for (account, found, reason) in [
        (None, Verification::Wrong, EventReason::UnknownAccount),
        // A hasher that breaks its promise still opens no door.
        (None, RIGHT, EventReason::UnknownAccount),
        (Some(user()), Verification::Wrong, EventReason::WrongPassword),
    ] {
        let user_id = account.as_ref().map(|user| user.id);
        let setup = setup(RegistrationMode::Verified, account, Ok(found));
        let written = setup.store.plan_write(recording(EventKind::Login, reason, user_id));

        let outcome = setup.auth().login(claim(), &client()).await;

        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{reason:?}: {outcome:?}");
        assert!(written.yes());
    }
}

#[pollster::test]
async fn the_state_of_an_account_is_said_after_the_right_password_alone() {
    let unverified = || User { email_verified_at: None, ..user() };
    for account in [disabled_user(), unverified()] {
        let setup = setup(RegistrationMode::Verified, Some(account), Ok(Verification::Wrong));
        let written = setup.store.plan_write(recording(EventKind::Login, EventReason::WrongPassword, Some(USER_ID)));
        let outcome = setup.auth().login(claim(), &client()).await;
        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{outcome:?}");
        assert!(written.yes());
    }

    let setup_disabled = setup(RegistrationMode::Verified, Some(disabled_user()), Ok(RIGHT));
    setup_disabled.store.plan_write(attempting());
    let unit = recording(EventKind::Login, EventReason::AccountDisabled, Some(USER_ID));
    let written = setup_disabled.store.plan_write(unit);
    let outcome = setup_disabled.auth().login(claim(), &client()).await;
    assert!(matches!(outcome, Err(LoginError::AccountDisabled)), "{outcome:?}");
    assert!(written.yes());

    let setup_unverified = setup(RegistrationMode::Verified, Some(unverified()), Ok(RIGHT));
    setup_unverified.store.plan_write(attempting());
    let unit = recording(EventKind::Login, EventReason::EmailNotVerified, Some(USER_ID));
    let written = setup_unverified.store.plan_write(unit);
    let outcome = setup_unverified.auth().login(claim(), &client()).await;
    assert!(matches!(outcome, Err(LoginError::EmailNotVerified)), "{outcome:?}");
    assert!(written.yes());
}

#[pollster::test]
async fn an_unverified_address_is_enough_where_registration_is_not_verified() {
    for mode in [RegistrationMode::Open, RegistrationMode::Closed] {
        let unverified = User { email_verified_at: None, ..user() };
        let setup = setup(mode, Some(unverified), Ok(RIGHT));
        let written = setup.store.plan_write(beginning(&Seen::default(), &Seen::default()));
        assert!(setup.auth().login(claim(), &client()).await.is_ok(), "{mode:?}");
        assert!(written.yes());
    }
}

#[pollster::test]
async fn a_password_that_changed_while_it_was_checked_begins_no_session() {
    for held in [None, Some(disabled_user())] {
        let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
        let undone = setup.store.plan_write(holding(held));
        let unit = recording(EventKind::Login, EventReason::CredentialChanged, Some(USER_ID));
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().login(claim(), &client()).await;

        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{outcome:?}");
        assert!(!undone.yes() && written.yes());
    }
}

#[pollster::test]
async fn an_upgraded_hash_is_stored_in_the_unit_of_the_session() {
    // Whether this login or another one at the same moment upgraded it makes no difference.
    for stored_now in [true, false] {
        let upgraded = Verification::Right { upgraded: Some(hash("the upgraded hash")) };
        let setup = setup(RegistrationMode::Verified, Some(user()), Ok(upgraded));
        let mut unit = beginning(&Seen::default(), &Seen::default());
        let upgrade = unit.credentials.expect_upgrade_hash().times(1);
        let upgrade = upgrade
            .withf(|id, old, new| *id == USER_ID && *old == credential().hash && *new == hash("the upgraded hash"));
        upgrade.returning(move |_, _, _| Ok(stored_now));
        let written = setup.store.plan_write(unit);

        assert!(setup.auth().login(claim(), &client()).await.is_ok());
        assert!(written.yes());
    }
}

#[pollster::test]
async fn a_collision_repeats_the_whole_unit_with_the_same_session() {
    let (sessions, events) = (Seen::default(), Seen::default());
    let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
    let mut collided = holding(Some(user()));
    collided.sessions.expect_insert().times(1).returning(|_, _| Err(collision()));
    let undone = setup.store.plan_write(collided);
    setup.store.plan_collision(beginning(&sessions, &events));
    let written = setup.store.plan_write(beginning(&sessions, &events));

    let grant = setup.auth().login(claim(), &client()).await.unwrap();

    assert!(!undone.yes() && written.yes());
    assert_eq!(sessions.all(), [grant.session_id, grant.session_id]);
    assert_eq!(events.all().len(), 2, "an event each for the unit that was lost and the one that stands");
}

#[pollster::test]
async fn a_failing_database_grants_nothing() {
    let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
    let mut unit = holding(Some(user()));
    unit.sessions.expect_insert().times(1).returning(|_, _| Err(StoreError::Unavailable("gone".into())));
    let undone = setup.store.plan_write(unit);

    let outcome = setup.auth().login(claim(), &client()).await;

    let unavailable = matches!(outcome, Err(LoginError::Fault(Fault::Store(StoreError::Unavailable(_)))));
    assert!(unavailable, "{outcome:?}");
    assert!(!undone.yes());
}

#[pollster::test]
async fn an_unreadable_hash_costs_and_says_the_same_as_a_wrong_password() {
    for dummy in [Verification::Wrong, RIGHT] {
        let mut setup = setup(RegistrationMode::Verified, Some(user()), Err(HashingError::Unreadable));
        // The first expectation is used up by then; this one is the hash that makes up for the time.
        setup.hasher.expect_verify().times(1).returning(move |_, hash| {
            assert!(hash.is_none());
            Ok(dummy.clone())
        });
        let unit = recording(EventKind::Login, EventReason::UnreadableHash, Some(USER_ID));
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().login(claim(), &client()).await;

        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{outcome:?}");
        assert!(written.yes());
    }
}

#[pollster::test]
async fn a_full_hashing_queue_writes_nothing() {
    let setup = setup(RegistrationMode::Verified, Some(user()), Err(HashingError::Overloaded));
    let mut unit = MockUnit::default();
    unit.throttles.expect_take_back_guess().times(1).returning(|_, _| Ok(()));
    let given_back = setup.store.plan_write(unit);

    let outcome = setup.auth().login(claim(), &client()).await;

    let overloaded = matches!(outcome, Err(LoginError::Fault(Fault::Hashing(HashingError::Overloaded))));
    assert!(overloaded, "{outcome:?}");
    assert!(given_back.yes(), "the password was not tried, and must not count");
}

#[pollster::test]
async fn a_log_in_after_many_wrong_passwords_or_from_a_new_device_is_told_to_its_user() {
    for (failures, device, expected) in [
        (0, DeviceSeen::First, None),
        (0, DeviceSeen::Known, None),
        (4, DeviceSeen::Known, None),
        (0, DeviceSeen::New, Some(MailKind::NewDevice)),
        (4, DeviceSeen::New, Some(MailKind::NewDevice)),
        (5, DeviceSeen::New, Some(MailKind::LoginAfterFailures)),
        (5, DeviceSeen::Known, Some(MailKind::LoginAfterFailures)),
        (9, DeviceSeen::First, Some(MailKind::LoginAfterFailures)),
    ] {
        let mails = Seen::<Mail>::default();
        let mut unit = beginning(&Seen::default(), &Seen::default());
        let take = unit.credentials.expect_take_failures().times(1);
        take.withf(|id| *id == USER_ID).returning(move |_| Ok(failures));
        let note = unit.sessions.expect_note_device().times(1);
        let note =
            note.withf(|id, digest, now| (*id, *digest, *now) == (USER_ID, device_digest(USER_ID, &client()), NOW));
        note.returning(move |_, _, _| Ok(device));
        unit.outbox.expect_take_allowance().returning(|_, _, _, _| Ok(true));
        queueing(&mut unit, &mails);
        let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
        let written = setup.store.plan_write(unit);

        setup.auth().login(claim(), &client()).await.unwrap();

        assert!(written.yes());
        let told: Vec<_> = mails.all().into_iter().map(|mail| (mail.kind, mail.to, mail.user_id)).collect();
        let expected: Vec<_> = expected.into_iter().map(|kind| (kind, email(), Some(USER_ID))).collect();
        assert_eq!(told, expected, "{failures} {device:?}");
    }
}

#[pollster::test]
async fn a_wrong_password_is_counted_with_the_same_statements_where_there_is_no_account() {
    const NOBODY: UserId = UserId::from_uuid(uuid::Uuid::nil());
    for (account, reason, counted) in [
        (Some(user()), EventReason::WrongPassword, USER_ID),
        (Some(disabled_user()), EventReason::WrongPassword, USER_ID),
        (None, EventReason::UnknownAccount, NOBODY),
    ] {
        let user_id = account.as_ref().map(|user| user.id);
        let mut unit = recording(EventKind::Login, reason, user_id);
        let note = unit.credentials.expect_note_failure().times(1);
        note.withf(move |id| *id == counted).returning(|_| Ok(()));
        let setup = setup(RegistrationMode::Verified, account, Ok(Verification::Wrong));
        let written = setup.store.plan_write(unit);

        let outcome = setup.auth().login(claim(), &client()).await;

        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{reason:?}: {outcome:?}");
        assert!(written.yes());
    }
}

#[pollster::test]
async fn a_right_password_is_never_counted_as_a_wrong_one() {
    let unverified = User { email_verified_at: None, ..user() };
    for (account, reason) in
        [(disabled_user(), EventReason::AccountDisabled), (unverified, EventReason::EmailNotVerified)]
    {
        let mut unit = recording(EventKind::Login, reason, Some(USER_ID));
        unit.credentials.expect_note_failure().returning(|_| panic!("a failure was counted"));
        let setup = setup(RegistrationMode::Verified, Some(account), Ok(RIGHT));
        setup.store.plan_write(attempting());
        let written = setup.store.plan_write(unit);

        assert!(setup.auth().login(claim(), &client()).await.is_err(), "{reason:?}");
        assert!(written.yes());
    }
}

/// A unit that counts an attempt for this, and what it was for.
fn counting(counted: &Seen<(ThrottleKey, bool)>) -> MockUnit {
    let mut unit = MockUnit::default();
    let seen = counted.clone();
    unit.throttles.expect_begin_guess().times(1).returning(move |key, _, kept, _| {
        seen.note((*key, kept));
        Ok(Taken::Yes)
    });
    unit
}

/// A service in which a device may be one that the user has logged in from, and whose hasher finds the password wrong.
fn from_device(account: Option<User>, trusted: bool, counted: &Seen<(ThrottleKey, bool)>) -> Setup {
    let account = account.map(|user| (user, credential()));
    let mut unit = MockUnit::default();
    unit.credentials.expect_find_by_address().times(1).returning(move |_| Ok(account.clone()));
    unit.sessions.expect_trusts_device().times(1).returning(move |_, _| Ok(trusted));
    let mut setup = Setup::new(RegistrationMode::Verified);
    setup.store.plan_read(unit);
    setup.store.plan_write(counting(counted));
    setup.hasher.expect_verify().times(1).returning(|_, _| Ok(Verification::Wrong));
    setup
}

#[pollster::test]
async fn wrong_passwords_count_for_the_address_but_from_a_known_device_for_that_alone() {
    let tokens = DeviceTokens::new(&root_secret());
    let device = DeviceToken::generate(&CountingEntropy::starting_at(70)).unwrap();
    let keys = ThrottleKeys::new(&root_secret());
    let (by_address, by_device) = (Guess::Address(&email()).key(&keys), Guess::Device(USER_ID, &device).key(&keys));
    for (account, trusted, expected) in [
        (Some(user()), true, (by_device, true)),
        (Some(user()), false, (by_address, true)),
        // What a store finds of nobody opens no count.
        (None, true, (by_address, false)),
    ] {
        let counted = Seen::default();
        let (reason, user_id) = match &account {
            Some(user) => (EventReason::WrongPassword, Some(user.id)),
            None => (EventReason::UnknownAccount, None),
        };
        let setup = from_device(account, trusted, &counted);
        setup.store.plan_write(recording(EventKind::Login, reason, user_id));
        let claim = Login { device: Some(tokens.text(&device)), ..claim() };

        let outcome = setup.auth().login(claim, &client()).await;

        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{outcome:?}");
        assert_eq!(counted.only(), expected);
    }
}

#[pollster::test]
async fn a_device_token_that_is_not_from_here_is_no_device() {
    let setup = setup(RegistrationMode::Verified, Some(user()), Ok(RIGHT));
    let trusted = Seen::default();
    let mut unit = beginning(&Seen::default(), &Seen::default());
    let seen = trusted.clone();
    unit.sessions.expect_trust_device().times(1).returning(move |_, digest, most, _| {
        seen.note((digest, most));
        Ok(())
    });
    setup.store.plan_write(unit);
    let claim = Login { device: Some("dwd_made_up".to_owned().into()), ..claim() };

    let grant = setup.auth().login(claim, &client()).await.unwrap();

    let given = grant.device_token.unwrap();
    assert_eq!(trusted.only(), (given.digest(), DeviceTokens::MOST), "another one is known from now on");
}

#[pollster::test]
async fn beyond_the_limit_no_password_is_looked_at() {
    let mut setup = Setup::new(RegistrationMode::Verified);
    let mut unit = MockUnit::default();
    unit.credentials.expect_find_by_address().returning(|_| Ok(Some((user(), credential()))));
    setup.store.plan_read(unit);
    setup.hasher.expect_verify().returning(|_, _| panic!("a password was looked at"));
    let mut unit = MockUnit::default();
    let later = NOW.plus(30 * crate::testing::SECOND);
    unit.throttles.expect_begin_guess().times(1).returning(move |_, _, _, _| Ok(Taken::NotBefore(later)));
    setup.store.plan_write(unit);
    let recorded = setup.store.plan_write(recording(EventKind::Login, EventReason::GuessLimit, Some(USER_ID)));

    let outcome = setup.auth().login(claim(), &client()).await;

    let Err(LoginError::Fault(Fault::TooOften(refused))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(refused.retry_after.as_secs(), 30);
    assert!(recorded.yes());
}

/// A service that asks for a proof of work, after so many wrong passwords.
fn after(guesses: u32) -> Setup {
    let mut setup = Setup::new(RegistrationMode::Verified);
    setup.settings.proofs = ProofRules { difficulty: Some(EASY), ..ProofRules::default() };
    let mut unit = MockUnit::default();
    unit.credentials.expect_find_by_address().returning(|_| Ok(Some((user(), credential()))));
    setup.store.plan_read(unit);
    let mut unit = MockUnit::default();
    unit.throttles.expect_guesses().times(1).returning(move |_| Ok(guesses));
    setup.store.plan_read(unit);
    setup
}

#[pollster::test]
async fn after_three_wrong_passwords_work_comes_before_the_next() {
    let setup = after(3);
    let outcome = setup.auth().login(claim(), &client()).await;
    let Err(LoginError::ProofRequired(challenge)) = outcome else { panic!("{outcome:?}") };
    for (guesses, proof) in [(2, None), (3, Some(solve(&challenge)))] {
        let mut setup = after(guesses);
        if proof.is_some() {
            setup.store.plan_write(spending(true, &Seen::default()));
        }
        setup.store.plan_write(attempting());
        setup.hasher.expect_verify().times(1).returning(|_, _| Ok(Verification::Wrong));
        setup.store.plan_write(recording(EventKind::Login, EventReason::WrongPassword, Some(USER_ID)));
        let outcome = setup.auth().login(Login { proof, ..claim() }, &client()).await;
        assert!(matches!(outcome, Err(LoginError::InvalidCredentials)), "{guesses}: {outcome:?}");
    }
}
