//! A mailed token works once, for its own user, until it expires, and not after a newer one, whoever is at it at the
//! same moment and in whatever order the mails arrive.

use std::sync::Arc;
use std::time::Duration;

use doorward_auth::SessionGrant;
use doorward_domain::{CredentialVersion, Mail, OneTimePurpose, User, UserId};
use doorward_tests::in_process::InProcess;
use doorward_tests::{Database, rounds};
use secrecy::SecretString;

use crate::in_process_steps::{
    deliver, delivered, log_in, mailed, redeem, register, request_change, request_reset, resend,
};

const CROWD: usize = 50;

const EVERY: [OneTimePurpose; 4] = [
    OneTimePurpose::VerifyEmail,
    OneTimePurpose::ResetPassword,
    OneTimePurpose::ChangeEmail,
    OneTimePurpose::UndoEmailChange,
];

/// The purposes of which a newer token takes the place of an older. What undoes a change is not among them: the first
/// offer stands.
const SUPERSEDED: [OneTimePurpose; 3] =
    [OneTimePurpose::VerifyEmail, OneTimePurpose::ResetPassword, OneTimePurpose::ChangeEmail];

/// Somebody with an account.
struct Person {
    name: String,
    session: SessionGrant,
}

impl Person {
    /// Registers. What is mailed for that is delivered and forgotten.
    async fn new(doorward: &InProcess, name: &str) -> Self {
        let session = register(doorward, &format!("{name}@example.com")).await;
        deliver(doorward).await;
        Self { name: name.to_owned(), session }
    }

    fn id(&self) -> UserId {
        self.session.user.id
    }

    fn address(&self) -> String {
        format!("{}@example.com", self.name)
    }

    /// The address that the account is to get. Another one each time, to tell a newer wish from an older.
    fn new_address(&self, time: usize) -> String {
        format!("{}-{time}@example.com", self.name)
    }

    /// Asks for a mail with a token, for the first time, the second and so on; says where it goes.
    async fn ask(&self, doorward: &InProcess, purpose: OneTimePurpose, time: usize) -> String {
        match purpose {
            OneTimePurpose::VerifyEmail => resend(doorward, &self.address()).await,
            OneTimePurpose::ResetPassword => request_reset(doorward, &self.address()).await,
            OneTimePurpose::ChangeEmail => {
                request_change(doorward, &self.session, &self.new_address(time)).await;
                return self.new_address(time);
            }
            OneTimePurpose::UndoEmailChange => {
                let to = self.new_address(time);
                request_change(doorward, &self.session, &to).await;
                let change = delivered(doorward, &to, OneTimePurpose::ChangeEmail).await;
                assert!(redeem(doorward, OneTimePurpose::ChangeEmail, &change).await);
            }
        }
        self.address()
    }

    async fn token(&self, doorward: &InProcess, purpose: OneTimePurpose, time: usize) -> SecretString {
        let to = self.ask(doorward, purpose, time).await;
        delivered(doorward, &to, purpose).await
    }
}

/// Lets a crowd use these tokens at once, each as many times as the others; returns which token each success was
/// with.
async fn crowd(doorward: &Arc<InProcess>, purpose: OneTimePurpose, tokens: &[SecretString]) -> Vec<usize> {
    let using: Vec<_> = (0..CROWD)
        .map(|n| {
            let (doorward, token) = (Arc::clone(doorward), tokens[n % tokens.len()].clone());
            tokio::spawn(async move { redeem(&doorward, purpose, &token).await })
        })
        .collect();
    let mut successes = Vec::new();
    for (n, task) in using.into_iter().enumerate() {
        if task.await.unwrap() {
            successes.push(n % tokens.len());
        }
    }
    successes
}

async fn one_round(doorward: &Arc<InProcess>, round: usize) {
    for purpose in EVERY {
        let ada = Person::new(doorward, &format!("ada{round}.{}", purpose.as_str())).await;
        let token = ada.token(doorward, purpose, 1).await;
        let successes = crowd(doorward, purpose, &[token]).await;
        assert_eq!(successes, [0], "round {round}, {purpose:?}: one token did it {} times", successes.len());
    }
    for purpose in SUPERSEDED {
        let bob = Person::new(doorward, &format!("bob{round}.{}", purpose.as_str())).await;
        let older = bob.token(doorward, purpose, 1).await;
        let newer = bob.token(doorward, purpose, 2).await;
        let successes = crowd(doorward, purpose, &[older, newer]).await;
        assert_eq!(successes, [1], "round {round}, {purpose:?}: not the newer token alone, and once");
    }
    // Whatever the uses queued belongs to this round.
    deliver(doorward).await;
}

async fn rounds_on(database: Database) {
    let doorward = Arc::new(InProcess::start(database).await);
    let rounds = rounds(5);
    for round in 0..rounds {
        one_round(&doorward, round).await;
    }
    println!("{database:?}: {rounds} rounds of {CROWD} at once, one success each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_one_token_succeeds_once_on_sqlite() {
    rounds_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_one_token_succeeds_once_on_postgres() {
    rounds_on(Database::Postgres).await;
}

#[tokio::test]
async fn an_expired_token_is_refused_though_nothing_has_cleaned_it_up() {
    const SECOND: Duration = Duration::from_secs(1);
    let lifetimes = [
        (OneTimePurpose::VerifyEmail, Duration::from_secs(24 * 60 * 60)),
        (OneTimePurpose::ResetPassword, Duration::from_secs(30 * 60)),
        (OneTimePurpose::ChangeEmail, Duration::from_secs(24 * 60 * 60)),
        (OneTimePurpose::UndoEmailChange, Duration::from_secs(7 * 24 * 60 * 60)),
    ];
    for database in Database::BOTH {
        for (purpose, lifetime) in lifetimes {
            // Nothing cleans up here: `InProcess` has no background work.
            let doorward = InProcess::start(database).await;
            let (ada, eve) = (Person::new(&doorward, "ada").await, Person::new(&doorward, "eve").await);
            // Hers is a few milliseconds older, so it has a little less than a second left when she uses it.
            let early = ada.token(&doorward, purpose, 1).await;
            let late = eve.token(&doorward, purpose, 1).await;
            doorward.clock.advance(lifetime.saturating_sub(SECOND));
            assert!(redeem(&doorward, purpose, &early).await, "{database:?}, {purpose:?}: refused too early");
            doorward.clock.advance(SECOND);
            assert!(!redeem(&doorward, purpose, &late).await, "{database:?}, {purpose:?}: works after {lifetime:?}");
        }
    }
}

/// What must not change by another's doing.
async fn state(doorward: &InProcess, id: UserId, session: &SessionGrant) -> (User, CredentialVersion, String, bool) {
    let mut unit = doorward.store.read().await.unwrap();
    let user = unit.users().find(id).await.unwrap().unwrap();
    let credential = unit.credentials().find(id).await.unwrap().unwrap();
    let goes_on = doorward.auth.authenticate(&session.access_token.text).is_ok();
    (user, credential.version, credential.hash.as_str().to_owned(), goes_on)
}

#[tokio::test]
async fn a_token_changes_its_own_user_alone() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        for purpose in EVERY {
            let ada = Person::new(&doorward, &format!("ada.{}", purpose.as_str())).await;
            let eve = Person::new(&doorward, &format!("eve.{}", purpose.as_str())).await;
            let of_ada = ada.token(&doorward, purpose, 1).await;
            let of_eve = eve.token(&doorward, purpose, 1).await;
            // The change that can be undone has ended the session that asked for it.
            let address = match purpose {
                OneTimePurpose::UndoEmailChange => ada.new_address(1),
                _ => ada.address(),
            };
            let session = log_in(&doorward, &address).await;
            let before = state(&doorward, ada.id(), &session).await;
            assert!(before.3, "the session has not even begun");

            assert!(redeem(&doorward, purpose, &of_eve).await);

            let after = state(&doorward, ada.id(), &session).await;
            assert_eq!(after, before, "{database:?}, {purpose:?}: another's token changed the account");
            assert!(redeem(&doorward, purpose, &of_ada).await, "{database:?}, {purpose:?}: used up by another's");
        }
    }
}

/// The mail in the outbox that will carry a token of this purpose.
async fn waiting(doorward: &InProcess, purpose: OneTimePurpose) -> Mail {
    let mails = doorward.store.read().await.unwrap().outbox().list(100).await.unwrap();
    let mut found = mails.into_iter().map(|queued| queued.mail).filter(|m| m.kind.token_purpose() == Some(purpose));
    let mail = found.next().expect("no such mail waits");
    assert!(found.next().is_none(), "more than one such mail waits");
    mail
}

/// Puts a mail back that was sent, as after a node that died before it could note that.
async fn not_noted_as_sent(doorward: &InProcess, mail: &Mail) {
    let mut unit = doorward.store.write().await.unwrap();
    unit.outbox().push(mail).await.unwrap();
    unit.commit().await.unwrap();
}

#[tokio::test]
async fn a_newer_mail_counts_though_the_older_arrives_after_it() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        for purpose in SUPERSEDED {
            for sent_before in [false, true] {
                let case = format!("{database:?}, {purpose:?}, sent before: {sent_before}");
                let ada = Person::new(&doorward, &format!("ada.{}.{sent_before}", purpose.as_str())).await;
                let first_to = ada.ask(&doorward, purpose, 1).await;
                let mut older = None;
                if sent_before {
                    let mail = waiting(&doorward, purpose).await;
                    older = Some(delivered(&doorward, &first_to, purpose).await);
                    not_noted_as_sent(&doorward, &mail).await;
                }
                // Somebody has the older mail in hand, and is slow.
                let batch = doorward.auth.lease_mail().await.unwrap().expect("a mail is due");
                let newer = ada.token(&doorward, purpose, 2).await;
                doorward.auth.deliver_mail(batch).await.unwrap();

                let late = mailed(&doorward.mail.take(), &first_to, purpose);
                assert!(late.is_none(), "{case}: a superseded token was mailed");
                if let Some(older) = older {
                    assert!(!redeem(&doorward, purpose, &older).await, "{case}: the older token works");
                }
                assert!(redeem(&doorward, purpose, &newer).await, "{case}: the newer token is refused");
            }
        }
    }
}

#[tokio::test]
async fn a_used_token_gets_no_second_life_by_a_second_copy_of_its_mail() {
    for database in Database::BOTH {
        let doorward = InProcess::start(database).await;
        for purpose in SUPERSEDED {
            let ada = Person::new(&doorward, &format!("ada.{}", purpose.as_str())).await;
            let to = ada.ask(&doorward, purpose, 1).await;
            let mail = waiting(&doorward, purpose).await;
            let token = delivered(&doorward, &to, purpose).await;
            assert!(redeem(&doorward, purpose, &token).await);
            deliver(&doorward).await;

            not_noted_as_sent(&doorward, &mail).await;

            assert!(
                mailed(&deliver(&doorward).await, &to, purpose).is_none(),
                "{database:?}, {purpose:?}: mailed again"
            );
            assert!(!redeem(&doorward, purpose, &token).await, "{database:?}, {purpose:?}: used twice");
        }
    }
}
