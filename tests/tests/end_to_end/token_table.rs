//! What an account was given before its password or address changed, or before it was deleted, is refused
//! afterwards: every act against everything older.

use doorward_auth::{ChangePassword, CurrentUser, DeleteAccount, RefreshError, RotateRefresh, SessionGrant};
use doorward_domain::{Client, Message, OneTimePurpose};
use doorward_tests::in_process::InProcess;
use doorward_tests::{Database, PASSWORD};
use secrecy::SecretString;

use crate::in_process_steps::{
    NEW_PASSWORD, deliver, delivered, log_in, mailed, password, redeem, register, request_change, request_reset, resend,
};

/// What ends everything older.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    ResetPassword,
    ChangePassword,
    ConfirmEmailChange,
    UndoEmailChange,
    DeleteAccount,
}

impl Act {
    const ALL: [Self; 5] = [
        Self::ResetPassword,
        Self::ChangePassword,
        Self::ConfirmEmailChange,
        Self::UndoEmailChange,
        Self::DeleteAccount,
    ];

    async fn perform(self, doorward: &InProcess, account: &Account) {
        let client = Client::default();
        match self {
            Self::ResetPassword => account.redeem(doorward, OneTimePurpose::ResetPassword).await,
            Self::ConfirmEmailChange => account.redeem(doorward, OneTimePurpose::ChangeEmail).await,
            Self::UndoEmailChange => account.redeem(doorward, OneTimePurpose::UndoEmailChange).await,
            Self::ChangePassword => {
                let request = ChangePassword { current: password(PASSWORD), new: password(NEW_PASSWORD), device: None };
                doorward.auth.change_password(&account.current(doorward), request, &client).await.unwrap();
            }
            Self::DeleteAccount => {
                let request = DeleteAccount { password: password(PASSWORD) };
                doorward.auth.delete_account(&account.current(doorward), request, &client).await.unwrap();
            }
        }
    }
}

/// What an account holds before the act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thing {
    OtherSessionsRefreshToken,
    /// One that has a successor, which it still leads to.
    OtherSessionsReplacedRefreshToken,
    OtherSessionsAccessToken,
    /// Of the session that acts, or that asked for the mail by which it is acted.
    OwnRefreshToken,
    OwnAccessToken,
    VerifyToken,
    ResetToken,
    ChangeToken,
    /// A mail that was asked for before the act and is delivered after it.
    WaitingVerifyMail,
    WaitingResetMail,
    WaitingChangeMail,
    UndoToken,
}

impl Thing {
    const ALL: [Self; 12] = [
        Self::OtherSessionsRefreshToken,
        Self::OtherSessionsReplacedRefreshToken,
        Self::OtherSessionsAccessToken,
        Self::OwnRefreshToken,
        Self::OwnAccessToken,
        Self::VerifyToken,
        Self::ResetToken,
        Self::ChangeToken,
        Self::WaitingVerifyMail,
        Self::WaitingResetMail,
        Self::WaitingChangeMail,
        Self::UndoToken,
    ];

    async fn obtain(self, doorward: &InProcess, account: &Account, act: Act) -> Held {
        match self {
            Self::OtherSessionsRefreshToken => Held::Refresh(account.other.refresh_token.to_text()),
            Self::OtherSessionsReplacedRefreshToken => {
                let token = account.other.refresh_token.to_text();
                assert!(refreshes(doorward, &token).await);
                Held::Refresh(token)
            }
            Self::OtherSessionsAccessToken => Held::Access(account.other.access_token.text.clone()),
            Self::OwnRefreshToken => Held::Refresh(account.own.refresh_token.to_text()),
            Self::OwnAccessToken => Held::Access(account.own.access_token.text.clone()),
            Self::VerifyToken => Held::Token(OneTimePurpose::VerifyEmail, account.verify.clone()),
            // A user has one token of a purpose. Where the act uses it, that is the older one.
            Self::ResetToken if act == Act::ResetPassword => account.used_to_act(OneTimePurpose::ResetPassword),
            Self::ChangeToken if act == Act::ConfirmEmailChange => account.used_to_act(OneTimePurpose::ChangeEmail),
            Self::ResetToken => {
                request_reset(doorward, &account.address).await;
                let token = delivered(doorward, &account.address, OneTimePurpose::ResetPassword).await;
                Held::Token(OneTimePurpose::ResetPassword, token)
            }
            Self::ChangeToken => {
                request_change(doorward, &account.own, &account.elsewhere("b")).await;
                let token = delivered(doorward, &account.elsewhere("b"), OneTimePurpose::ChangeEmail).await;
                Held::Token(OneTimePurpose::ChangeEmail, token)
            }
            Self::WaitingVerifyMail => {
                resend(doorward, &account.address).await;
                Held::Waiting(OneTimePurpose::VerifyEmail, account.address.clone())
            }
            Self::WaitingResetMail => {
                request_reset(doorward, &account.address).await;
                Held::Waiting(OneTimePurpose::ResetPassword, account.address.clone())
            }
            Self::WaitingChangeMail => {
                request_change(doorward, &account.own, &account.elsewhere("b")).await;
                Held::Waiting(OneTimePurpose::ChangeEmail, account.elsewhere("b"))
            }
            Self::UndoToken => Held::Token(OneTimePurpose::UndoEmailChange, account.undo.clone().unwrap()),
        }
    }
}

/// What outlives the act by design. Whoever changes their password goes on working; and what gives an address back
/// must not be in the power of whoever took it.
fn survives(act: Act, thing: Thing) -> bool {
    match thing {
        Thing::OwnRefreshToken | Thing::OwnAccessToken => act == Act::ChangePassword,
        Thing::UndoToken => !matches!(act, Act::UndoEmailChange | Act::DeleteAccount),
        _ => false,
    }
}

/// What there cannot be: an address that was changed is proven, so nothing is mailed to verify it.
/// [`a_changed_address_is_not_to_be_verified`] looks.
fn cannot_be(act: Act, thing: Thing) -> bool {
    act == Act::UndoEmailChange && matches!(thing, Thing::VerifyToken | Thing::WaitingVerifyMail)
}

/// A thing in somebody's hands, or on its way there.
enum Held {
    Refresh(SecretString),
    Access(SecretString),
    Token(OneTimePurpose, SecretString),
    Waiting(OneTimePurpose, String),
}

impl Held {
    /// Whether it is any good, once this has been delivered.
    async fn works(&self, doorward: &InProcess, delivered: &[Message]) -> bool {
        match self {
            Self::Refresh(token) => refreshes(doorward, token).await,
            Self::Access(token) => doorward.auth.authenticate(token).is_ok(),
            Self::Token(purpose, token) => redeem(doorward, *purpose, token).await,
            Self::Waiting(purpose, to) => match mailed(delivered, to, *purpose) {
                Some(token) => redeem(doorward, *purpose, &token).await,
                None => false,
            },
        }
    }
}

async fn refreshes(doorward: &InProcess, token: &SecretString) -> bool {
    match doorward.auth.refresh(RotateRefresh { refresh_token: token.clone() }, &Client::default()).await {
        Ok(_) => true,
        Err(RefreshError::InvalidRefreshToken) => false,
        Err(error) => panic!("{error:?}"),
    }
}

/// An account that is ready to act.
struct Account {
    name: String,
    address: String,
    own: SessionGrant,
    other: SessionGrant,
    /// The token that was mailed at registration.
    verify: SecretString,
    /// The token that gives it the address back that it had first.
    undo: Option<SecretString>,
    /// The token that it acts by.
    acts_by: Option<SecretString>,
}

impl Account {
    async fn open(doorward: &InProcess, name: &str, act: Act, thing: Thing) -> Self {
        let first_address = format!("{name}@example.com");
        let first = register(doorward, &first_address).await;
        let verify = delivered(doorward, &first_address, OneTimePurpose::VerifyEmail).await;
        let (address, undo) = if act == Act::UndoEmailChange || thing == Thing::UndoToken {
            let address = format!("{name}-changed@example.com");
            request_change(doorward, &first, &address).await;
            let change = delivered(doorward, &address, OneTimePurpose::ChangeEmail).await;
            assert!(redeem(doorward, OneTimePurpose::ChangeEmail, &change).await);
            (address, Some(delivered(doorward, &first_address, OneTimePurpose::UndoEmailChange).await))
        } else {
            (first_address, None)
        };
        let (own, other) = (log_in(doorward, &address).await, log_in(doorward, &address).await);
        let mut account = Self { name: name.to_owned(), address, own, other, verify, undo, acts_by: None };
        account.acts_by = match act {
            Act::ResetPassword => {
                request_reset(doorward, &account.address).await;
                Some(delivered(doorward, &account.address, OneTimePurpose::ResetPassword).await)
            }
            Act::ConfirmEmailChange => {
                request_change(doorward, &account.own, &account.elsewhere("a")).await;
                Some(delivered(doorward, &account.elsewhere("a"), OneTimePurpose::ChangeEmail).await)
            }
            Act::UndoEmailChange => account.undo.clone(),
            Act::ChangePassword | Act::DeleteAccount => None,
        };
        account
    }

    /// Another address of the same person.
    fn elsewhere(&self, which: &str) -> String {
        format!("{}-{which}@example.com", self.name)
    }

    fn current(&self, doorward: &InProcess) -> CurrentUser {
        doorward.auth.authenticate(&self.own.access_token.text).unwrap()
    }

    fn used_to_act(&self, purpose: OneTimePurpose) -> Held {
        Held::Token(purpose, self.acts_by.clone().unwrap())
    }

    async fn redeem(&self, doorward: &InProcess, purpose: OneTimePurpose) {
        let token = self.acts_by.as_ref().unwrap();
        assert!(redeem(doorward, purpose, token).await, "the act itself was refused: {purpose:?}");
    }
}

/// Two accounts hold the same and one of them acts: what the other holds shows that it would have worked.
async fn row(doorward: &InProcess, number: usize, act: Act, thing: Thing) -> Result<(), String> {
    let actor = Account::open(doorward, &format!("ada{number}"), act, thing).await;
    let twin = Account::open(doorward, &format!("twin{number}"), act, thing).await;
    let of_actor = thing.obtain(doorward, &actor, act).await;
    let of_twin = thing.obtain(doorward, &twin, act).await;

    act.perform(doorward, &actor).await;

    let delivered = deliver(doorward).await;
    if !of_twin.works(doorward, &delivered).await {
        return Err(format!("{act:?}, {thing:?}: refused without the act as well"));
    }
    match (of_actor.works(doorward, &delivered).await, survives(act, thing)) {
        (true, false) => Err(format!("{act:?}, {thing:?}: works after the act")),
        (false, true) => Err(format!("{act:?}, {thing:?}: refused after the act")),
        _ => Ok(()),
    }
}

async fn a_changed_address_is_not_to_be_verified(doorward: &InProcess) {
    let account = Account::open(doorward, "proven", Act::UndoEmailChange, Thing::VerifyToken).await;
    resend(doorward, &account.address).await;
    let delivered = deliver(doorward).await;
    assert!(mailed(&delivered, &account.address, OneTimePurpose::VerifyEmail).is_none());
    assert!(!redeem(doorward, OneTimePurpose::VerifyEmail, &account.verify).await);
}

async fn table_on(database: Database) {
    let doorward = InProcess::start(database).await;
    let rows = Act::ALL.into_iter().flat_map(|act| Thing::ALL.map(|thing| (act, thing)));
    let rows: Vec<_> = rows.filter(|(act, thing)| !cannot_be(*act, *thing)).collect();
    let mut wrong = Vec::new();
    for (number, (act, thing)) in rows.iter().enumerate() {
        if let Err(complaint) = row(&doorward, number, *act, *thing).await {
            wrong.push(complaint);
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows on {database:?}: {wrong:#?}", wrong.len(), rows.len());
    assert_eq!(rows.len(), Act::ALL.len() * Thing::ALL.len() - 2);
    a_changed_address_is_not_to_be_verified(&doorward).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_outlives_a_change_of_the_account_on_sqlite() {
    table_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_older_outlives_a_change_of_the_account_on_postgres() {
    table_on(Database::Postgres).await;
}
