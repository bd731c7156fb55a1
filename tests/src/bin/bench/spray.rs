//! A week of ten thousand addresses that guess at a thousand accounts, while a few people want to get in. The clock is
//! moved; everything else is the real thing on SQLite, but for the cost of a hash.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use doorward_auth::{
    DeviceToken, Fault, Login, LoginError, ProofError, Register, Registration, RequestPasswordReset, ResetPassword,
    ThrottlePolicy,
};
use doorward_domain::{Client, EmailAddress, Password};
use doorward_tests::in_process::{InProcess, InProcessOptions};
use doorward_tests::{Database, PASSWORD};
use secrecy::{ExposeSecret as _, SecretString};

use super::{figure, runtime};

pub(crate) const NAME: &str = "spray";

const ACCOUNTS: u32 = 1_000;
const ADDRESSES: u32 = 10_000;
/// Between two rounds, in each of which every account is tried.
const STEP: Duration = Duration::from_mins(20);
const ROUNDS: u32 = 7 * 24 * 3;
/// How often each account is tried in a round.
const TRIES: u32 = 2;
/// How many of the accounts have somebody who logs in from a device that is known, every few hours.
const AT_HOME: u32 = 20;
/// How many of them have somebody who wants to log in from a new device, once, at some moment of the week.
const TRAVELLERS: u32 = 20;

fn email(account: u32) -> EmailAddress {
    EmailAddress::parse(&format!("user-{account}@example.com")).unwrap()
}

fn password(text: &str) -> Password {
    Password::parse(&SecretString::from(text)).unwrap()
}

fn attacker(n: u32) -> Client {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + n % ADDRESSES);
    Client { ip: Some(IpAddr::V4(ip)), ..Client::default() }
}

fn at_home(account: u32) -> Client {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(203, 0, 112, 0).to_bits() + account);
    Client { ip: Some(IpAddr::V4(ip)), ..Client::default() }
}

pub(crate) fn run() {
    runtime().block_on(async {
        let options = InProcessOptions { throttles: ThrottlePolicy::default(), ..InProcessOptions::default() };
        let doorward = InProcess::start_with(Database::Sqlite, options).await;
        let mut devices = Vec::new();
        for account in 0..ACCOUNTS {
            devices.push(register(&doorward, account).await);
        }
        let mut guesses = vec![0_u32; ACCOUNTS as usize];
        let (mut tried, mut known, mut known_refused) = (0_u64, 0_u32, 0_u32);
        let mut waits = Vec::new();
        for round in 0..ROUNDS {
            for account in 0..ACCOUNTS {
                for n in 0..TRIES {
                    let from = attacker(round * 7_919 + account * 31 + n * 4_999);
                    tried += 1;
                    if guess(&doorward, account, &from).await {
                        guesses[account as usize] += 1;
                    }
                }
                // Somebody who wants to keep owners from their mail as well.
                if account < AT_HOME + TRAVELLERS && round % 3 == 0 {
                    for n in 0..6 {
                        ask_for_reset(&doorward, account, &attacker(round + account * 6 + n)).await;
                    }
                }
            }
            for account in 0..AT_HOME {
                if round % 18 == account % 18 {
                    known += 1;
                    let device = doorward.auth.device_token_text(&devices[account as usize]);
                    let login = log_in(&doorward, account, PASSWORD, Some(device), &at_home(account)).await;
                    known_refused += u32::from(login.is_err());
                }
            }
            for traveller in 0..TRAVELLERS {
                if round == 40 + traveller * 22 {
                    waits.push(from_new_device(&doorward, AT_HOME + traveller).await);
                }
            }
            doorward.auth.record_counted_refusals(false).await.unwrap();
            while doorward.auth.seal_events().await.unwrap() {}
            doorward.clock.advance(STEP);
        }
        // A traveller's reset sets another password, whose count begins anew.
        let settled = |account: u32| !(AT_HOME..AT_HOME + TRAVELLERS).contains(&account);
        let most = (0..ACCOUNTS).filter(|n| settled(*n)).map(|n| guesses[n as usize]).max().unwrap();
        println!("{tried} guesses from {ADDRESSES} addresses at {ACCOUNTS} accounts in a simulated week");
        figure("passwords looked at for one account, at most", f64::from(most), "", "at most 100");
        println!("log-ins from known devices: {known}, refused: {known_refused} (goal: 0)");
        let longest = waits.iter().max().copied().unwrap_or_default();
        println!(
            "log-ins from new devices: {}, by a mailed link where strangers had used up what there is",
            waits.len()
        );
        figure("longest wait for one", longest.as_secs_f64() / 60.0, " min", "at most 60: the allowance of mails");
    });
}

async fn register(doorward: &InProcess, account: u32) -> DeviceToken {
    let request =
        Register { email: email(account), password: password(PASSWORD), name: None, device: None, proof: None };
    match doorward.auth.register(request, &at_home(account)).await.unwrap() {
        Registration::SessionStarted(grant) => grant.device_token.unwrap(),
        Registration::VerificationPending => panic!("a verified address was asked for"),
    }
}

/// Tries a wrong password; says whether it was looked at.
async fn guess(doorward: &InProcess, account: u32, from: &Client) -> bool {
    match log_in(doorward, account, "a wrong password, at any rate", None, from).await {
        Err(LoginError::InvalidCredentials) => true,
        Err(LoginError::Fault(Fault::TooOften(_))) => false,
        other => panic!("{other:?}"),
    }
}

async fn log_in(
    doorward: &InProcess,
    account: u32,
    text: &str,
    device: Option<SecretString>,
    from: &Client,
) -> Result<(), LoginError> {
    let request = Login { email: email(account), password: password(text), device, proof: None };
    doorward.auth.login(request, from).await.map(|_| ())
}

async fn ask_for_reset(doorward: &InProcess, account: u32, from: &Client) {
    let asked =
        doorward.auth.request_password_reset(RequestPasswordReset { email: email(account), proof: None }, from).await;
    assert!(matches!(asked, Ok(()) | Err(ProofError::Fault(Fault::TooOften(_)))), "{asked:?}");
}

/// How long somebody with the right password, a new device and a mailbox takes to get in.
async fn from_new_device(doorward: &InProcess, account: u32) -> Duration {
    const STEP: Duration = Duration::from_mins(1);
    let from = Client { ip: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))), ..Client::default() };
    let mut waited = Duration::ZERO;
    let mut inbox = Vec::new();
    loop {
        if log_in(doorward, account, PASSWORD, None, &from).await.is_ok() {
            return waited;
        }
        ask_for_reset(doorward, account, &from).await;
        while let Some(batch) = doorward.auth.lease_mail().await.unwrap() {
            doorward.auth.deliver_mail(batch).await.unwrap();
        }
        inbox.extend(doorward.mail.take().into_iter().filter(|message| message.to == email(account)));
        // Whoever had it sent, the newest link works.
        for message in inbox.iter().rev() {
            let text = message.text.expose_secret();
            let Some((_, rest)) = text.split_once("/reset-password?token=") else { continue };
            let token = rest.split_whitespace().next().unwrap().to_owned();
            let password = password(&format!("another staple for {account}"));
            let request = ResetPassword { token: SecretString::from(token), password: password.clone(), device: None };
            if let Ok(device) = doorward.auth.reset_password(request, &from).await {
                let device = doorward.auth.device_token_text(&device);
                let request = Login { email: email(account), password, device: Some(device), proof: None };
                doorward.auth.login(request, &from).await.expect("a known device was refused");
                return waited;
            }
        }
        doorward.clock.advance(STEP);
        waited += STEP;
        assert!(waited < Duration::from_hours(2), "nobody gets in");
    }
}
