//! Each mail by itself, and mails of a batch together.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

mod contents;

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::store::MockUnit;
use doorward_domain::{Client, ComposeError, EmailAddress, Locale, Message, OneTimePurpose, StoreError, UserId};
use uuid::Uuid;

use super::*;
use crate::RegistrationMode;
use crate::testing::{
    Committed, DAY, NOW, SECOND, Seen, Setup, USER_ID, client, collision, disabled_user, email, one_time_tokens, user,
};

const HOUR: Duration = Duration::from_hours(1);
const STRANGER: UserId = UserId::from_uuid(Uuid::from_u128(99));
const TOKEN_KINDS: [MailKind; 4] =
    [MailKind::VerifyEmail, MailKind::ResetPassword, MailKind::ChangeEmail, MailKind::EmailChanged];

fn setup() -> Setup {
    Setup::new(RegistrationMode::Verified)
}

/// When the leases of these tests end.
fn until() -> Timestamp {
    NOW.plus(45 * SECOND)
}

fn batch(mails: impl Into<Vec<Mail>>) -> MailBatch {
    MailBatch { mails: mails.into(), until: until() }
}

fn mail(number: u128, kind: MailKind) -> Mail {
    Mail {
        id: MailId::from_uuid(Uuid::from_u128(number)),
        kind,
        to: email(),
        user_id: Some(USER_ID),
        other_address: None,
        locale: client().locale,
        client: Client { request_id: None, ..client() },
        created_at: NOW,
        attempts: 0,
    }
}

/// A mail that needs no token.
fn notice(number: u128) -> Mail {
    mail(number, MailKind::PasswordChanged)
}

fn unverified_user() -> User {
    User { email_verified_at: None, ..user() }
}

/// The user, who has another address by now.
fn moved_user() -> User {
    User { email: EmailAddress::parse("ada@new.example").unwrap(), email_verified_at: None, ..user() }
}

/// A unit in which the lease of a mail still stands, or not.
fn leased(mail: &Mail, stands: bool) -> MockUnit {
    let id = mail.id;
    let mut unit = MockUnit::default();
    let hold = unit.outbox.expect_hold_lease().times(1);
    hold.withf(move |given, lease| (*given, *lease) == (id, until())).returning(move |_, _| Ok(stands));
    unit
}

/// What there is when a mail is prepared.
#[derive(Clone, Default)]
struct Found {
    /// Who has the mail's address.
    at_address: Option<User>,
    /// The user as they are when they are held.
    held: Option<User>,
    /// Whether the mail's token is the newest; `None` where none may be issued.
    issued: Option<bool>,
}

/// A unit in which a mail is prepared, and the tokens that it issues.
fn preparing(mail: &Mail, found: Found, tokens: &Seen<OneTimeToken>) -> MockUnit {
    let Found { at_address, held, issued } = found;
    let to = mail.to.clone();
    let mut unit = leased(mail, true);
    let find = unit.users.expect_find_by_address();
    find.withf(move |address| *address == to).returning(move |_| Ok(at_address.clone()));
    let hold = unit.users.expect_hold();
    hold.withf(|id| *id == USER_ID).returning(move |_| Ok(held.clone()));
    if let Some(issued) = issued {
        let seen = tokens.clone();
        unit.one_time_tokens.expect_issue().times(1).returning(move |token| {
            seen.note(token.clone());
            Ok(issued)
        });
    }
    unit
}

/// A unit in which a notice is found fit to be sent.
fn noticing(mail: &Mail) -> MockUnit {
    preparing(mail, Found { held: Some(user()), ..Found::default() }, &Seen::default())
}

/// A unit that removes a mail.
fn finishing(mail: &Mail) -> MockUnit {
    let id = mail.id;
    let mut unit = MockUnit::default();
    let finish = unit.outbox.expect_finish().times(1);
    finish.withf(move |given, lease| (*given, *lease) == (id, until())).returning(|_, _| Ok(true));
    unit
}

/// When a mail is due again, after how many attempts, and why.
type Postponed = (Option<Timestamp>, u32, String);

/// A unit that ends the leases of mails which were not delivered.
fn postponing<const N: usize>(mails: [&Mail; N], postponed: &Seen<Postponed>) -> MockUnit {
    let mut unit = MockUnit::default();
    for mail in mails {
        let (id, seen) = (mail.id, postponed.clone());
        let postpone = unit.outbox.expect_postpone().times(1);
        let postpone = postpone.withf(move |given, lease, _, _, _| (*given, *lease) == (id, until()));
        postpone.returning(move |_, _, due_at, attempts, error| {
            seen.note((due_at, attempts, error.to_owned()));
            Ok(true)
        });
    }
    unit
}

fn message(letter: &Letter) -> Message {
    Message {
        id: format!("<{}@auth.example.com>", letter.mail.id),
        to: letter.mail.to.clone(),
        subject: "a subject".to_owned(),
        locale: Locale::parse("en").unwrap(),
        text: SecretString::from("a text".to_owned()),
        html: SecretString::from("<p>a text</p>".to_owned()),
    }
}

/// Puts every letter into words, and shows them.
fn composing(setup: &mut Setup) -> Seen<Letter> {
    let letters = Seen::default();
    let seen = letters.clone();
    setup.composer.expect_compose().returning(move |letter| {
        seen.note(letter.clone());
        Ok(message(letter))
    });
    letters
}

/// Answers each message that is sent in turn, as many as there are answers; shows the messages' ids.
fn answering(setup: &mut Setup, answers: Vec<Result<(), SendError>>) -> Seen<String> {
    let sent = Seen::default();
    let (seen, store) = (sent.clone(), Arc::clone(&setup.store));
    let times = answers.len();
    let mut answers = answers.into_iter();
    setup.transport.expect_send().times(times).returning(move |message| {
        assert!(!store.in_use(), "a unit is open while a mail is sent");
        seen.note(message.id.clone());
        answers.next().unwrap()
    });
    sent
}

fn temporary() -> SendError {
    SendError::Temporary("the mailbox is full".to_owned())
}

fn permanent() -> SendError {
    SendError::Permanent("no such mailbox".to_owned())
}

fn unreachable() -> SendError {
    SendError::Unreachable("connection refused".to_owned())
}

fn failed(mail: &Mail, error: &SendError, dead: bool) -> FailedMail {
    FailedMail { id: mail.id, error: error.to_string(), dead }
}

/// A unit that finds mails due, or not.
fn looking(due: bool) -> MockUnit {
    let mut unit = MockUnit::default();
    unit.outbox.expect_has_due().times(1).withf(|now| *now == NOW).returning(move |_| Ok(due));
    unit
}

/// A unit that leases these mails.
fn leasing(mails: Vec<Mail>) -> MockUnit {
    let mut unit = MockUnit::default();
    let lease = unit.outbox.expect_lease().times(1);
    let lease = lease.withf(|now, lease, limit| (*now, *lease, *limit) == (NOW, until(), 20));
    lease.returning(move |_, _, _| Ok(mails.clone()));
    unit
}

#[pollster::test]
async fn nothing_is_written_while_nothing_is_due() {
    let setup = setup();
    setup.store.plan_read(looking(false));

    assert!(setup.auth().lease_mail().await.unwrap().is_none());
}

#[pollster::test]
async fn what_is_due_is_leased_for_long_enough_to_send_one_mail() {
    let mails = vec![notice(1), notice(2)];
    let setup = setup();
    setup.store.plan_read(looking(true));
    let undone = setup.store.plan_write({
        let mut unit = MockUnit::default();
        unit.outbox.expect_lease().times(1).returning(|_, _, _| Err(collision()));
        unit
    });
    let written = setup.store.plan_write(leasing(mails.clone()));

    let batch = setup.auth().lease_mail().await.unwrap().unwrap();

    assert!(!undone.yes() && written.yes());
    assert_eq!((batch.mails, batch.until), (mails, until()));
}

#[pollster::test]
async fn there_is_no_batch_when_somebody_else_was_faster() {
    let setup = setup();
    setup.store.plan_read(looking(true));
    setup.store.plan_write(leasing(Vec::new()));

    assert!(setup.auth().lease_mail().await.unwrap().is_none());
}

#[pollster::test]
async fn a_delivered_mail_is_finished() {
    let mail = notice(1);
    let mut setup = setup();
    let letters = composing(&mut setup);
    let sent = answering(&mut setup, vec![Ok(())]);
    let prepared = setup.store.plan_write(noticing(&mail));
    let finished = setup.store.plan_write(finishing(&mail));

    let report = setup.auth().deliver_mail(batch([mail.clone()])).await.unwrap();

    assert!(prepared.yes() && finished.yes());
    assert_eq!(report, MailReport { sent: 1, failed: Vec::new(), no_connection: false });
    let letter = letters.only();
    assert_eq!(letter.mail, mail);
    assert!(letter.link.is_none(), "a notice carries no token");
    assert_eq!(sent.all(), [message(&letter).id]);
}

#[pollster::test]
async fn a_refused_mail_does_not_hold_up_the_next() {
    let mails = [1, 2, 3].map(notice);
    let [first, second, third] = &mails;
    let postponed = Seen::default();
    let mut setup = setup();
    composing(&mut setup);
    answering(&mut setup, vec![Err(permanent()), Err(temporary()), Ok(())]);
    let mut written = Vec::new();
    for unit in [
        noticing(first),
        postponing([first], &postponed),
        noticing(second),
        postponing([second], &postponed),
        noticing(third),
        finishing(third),
    ] {
        written.push(setup.store.plan_write(unit));
    }

    let report = setup.auth().deliver_mail(batch(mails.clone())).await.unwrap();

    assert!(written.iter().all(Committed::yes));
    let expected = vec![failed(first, &permanent(), true), failed(second, &temporary(), false)];
    assert_eq!(report, MailReport { sent: 1, failed: expected, no_connection: false });
    let postponed = postponed.all();
    assert_eq!(postponed[0], (None, 1, permanent().to_string()), "what is refused for good is a dead letter");
    assert_eq!((postponed[1].1, &postponed[1].2), (1, &temporary().to_string()));
    assert!(postponed[1].0.is_some_and(|due_at| due_at > NOW));
}

#[pollster::test]
async fn a_server_that_cannot_be_used_postpones_the_rest_without_being_asked_again() {
    let mails = [1, 2, 3, 4].map(notice);
    let [first, second, third, fourth] = &mails;
    let postponed = Seen::default();
    let mut setup = setup();
    let letters = composing(&mut setup);
    answering(&mut setup, vec![Ok(()), Err(unreachable())]);
    for unit in [noticing(first), finishing(first), noticing(second), postponing([second, third, fourth], &postponed)] {
        setup.store.plan_write(unit);
    }

    let report = setup.auth().deliver_mail(batch(mails.clone())).await.unwrap();

    let expected = [second, third, fourth].map(|mail| failed(mail, &unreachable(), false));
    assert_eq!(report, MailReport { sent: 1, failed: expected.to_vec(), no_connection: false });
    assert_eq!(letters.all().len(), 2);
    for (due_at, attempts, error) in postponed.all() {
        assert!(due_at.is_some_and(|due_at| due_at > NOW));
        assert_eq!((attempts, error), (1, unreachable().to_string()));
    }
}

#[pollster::test]
async fn a_mail_that_cannot_be_put_into_words_waits_for_its_template_to_be_mended() {
    let broken = ComposeError { template: "notice.html".to_owned(), problem: "no such variable".to_owned() };
    let mail = notice(1);
    let postponed = Seen::default();
    let mut setup = setup();
    let error = broken.clone();
    setup.composer.expect_compose().times(1).returning(move |_| Err(error.clone()));
    setup.store.plan_write(noticing(&mail));
    setup.store.plan_write(postponing([&mail], &postponed));

    let report = setup.auth().deliver_mail(batch([mail.clone()])).await.unwrap();

    let expected = SendError::Temporary(broken.to_string());
    assert_eq!(report, MailReport { sent: 0, failed: vec![failed(&mail, &expected, false)], no_connection: false });
    assert!(postponed.only().0.is_some_and(|due_at| due_at > NOW));
}

#[pollster::test]
async fn nothing_is_sent_once_the_lease_is_lost() {
    let setup = setup();
    let undone = setup.store.plan_write(leased(&notice(1), false));

    let report = setup.auth().deliver_mail(batch([notice(1)])).await.unwrap();

    assert_eq!(report, MailReport::default());
    assert!(!undone.yes());
}

#[pollster::test]
async fn nothing_is_sent_when_the_database_fails() {
    let mut unit = MockUnit::default();
    unit.outbox.expect_hold_lease().times(1).returning(|_, _| Err(StoreError::Unavailable("gone".into())));
    let setup = setup();
    setup.store.plan_write(unit);

    let outcome = setup.auth().deliver_mail(batch([notice(1), notice(2)])).await;

    assert!(matches!(outcome, Err(Fault::Store(StoreError::Unavailable(_)))), "{outcome:?}");
}

#[pollster::test]
async fn a_collision_prepares_again_with_the_same_token_and_sends_once() {
    let mail = mail(1, MailKind::ResetPassword);
    let found = Found { at_address: Some(user()), held: Some(user()), issued: Some(true) };
    let tokens = Seen::default();
    let mut setup = setup();
    composing(&mut setup);
    answering(&mut setup, vec![Ok(())]);
    setup.store.plan_collision(preparing(&mail, found.clone(), &tokens));
    setup.store.plan_write(preparing(&mail, found, &tokens));
    setup.store.plan_collision(finishing(&mail));
    setup.store.plan_write(finishing(&mail));

    let report = setup.auth().deliver_mail(batch([mail])).await.unwrap();

    assert_eq!(report, MailReport { sent: 1, failed: Vec::new(), no_connection: false });
    let tokens = tokens.all();
    assert_eq!(tokens.len(), 2);
    assert_eq!(tokens[0], tokens[1]);
}

#[pollster::test]
async fn no_mail_is_begun_that_may_not_end_within_the_lease() {
    // 20 s of the 45 that the lease lasts are for the mail that is being sent, and 5 for writing that down.
    let (last, late) = (NOW.plus(20 * SECOND).minus(Duration::from_micros(1)), NOW.plus(20 * SECOND));
    for (moment, begun) in [(last, true), (late, false)] {
        let (first, second) = (notice(1), Mail { attempts: 3, ..notice(2) });
        let postponed = Seen::default();
        let mut setup = setup();
        composing(&mut setup);
        let time = setup.time.clone();
        setup.transport.expect_send().times(1 + usize::from(begun)).returning(move |_| {
            time.set(moment);
            Ok(())
        });
        setup.store.plan_write(noticing(&first));
        setup.store.plan_write(finishing(&first));
        if begun {
            setup.store.plan_write(noticing(&second));
            setup.store.plan_write(finishing(&second));
        } else {
            setup.store.plan_write(postponing([&second], &postponed));
        }

        let report = setup.auth().deliver_mail(batch([first, second])).await.unwrap();

        assert_eq!(report, MailReport { sent: 1 + u32::from(begun), failed: Vec::new(), no_connection: false });
        if !begun {
            let (due_at, attempts, _) = postponed.only();
            assert_eq!((due_at, attempts), (Some(late), 3), "what was not tried is no attempt");
        }
    }
}

/// When a mail is due again after this failure, and whether it is reported dead.
async fn due_after(mail: &Mail, error: SendError) -> (Option<Timestamp>, u32, bool) {
    let postponed = Seen::default();
    let mut setup = setup();
    composing(&mut setup);
    answering(&mut setup, vec![Err(error)]);
    setup.store.plan_write(noticing(mail));
    let written = setup.store.plan_write(postponing([mail], &postponed));

    let report = setup.auth().deliver_mail(batch([mail.clone()])).await.unwrap();

    assert!(written.yes());
    assert_eq!((report.sent, report.failed.len()), (0, 1));
    let (due_at, attempts, _) = postponed.only();
    (due_at, attempts, report.failed[0].dead)
}

#[pollster::test]
async fn the_wait_doubles_up_to_an_hour_and_varies_by_a_quarter() {
    for error in [temporary(), unreachable()] {
        for (attempts, wait) in [
            (0, SECOND),
            (1, 2 * SECOND),
            (2, 4 * SECOND),
            (5, 32 * SECOND),
            (11, 2_048 * SECOND),
            (12, HOUR),
            (13, HOUR),
            (40, HOUR),
            (u32::MAX, HOUR),
        ] {
            let mail = Mail { attempts, ..notice(1) };

            let (due_at, counted, dead) = due_after(&mail, error.clone()).await;

            let due_at = due_at.unwrap();
            let expected = NOW.plus(wait)..=NOW.plus(wait + wait / 4);
            assert!(expected.contains(&due_at), "{attempts}: {due_at:?}");
            assert_eq!((counted, dead), (attempts.saturating_add(1), false));
        }
    }
}

#[pollster::test]
async fn what_failed_together_is_not_tried_again_together() {
    let mails = [1, 2].map(|number| Mail { attempts: 40, ..notice(number) });
    let postponed = Seen::default();
    let mut setup = setup();
    composing(&mut setup);
    answering(&mut setup, vec![Err(unreachable())]);
    setup.store.plan_write(noticing(&mails[0]));
    setup.store.plan_write(postponing([&mails[0], &mails[1]], &postponed));

    setup.auth().deliver_mail(batch(mails.clone())).await.unwrap();

    let postponed = postponed.all();
    assert_eq!(postponed.len(), 2);
    assert_ne!(postponed[0].0, postponed[1].0);
}

#[pollster::test]
async fn a_mail_that_would_be_tried_for_longer_than_a_day_is_a_dead_letter() {
    for error in [temporary(), unreachable()] {
        for (attempts, left, dead) in [
            (0, 2 * SECOND, false),
            (0, Duration::from_millis(999), true),
            (40, HOUR + HOUR / 4, false),
            (40, Duration::from_secs(3_599), true),
        ] {
            let mail = Mail { attempts, created_at: NOW.plus(left).minus(DAY), ..notice(1) };

            let (due_at, counted, reported_dead) = due_after(&mail, error.clone()).await;

            assert_eq!((due_at.is_none(), reported_dead), (dead, dead), "{attempts} {left:?}");
            assert_eq!(counted, attempts + 1);
        }
    }
}
