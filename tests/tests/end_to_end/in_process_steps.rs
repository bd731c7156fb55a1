//! Steps that the stories in this process share.

use std::time::Duration;

use doorward_auth::{
    ChangeEmail, ConfirmEmailChange, Login, OneTimeTokenError, Register, Registration, RequestPasswordReset,
    ResendVerification, ResetPassword, ResetPasswordError, SessionGrant, UndoEmailChange, VerifyEmail,
};
use doorward_domain::{Client, EmailAddress, Message, OneTimePurpose, Password};
use doorward_tests::PASSWORD;
use doorward_tests::in_process::InProcess;
use secrecy::{ExposeSecret, SecretString};

/// The password that a reset or a change sets.
pub(crate) const NEW_PASSWORD: &str = "another horse, another staple";

pub(crate) fn email(address: &str) -> EmailAddress {
    EmailAddress::parse(address).unwrap()
}

pub(crate) fn password(text: &str) -> Password {
    Password::parse(&SecretString::from(text)).unwrap()
}

/// Registers an address, which begins a session and queues the mail that verifies it.
pub(crate) async fn register(doorward: &InProcess, address: &str) -> SessionGrant {
    time_passes(doorward);
    let request =
        Register { email: email(address), password: password(PASSWORD), name: None, device: None, proof: None };
    match doorward.auth.register(request, &Client::default()).await.unwrap() {
        Registration::SessionStarted(grant) => *grant,
        Registration::VerificationPending => panic!("a verified address was asked for"),
    }
}

pub(crate) async fn log_in(doorward: &InProcess, address: &str) -> SessionGrant {
    let request = Login { email: email(address), password: password(PASSWORD), device: None, proof: None };
    doorward.auth.login(request, &Client::default()).await.unwrap()
}

/// Queues another mail that verifies the address.
pub(crate) async fn resend(doorward: &InProcess, address: &str) {
    time_passes(doorward);
    let request = ResendVerification { email: email(address), proof: None };
    doorward.auth.resend_verification(request, &Client::default()).await.unwrap();
}

/// Queues a mail that lets the owner of the address set another password.
pub(crate) async fn request_reset(doorward: &InProcess, address: &str) {
    time_passes(doorward);
    let request = RequestPasswordReset { email: email(address), proof: None };
    doorward.auth.request_password_reset(request, &Client::default()).await.unwrap();
}

/// Queues a mail that makes this the address of the session's user.
pub(crate) async fn request_change(doorward: &InProcess, session: &SessionGrant, new: &str) {
    time_passes(doorward);
    let current = doorward.auth.authenticate(&session.access_token.text).unwrap();
    let request = ChangeEmail { email: email(new), password: password(PASSWORD) };
    doorward.auth.change_email(&current, request, &Client::default()).await.unwrap();
}

/// Delivers whatever is due; returns it, the oldest first.
pub(crate) async fn deliver(doorward: &InProcess) -> Vec<Message> {
    while let Some(batch) = doorward.auth.lease_mail().await.unwrap() {
        let report = doorward.auth.deliver_mail(batch).await.unwrap();
        assert!(report.failed.is_empty(), "{report:?}");
    }
    doorward.mail.take()
}

/// The token of this purpose that was mailed to this address last, provided that there was one.
pub(crate) fn mailed(messages: &[Message], to: &str, purpose: OneTimePurpose) -> Option<SecretString> {
    let link = format!("{}?token=", purpose.page());
    let own = messages.iter().rev().filter(|message| message.to.as_str() == to);
    let (_, rest) = own.map(|message| message.text.expose_secret()).find_map(|text| text.split_once(link.as_str()))?;
    let token = rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).next()?;
    Some(SecretString::from(token.to_owned()))
}

/// Delivers whatever is due; returns the token of this purpose that was mailed to this address.
pub(crate) async fn delivered(doorward: &InProcess, to: &str, purpose: OneTimePurpose) -> SecretString {
    let messages = deliver(doorward).await;
    mailed(&messages, to, purpose).unwrap_or_else(|| panic!("{to} was mailed no token to {purpose:?}"))
}

/// Uses a mailed token for what it is for; says whether that did anything.
pub(crate) async fn redeem(doorward: &InProcess, purpose: OneTimePurpose, token: &SecretString) -> bool {
    let (auth, token, client) = (&doorward.auth, token.clone(), Client::default());
    let outcome = match purpose {
        OneTimePurpose::VerifyEmail => auth.verify_email(VerifyEmail { token }, &client).await,
        OneTimePurpose::ChangeEmail => auth.confirm_email_change(ConfirmEmailChange { token }, &client).await,
        OneTimePurpose::UndoEmailChange => auth.undo_email_change(UndoEmailChange { token }, &client).await,
        OneTimePurpose::ResetPassword => {
            let request = ResetPassword { token, password: password(NEW_PASSWORD), device: None };
            match auth.reset_password(request, &client).await {
                Err(ResetPasswordError::InvalidToken) => Err(OneTimeTokenError::InvalidToken),
                Err(error) => panic!("{purpose:?}: {error:?}"),
                Ok(_) => Ok(()),
            }
        }
    };
    match outcome {
        Ok(()) => true,
        Err(OneTimeTokenError::InvalidToken) => false,
        Err(error) => panic!("{purpose:?}: {error:?}"),
    }
}

/// The id of a mail says to the millisecond when it was asked for, and so which of two is the later one.
fn time_passes(doorward: &InProcess) {
    doorward.clock.advance(Duration::from_millis(2));
}
