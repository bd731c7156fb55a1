//! How often what may be tried: by whom it is tried for all nodes together, in the database; plain floods of one client
//! in memory before that.

use std::fmt;
use std::time::Duration;

use doorward_domain::store::{Taken, ThrottleKey, WriteUnit};
use doorward_domain::{
    Client, ClientNetwork, EmailAddress, EventKind, EventReason, GuessPolicy, Rate, Timestamp, UserId,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::seal::keyed_digest;
use crate::unit::retrying;
use crate::{Auth, DeviceToken, Fault, RootSecret};

/// It was done too often; waiting helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it was done too often")]
pub struct TooOften {
    /// How long to wait, in whole seconds and at least one.
    pub retry_after: Duration,
}

impl TooOften {
    pub(crate) fn until(moment: Timestamp, now: Timestamp) -> Self {
        let micros = moment.since(now).as_micros();
        Self { retry_after: Duration::from_secs(u64::try_from(micros.div_ceil(1_000_000)).unwrap_or(u64::MAX).max(1)) }
    }
}

/// How often what may be done. `None` for a limit that is switched off.
///
/// # Defaults
///
/// Those of [`GuessPolicy`]; for one client (an IPv4 address or a /64 of IPv6) 100 log-ins that fail an hour, 20
/// registrations an hour, 30 requests for mail an hour, 60 uses of mailed tokens in a quarter of an hour, 600 refreshes and
/// 6,000 requests of any kind a minute; 60 refreshes of one session a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Wrong passwords in a row for one account.
    pub guesses: GuessPolicy,
    /// Log-ins of one client that fail.
    pub login_by_client: Option<Rate>,
    /// Registrations of one client.
    pub register_by_client: Option<Rate>,
    /// Requests of one client that have a mail sent.
    pub mail_by_client: Option<Rate>,
    /// Uses of mailed tokens by one client.
    pub token_by_client: Option<Rate>,
    /// Refreshes by one client, on each node.
    pub refresh_by_client: Option<Rate>,
    /// Refreshes of one session, on each node.
    pub refresh_by_session: Option<Rate>,
    /// Requests of any kind by one client, on each node.
    pub requests_by_client: Option<Rate>,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        const HOUR: Duration = Duration::from_hours(1);
        Self {
            guesses: GuessPolicy::default(),
            login_by_client: Some(Rate::new(100, HOUR)),
            register_by_client: Some(Rate::new(20, HOUR)),
            mail_by_client: Some(Rate::new(30, HOUR)),
            token_by_client: Some(Rate::new(60, 15 * MINUTE)),
            refresh_by_client: Some(Rate::new(600, MINUTE)),
            refresh_by_session: Some(Rate::new(60, MINUTE)),
            requests_by_client: Some(Rate::new(6_000, MINUTE)),
        }
    }
}

impl ThrottlePolicy {
    /// With every limit for a client switched off: for services whose users all come from one address that they cannot
    /// tell apart, and for tests. The limits for accounts stay.
    #[must_use]
    pub fn without_clients() -> Self {
        Self {
            guesses: GuessPolicy::default(),
            login_by_client: None,
            register_by_client: None,
            mail_by_client: None,
            token_by_client: None,
            refresh_by_client: None,
            refresh_by_session: Some(Rate::new(60, Duration::from_mins(1))),
            requests_by_client: None,
        }
    }
}

/// Names what is counted. The names tell nothing of addresses and clients to who does not have the key.
pub struct ThrottleKeys {
    key: Zeroizing<[u8; 32]>,
}

impl ThrottleKeys {
    /// The names of an installation; its root secret decides what they are.
    #[must_use]
    pub fn new(root: &RootSecret) -> Self {
        Self { key: root.derive("doorward/throttle/v1") }
    }

    fn name(&self, what: &str, whose: &[u8]) -> ThrottleKey {
        let message = [what.as_bytes(), &[0], whose].concat();
        ThrottleKey::from_bytes(keyed_digest(&self.key, &message))
    }
}

impl fmt::Debug for ThrottleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ThrottleKeys(..)")
    }
}

/// For whom a password is tried, and so whose count of wrong ones goes up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Guess<'a> {
    /// For an address, whether or not it has an account.
    Address(&'a EmailAddress),
    /// For a user, from a device that they have logged in from before: strangers cannot use this count up.
    Device(UserId, &'a DeviceToken),
    /// For a user, by who has a session of theirs.
    Session(UserId),
}

impl Guess<'_> {
    pub(crate) fn key(self, keys: &ThrottleKeys) -> ThrottleKey {
        match self {
            Self::Address(address) => keys.name("guess/address", address.canonical().as_bytes()),
            Self::Device(user, device) => {
                keys.name("guess/device", &[user.uuid().as_bytes().as_slice(), &device.digest()].concat())
            }
            Self::Session(user) => keys.name("guess/session", user.uuid().as_bytes()),
        }
    }
}

/// What is limited by client, in the database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ByClient {
    Login,
    Register,
    Mail,
    Token,
}

/// A password that is being tried, and what was counted for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) guess: ThrottleKey,
    pub(crate) client: Option<(ThrottleKey, Rate)>,
}

impl Auth {
    /// Counts a password before it is tried, in a unit of its own that nothing rolls back, and refuses it when as many as
    /// may be have been wrong.
    ///
    /// Counting comes first, so that any number of attempts at once, on any number of nodes, are no more than as many one
    /// after the other.
    pub(crate) async fn begin_attempt(
        &self,
        kind: EventKind,
        guess: Guess<'_>,
        user_id: Option<UserId>,
        client: &Client,
    ) -> Result<Attempt, Fault> {
        let client_key = match guess {
            // Strangers who come from the same address must not keep a user out where the user is known.
            Guess::Device(..) => None,
            Guess::Address(_) | Guess::Session(_) => self.client_key(ByClient::Login, client),
        };
        let attempt = Attempt { guess: guess.key(&self.parts().throttle_keys), client: client_key };
        let policy = &self.settings().throttles.guesses;
        let now = self.now();
        let refused = retrying(|| async {
            let mut unit = self.store().write().await?;
            let mut refused = None;
            if let Some((key, rate)) = attempt.client
                && let Taken::NotBefore(moment) = unit.throttles().take(&key, rate, now).await?
            {
                return Ok(Some((EventReason::ClientLimit, moment)));
            }
            let taken = unit.throttles().begin_guess(&attempt.guess, policy, user_id.is_some(), now).await?;
            if let Taken::NotBefore(moment) = taken {
                refused = Some((EventReason::GuessLimit, moment));
            }
            // What counts for the client stays counted.
            unit.commit().await?;
            Ok(refused)
        })
        .await?;
        match refused {
            None => Ok(attempt),
            Some((reason, moment)) => {
                self.record(kind, reason, (user_id, None), client).await?;
                Err(TooOften::until(moment, now).into())
            }
        }
    }

    /// Counts from the start, in the unit of what the right password is for, and gives the client back its own.
    pub(crate) async fn settle_attempt(&self, unit: &mut dyn WriteUnit, attempt: &Attempt) -> Result<(), Fault> {
        unit.throttles().clear_guesses(&attempt.guess).await?;
        if let Some((key, rate)) = attempt.client {
            unit.throttles().give_back(&key, rate).await?;
        }
        Ok(())
    }

    /// The same in a unit of its own, where the right password leads to nothing.
    pub(crate) async fn end_attempt(&self, attempt: &Attempt) -> Result<(), Fault> {
        retrying(|| async {
            let mut unit = self.store().write().await?;
            self.settle_attempt(&mut *unit, attempt).await?;
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Gives an attempt back: the password was not tried after all.
    pub(crate) async fn take_back_attempt(&self, attempt: &Attempt) -> Result<(), Fault> {
        let now = self.now();
        retrying(|| async {
            let mut unit = self.store().write().await?;
            unit.throttles().take_back_guess(&attempt.guess, now).await?;
            if let Some((key, rate)) = attempt.client {
                unit.throttles().give_back(&key, rate).await?;
            }
            Ok(unit.commit().await?)
        })
        .await
    }

    /// Counts something that a client does, in a unit of its own, and refuses it when it was done too often.
    pub(crate) async fn take_for_client(&self, what: ByClient, kind: EventKind, client: &Client) -> Result<(), Fault> {
        let Some((key, rate)) = self.client_key(what, client) else { return Ok(()) };
        let now = self.now();
        let taken = retrying(|| async {
            let mut unit = self.store().write().await?;
            let taken = unit.throttles().take(&key, rate, now).await?;
            if taken == Taken::Yes {
                unit.commit().await?;
            }
            Ok(taken)
        })
        .await?;
        let Taken::NotBefore(moment) = taken else { return Ok(()) };
        self.record(kind, EventReason::ClientLimit, (None, None), client).await?;
        Err(TooOften::until(moment, now).into())
    }

    /// What counts for a client; `None` where the limit is switched off, or nobody knows where the request comes from.
    fn client_key(&self, what: ByClient, client: &Client) -> Option<(ThrottleKey, Rate)> {
        let policy = &self.settings().throttles;
        let (name, rate) = match what {
            ByClient::Login => ("client/login", policy.login_by_client),
            ByClient::Register => ("client/register", policy.register_by_client),
            ByClient::Mail => ("client/mail", policy.mail_by_client),
            ByClient::Token => ("client/token", policy.token_by_client),
        };
        let network = ClientNetwork::of(client.ip?).to_string();
        rate.map(|rate| (self.parts().throttle_keys.name(name, network.as_bytes()), rate))
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::RegistrationMode;
    use crate::testing::{NOW, SECOND, Setup, USER_ID, client, email, expect_event, root_secret};

    const RATE: Rate = Rate::new(3, Duration::from_secs(30));

    fn setup() -> Setup {
        let mut setup = Setup::new(RegistrationMode::Verified);
        setup.settings.throttles.login_by_client = Some(RATE);
        setup.settings.throttles.mail_by_client = Some(RATE);
        setup
    }

    /// A unit in which the client has something left or not.
    fn taking(taken: Taken) -> MockUnit {
        let mut unit = MockUnit::default();
        let take = unit.throttles.expect_take().times(1);
        take.withf(|_, rate, now| (*rate, *now) == (RATE, NOW)).returning(move |_, _, _| Ok(taken));
        unit
    }

    fn limit(reason: EventReason) -> MockUnit {
        let mut unit = MockUnit::default();
        expect_event(&mut unit, EventKind::Login, Some(reason), (Some(USER_ID), None));
        unit
    }

    async fn begin(setup: Setup) -> Result<Attempt, Fault> {
        let auth = setup.auth();
        auth.begin_attempt(EventKind::Login, Guess::Address(&email()), Some(USER_ID), &client()).await
    }

    #[pollster::test]
    async fn an_attempt_is_counted_in_a_unit_of_its_own_before_anything_is_tried() {
        let setup = setup();
        let mut unit = taking(Taken::Yes);
        let guess = unit.throttles.expect_begin_guess().times(1);
        let guess = guess.withf(|_, policy, kept, now| (*policy, *kept, *now) == (GuessPolicy::default(), true, NOW));
        guess.returning(|_, _, _, _| Ok(Taken::Yes));
        let written = setup.store.plan_write(unit);

        let attempt = begin(setup).await.unwrap();

        assert!(written.yes());
        assert_eq!(attempt.guess, Guess::Address(&email()).key(&ThrottleKeys::new(&root_secret())));
    }

    #[pollster::test]
    async fn a_client_that_has_none_left_costs_the_account_nothing() {
        let setup = setup();
        let undone = setup.store.plan_write(taking(Taken::NotBefore(NOW.plus(7 * SECOND))));
        let recorded = setup.store.plan_write(limit(EventReason::ClientLimit));

        let outcome = begin(setup).await;

        let Err(Fault::TooOften(refused)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(refused.retry_after, 7 * SECOND);
        assert!(!undone.yes() && recorded.yes());
    }

    #[pollster::test]
    async fn a_refused_guess_still_counts_for_the_client() {
        let setup = setup();
        let mut unit = taking(Taken::Yes);
        let until = Taken::NotBefore(NOW.plus(Duration::from_millis(29_001)));
        unit.throttles.expect_begin_guess().times(1).returning(move |_, _, _, _| Ok(until));
        let counted = setup.store.plan_write(unit);
        let recorded = setup.store.plan_write(limit(EventReason::GuessLimit));

        let outcome = begin(setup).await;

        let Err(Fault::TooOften(refused)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(refused.retry_after, 30 * SECOND, "whole seconds, and never too early");
        assert!(counted.yes() && recorded.yes());
    }

    #[pollster::test]
    async fn what_is_switched_off_or_has_no_client_asks_no_database() {
        let setup = setup();
        let auth = setup.auth();
        auth.take_for_client(ByClient::Register, EventKind::Register, &client()).await.unwrap();
        auth.take_for_client(ByClient::Mail, EventKind::PasswordResetRequest, &Client::default()).await.unwrap();
    }

    #[pollster::test]
    async fn what_was_done_too_often_is_refused_and_recorded() {
        let setup = setup();
        setup.store.plan_write(taking(Taken::Yes));
        let undone = setup.store.plan_write(taking(Taken::NotBefore(NOW)));
        let mut unit = MockUnit::default();
        expect_event(&mut unit, EventKind::PasswordResetRequest, Some(EventReason::ClientLimit), (None, None));
        let recorded = setup.store.plan_write(unit);
        let auth = setup.auth();
        auth.take_for_client(ByClient::Mail, EventKind::PasswordResetRequest, &client()).await.unwrap();

        let outcome = auth.take_for_client(ByClient::Mail, EventKind::PasswordResetRequest, &client()).await;

        let Err(Fault::TooOften(refused)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(refused.retry_after, SECOND, "at least one second");
        assert!(!undone.yes() && recorded.yes());
    }

    #[test]
    fn counts_are_apart_by_what_and_whom_they_are_for() {
        let keys = ThrottleKeys::new(&root_secret());
        let device = |n| DeviceToken::from_id([n; 16]);
        let other = UserId::from_uuid(uuid::Uuid::from_u128(9));
        let names = [
            Guess::Address(&email()).key(&keys),
            Guess::Session(USER_ID).key(&keys),
            Guess::Session(other).key(&keys),
            Guess::Device(USER_ID, &device(1)).key(&keys),
            Guess::Device(USER_ID, &device(2)).key(&keys),
            Guess::Device(other, &device(1)).key(&keys),
        ];
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name), "{n}");
        }
        let spelled = EmailAddress::parse("ADA@Example.COM").unwrap();
        assert_eq!(Guess::Address(&spelled).key(&keys), names[0]);
    }
}
