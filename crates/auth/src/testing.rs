//! What the unit tests of the use cases share: deterministic ports, a store made of planned units, and samples.

mod mailed_token;
mod new_password;
mod reauthentication;
mod record;
mod store;
mod webhook_endpoint;

use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_domain::store::{DeviceSeen, MockUnit, Taken};
use doorward_domain::{
    Client, CredentialVersion, EmailAddress, Entropy, EntropyUnavailable, EventKind, EventReason, Locale, Mail,
    MockClock, MockMailComposer, MockMailTransport, Password, PasswordCredential, PasswordHashString, PasswordPolicy,
    RequestId, Session, SessionId, SessionPolicy, StoreError, Timestamp, User, UserAgent, UserId,
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::password::{MockPasswordHasher, MockPasswordScreen};
use crate::token::{AccessClaims, AccessToken, MockTokenIssuer, MockTokenVerifier, TokenRefused, TokenSettings};
use crate::{
    AccessTokens, Auth, AuthParts, AuthSettings, AuthenticationError, CurrentUser, DeviceTokens, EventChain, MasterKey,
    MemoryRevocations, OneTimeTokens, ProofOfWork, ProofRules, RefreshTokens, RegistrationMode, Revocations,
    RootSecret, Standing, ThrottleKeys, ThrottlePolicy, Unauthenticated, WebhookEndpoint,
};

pub(crate) use self::mailed_token::MailedToken;
pub(crate) use self::new_password::{expect_new_password, screen_that_is_down};
pub(crate) use self::reauthentication::{GIVEN, checking, holding_checked, proven};
pub(crate) use self::record::record;
pub(crate) use self::store::{Committed, TestStore};
pub(crate) use self::webhook_endpoint::webhook_endpoint;

/// When the tests take place, unless they move the clock.
pub(crate) const NOW: Timestamp = Timestamp::from_unix_micros(1_800_000_000_000_000);
pub(crate) const USER_ID: UserId = UserId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
pub(crate) const SESSION_ID: SessionId =
    SessionId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002));
/// Another session of the same user.
pub(crate) const OTHER_SESSION: SessionId = SessionId::from_uuid(Uuid::from_u128(8));
pub(crate) const VERSION: CredentialVersion =
    CredentialVersion::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0003));
/// What a request gets whose access token is not valid.
pub(crate) const REFUSED: Result<CurrentUser, AuthenticationError> =
    Err(AuthenticationError::Unauthenticated(Unauthenticated));
/// The one access token that the verifier of a [`Setup`] takes.
const ACCESS_TOKEN: &str = "an access token";

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);

/// The ports of an [`Auth`], ready to be given expectations. Its hasher expects nothing, so hashing fails a test
/// that does not ask for it; its screen finds no password common; its issuer and verifier know one token.
pub(crate) struct Setup {
    pub(crate) store: Arc<TestStore>,
    pub(crate) time: Time,
    pub(crate) hasher: MockPasswordHasher,
    pub(crate) screen: MockPasswordScreen,
    pub(crate) verifier: MockTokenVerifier,
    pub(crate) composer: MockMailComposer,
    pub(crate) transport: MockMailTransport,
    pub(crate) webhooks: Vec<Arc<WebhookEndpoint>>,
    pub(crate) settings: AuthSettings,
}

impl Setup {
    pub(crate) fn new(registration: RegistrationMode) -> Self {
        let store = Arc::new(TestStore::default());
        let mut screen = MockPasswordScreen::new();
        let units = Arc::clone(&store);
        screen.expect_is_common().returning(move |_| {
            assert!(!units.in_use(), "a unit is open while a password is screened");
            Ok(false)
        });
        let mut verifier = MockTokenVerifier::new();
        verifier.expect_generation().returning(|| 0);
        verifier
            .expect_verify()
            .returning(|text, _| if text == ACCESS_TOKEN { Ok(claims()) } else { Err(TokenRefused) });
        Self {
            store,
            time: Time::at(NOW),
            hasher: MockPasswordHasher::new(),
            screen,
            verifier,
            settings: AuthSettings {
                registration,
                passwords: PasswordPolicy::default(),
                sessions: SessionPolicy::default(),
                throttles: ThrottlePolicy::without_clients(),
                access_token_lifetime: TokenSettings::DEFAULT_LIFETIME,
                staleness: Duration::from_secs(30),
                remembered_tokens: AccessTokens::REMEMBERED,
                proofs: ProofRules::default(),
                public_url: "https://auth.example.com".to_owned(),
            },
            composer: MockMailComposer::new(),
            transport: MockMailTransport::new(),
            webhooks: Vec::new(),
        }
    }

    pub(crate) fn auth(self) -> Auth {
        let mut issuer = MockTokenIssuer::new();
        issuer.expect_issue().returning(|session, _, _| {
            Ok(AccessToken { text: issued_text(session.id), expires_in: TokenSettings::DEFAULT_LIFETIME })
        });
        let revocations = Arc::new(MemoryRevocations::new(Uuid::nil()));
        revocations.heard(NOW);
        Auth::from_parts(AuthParts {
            store: self.store,
            clock: Arc::new(self.time.clock()),
            entropy: Arc::new(CountingEntropy::default()),
            hasher: Arc::new(self.hasher),
            screen: Arc::new(self.screen),
            issuer: Arc::new(issuer),
            verifier: Arc::new(self.verifier),
            refresh_tokens: refresh_tokens(),
            revocations,
            one_time_tokens: one_time_tokens(),
            device_tokens: DeviceTokens::new(&root_secret()),
            throttle_keys: ThrottleKeys::new(&root_secret()),
            event_chain: EventChain::new(&root_secret()),
            proof_of_work: ProofOfWork::new(&root_secret()),
            composer: Arc::new(self.composer),
            transport: Arc::new(self.transport),
            webhooks: self.webhooks,
            settings: self.settings,
        })
    }
}

/// A moment that a test can change while clocks show it.
#[derive(Clone)]
pub(crate) struct Time(Arc<AtomicI64>);

impl Time {
    pub(crate) fn at(moment: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(moment.unix_micros())))
    }

    pub(crate) fn set(&self, moment: Timestamp) {
        self.0.store(moment.unix_micros(), Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> MockClock {
        let micros = Arc::clone(&self.0);
        let mut clock = MockClock::new();
        clock.expect_now().returning(move || Timestamp::from_unix_micros(micros.load(Ordering::SeqCst)));
        clock
    }
}

/// The same bytes in each run, and never the same twice.
#[derive(Default)]
pub(crate) struct CountingEntropy(AtomicU64);

impl CountingEntropy {
    /// Another sequence of bytes.
    pub(crate) const fn starting_at(count: u64) -> Self {
        Self(AtomicU64::new(count))
    }
}

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
        for chunk in bytes.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let digest: [u8; 32] = Sha256::digest(count.to_be_bytes()).into();
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
        Ok(())
    }
}

/// What a mock was given, for the test to look at afterwards.
pub(crate) struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Vec::new())))
    }
}

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: Clone> Seen<T> {
    pub(crate) fn note(&self, value: T) {
        self.0.lock().unwrap().push(value);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    /// The one thing that was seen.
    pub(crate) fn only(&self) -> T {
        let all = self.all();
        assert_eq!(all.len(), 1, "one value should have been seen");
        all[0].clone()
    }
}

/// Expects exactly this entry of the security log in the unit.
pub(crate) fn expect_event(
    unit: &mut MockUnit,
    kind: EventKind,
    reason: Option<EventReason>,
    subject: (Option<UserId>, Option<SessionId>),
) {
    let append = unit.events.expect_append().times(1);
    let append = append.withf(move |event| {
        (event.kind, event.reason) == (kind, reason)
            && (event.user_id, event.session_id) == subject
            && event.at == NOW
            && event.client == client()
    });
    append.returning(|_| Ok(()));
}

/// What happens in passing at a log-in or a registration, unless the test has expectations of its own: no wrong
/// passwords came before, the device is known, nobody has registered an address that is changed to, the address has been
/// mailed enough, and passwords may be tried.
fn expect_ordinary(unit: &mut MockUnit) {
    unit.credentials.expect_note_failure().returning(|_| Ok(()));
    unit.credentials.expect_take_failures().returning(|_| Ok(0));
    unit.sessions.expect_end_oldest().returning(|_, _, _| Ok(Vec::new()));
    unit.sessions.expect_note_device().returning(|_, _, _| Ok(DeviceSeen::Known));
    unit.sessions.expect_trust_device().returning(|_, _, _, _| Ok(()));
    unit.sessions.expect_forget_trusted_devices().returning(|_| Ok(()));
    unit.throttles.expect_begin_guess().returning(|_, _, _, _| Ok(Taken::Yes));
    unit.throttles.expect_clear_guesses().returning(|_| Ok(()));
    unit.users.expect_delete_unverified().returning(|_, _, _| Ok(()));
    unit.outbox.expect_take_allowance().returning(|_, _, _, _| Ok(false));
}

/// Has the unit queue mails, for the test to look at.
pub(crate) fn queueing(unit: &mut MockUnit, queued: &Seen<Mail>) {
    let seen = queued.clone();
    unit.outbox.expect_push().returning(move |mail| {
        seen.note(mail.clone());
        Ok(())
    });
}

/// A unit that writes this entry of the security log and nothing else.
pub(crate) fn recording(kind: EventKind, reason: EventReason, user_id: Option<UserId>) -> MockUnit {
    let mut unit = MockUnit::default();
    expect_event(&mut unit, kind, Some(reason), (user_id, None));
    unit
}

/// A unit that counts an attempt with a password, or counts from the start, and nothing else.
pub(crate) fn attempting() -> MockUnit {
    MockUnit::default()
}

pub(crate) fn collision() -> StoreError {
    StoreError::Retryable("deadlock".into())
}

pub(crate) fn master_key() -> MasterKey {
    MasterKey::generate(&CountingEntropy::starting_at(1_000)).unwrap()
}

/// The root secret of the installation that a [`Setup`] is; other ones come from other seeds.
pub(crate) fn root_secret() -> RootSecret {
    RootSecret::generate(&CountingEntropy::starting_at(1_000)).unwrap()
}

/// Whether a node refuses the tokens of a session.
pub(crate) fn has_ended(auth: &Auth, session: SessionId) -> bool {
    auth.parts().revocations.check(session, USER_ID) == Standing::Ended
}

/// The refresh tokens of the installation that a [`Setup`] is.
pub(crate) fn refresh_tokens() -> RefreshTokens {
    RefreshTokens::new(&root_secret())
}

/// The mailed tokens of the installation that a [`Setup`] is.
pub(crate) fn one_time_tokens() -> OneTimeTokens {
    OneTimeTokens::new(&root_secret())
}

pub(crate) fn access_token() -> SecretString {
    SecretString::from(ACCESS_TOKEN.to_owned())
}

/// The access token that the issuer of a [`Setup`] makes for a session.
pub(crate) fn issued_text(session: SessionId) -> SecretString {
    SecretString::from(format!("the access token of {session}"))
}

/// The user of [`access_token`].
pub(crate) fn current_user(auth: &Auth) -> CurrentUser {
    auth.authenticate(&access_token()).unwrap()
}

/// The address that the user of the tests changes to.
pub(crate) fn new_email() -> EmailAddress {
    EmailAddress::parse("ada@new.example").unwrap()
}

pub(crate) fn email() -> EmailAddress {
    EmailAddress::parse("ada@example.com").unwrap()
}

pub(crate) fn password(text: &str) -> Password {
    Password::parse(&SecretString::from(text.to_owned())).unwrap()
}

pub(crate) fn hash(text: &str) -> PasswordHashString {
    PasswordHashString::new(text.to_owned())
}

pub(crate) fn client() -> Client {
    Client {
        ip: Some(IpAddr::from([203, 0, 113, 9])),
        user_agent: Some(UserAgent::sanitized("a browser")),
        request_id: RequestId::parse("request-1"),
        locale: Locale::parse("de").ok(),
    }
}

/// A user who has verified their address.
pub(crate) fn user() -> User {
    User {
        id: USER_ID,
        email: email(),
        email_verified_at: Some(NOW.minus(DAY)),
        name: None,
        locale: None,
        roles: Vec::new(),
        disabled_at: None,
        created_at: NOW.minus(2 * DAY),
        updated_at: NOW.minus(DAY),
    }
}

pub(crate) fn disabled_user() -> User {
    User { disabled_at: Some(NOW.minus(SECOND)), ..user() }
}

pub(crate) fn credential() -> PasswordCredential {
    PasswordCredential { user_id: USER_ID, version: VERSION, hash: hash("the stored hash") }
}

/// A session that goes on for a day, and for ten days when it is refreshed.
pub(crate) fn session() -> Session {
    Session {
        id: SESSION_ID,
        user_id: USER_ID,
        credential_version: VERSION,
        authenticated_at: NOW.minus(DAY),
        amr: vec!["pwd".to_owned()],
        last_seen_at: NOW.minus(DAY),
        idle_expires_at: NOW.plus(DAY),
        expires_at: NOW.plus(10 * DAY),
        ended_at: None,
        client: Client { request_id: None, ..client() },
    }
}

/// What [`access_token`] says.
pub(crate) fn claims() -> AccessClaims {
    AccessClaims {
        user_id: USER_ID,
        session_id: SESSION_ID,
        token_id: Uuid::from_u128(4),
        issued_at: NOW,
        expires_at: NOW.plus(TokenSettings::DEFAULT_LIFETIME),
        authenticated_at: NOW.minus(DAY),
        amr: vec!["pwd".to_owned()],
        roles: Vec::new(),
        email: email(),
        email_verified: true,
    }
}
