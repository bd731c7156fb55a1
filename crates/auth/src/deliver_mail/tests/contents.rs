//! Whether a mail still makes sense when its turn comes, and what it says then.

use super::*;

#[pollster::test]
async fn a_mail_that_nobody_is_to_get_is_finished_without_being_sent() {
    use MailKind::{AlreadyRegistered, ChangeEmail, NewDevice, ResetPassword, VerifyEmail};
    let disabled = || User { email_verified_at: None, ..disabled_user() };
    let stranger = || User { id: STRANGER, ..user() };
    for (case, kind, at_address, held) in [
        ("verify: no account", VerifyEmail, None, None),
        ("verify: deleted since", VerifyEmail, Some(unverified_user()), None),
        ("verify: verified already", VerifyEmail, Some(user()), Some(user())),
        ("verify: verified since", VerifyEmail, Some(unverified_user()), Some(user())),
        ("verify: disabled", VerifyEmail, Some(disabled()), Some(disabled())),
        ("verify: moved since", VerifyEmail, Some(unverified_user()), Some(moved_user())),
        ("registered: no account", AlreadyRegistered, None, None),
        ("reset: no account", ResetPassword, None, None),
        ("reset: disabled", ResetPassword, Some(disabled()), Some(disabled())),
        ("reset: moved since", ResetPassword, Some(user()), Some(moved_user())),
        ("change: taken by another", ChangeEmail, Some(stranger()), Some(user())),
        ("change: deleted", ChangeEmail, None, None),
        ("change: disabled", ChangeEmail, None, Some(disabled_user())),
        ("notice: deleted", NewDevice, None, None),
    ] {
        let mail = mail(1, kind);
        let setup = setup();
        let found = Found { at_address, held, issued: None };
        let undone = setup.store.plan_write(preparing(&mail, found, &Seen::default()));
        let finished = setup.store.plan_write(finishing(&mail));

        let report = setup.auth().deliver_mail(batch([mail])).await.unwrap();

        assert_eq!(report, MailReport::default(), "{case}");
        assert!(!undone.yes() && finished.yes(), "{case}");
    }
}

#[pollster::test]
async fn a_mail_whose_token_was_superseded_is_finished_without_being_sent() {
    for kind in TOKEN_KINDS {
        let mail = mail(1, kind);
        let held = Some(unverified_user());
        let found = Found { at_address: held.clone(), held, issued: Some(false) };
        let setup = setup();
        let undone = setup.store.plan_write(preparing(&mail, found, &Seen::default()));
        let finished = setup.store.plan_write(finishing(&mail));

        let report = setup.auth().deliver_mail(batch([mail])).await.unwrap();

        assert_eq!(report, MailReport::default(), "{kind:?}");
        assert!(!undone.yes() && finished.yes(), "{kind:?}");
    }
}

#[pollster::test]
async fn a_mail_that_still_makes_sense_is_sent() {
    use MailKind::{AlreadyRegistered, ChangeEmail, EmailChanged, NewDevice, ResetPassword};
    let other_spelling = || User { email: EmailAddress::parse("ADA@example.com").unwrap(), ..user() };
    for (case, kind, at_address, held, issued) in [
        ("registered: disabled", AlreadyRegistered, Some(disabled_user()), disabled_user(), None),
        ("reset: unverified", ResetPassword, Some(unverified_user()), unverified_user(), Some(true)),
        ("reset: spelled otherwise", ResetPassword, Some(other_spelling()), other_spelling(), Some(true)),
        ("change: the own address", ChangeEmail, Some(user()), user(), Some(true)),
        ("undo: another address by now", EmailChanged, None, moved_user(), Some(true)),
        ("undo: disabled", EmailChanged, None, disabled_user(), Some(true)),
        ("notice: disabled", NewDevice, None, disabled_user(), None),
    ] {
        let mail = mail(1, kind);
        let mut setup = setup();
        composing(&mut setup);
        answering(&mut setup, vec![Ok(())]);
        let found = Found { at_address, held: Some(held), issued };
        let prepared = setup.store.plan_write(preparing(&mail, found, &Seen::default()));
        let finished = setup.store.plan_write(finishing(&mail));

        let report = setup.auth().deliver_mail(batch([mail])).await.unwrap();

        assert_eq!(report, MailReport { sent: 1, failed: Vec::new(), no_connection: false }, "{case}");
        assert!(prepared.yes() && finished.yes(), "{case}");
    }
}

#[pollster::test]
async fn a_link_carries_a_token_that_is_good_for_its_purpose_alone_from_when_it_is_sent() {
    for (kind, purpose, page, lifetime) in [
        (MailKind::VerifyEmail, OneTimePurpose::VerifyEmail, "/verify-email", DAY),
        (MailKind::ResetPassword, OneTimePurpose::ResetPassword, "/reset-password", HOUR / 2),
        (MailKind::ChangeEmail, OneTimePurpose::ChangeEmail, "/change-email", DAY),
        (MailKind::EmailChanged, OneTimePurpose::UndoEmailChange, "/undo-email-change", 7 * DAY),
    ] {
        // What cannot have been read cannot expire: it has waited for hours.
        let mail = Mail { created_at: NOW.minus(5 * HOUR), ..mail(1, kind) };
        let held = Some(unverified_user());
        let found = Found { at_address: held.clone(), held, issued: Some(true) };
        let tokens = Seen::default();
        let mut setup = setup();
        setup.settings.public_url = "https://id.example.org".to_owned();
        let letters = composing(&mut setup);
        answering(&mut setup, vec![Ok(())]);
        setup.store.plan_write(preparing(&mail, found, &tokens));
        setup.store.plan_write(finishing(&mail));

        setup.auth().deliver_mail(batch([mail.clone()])).await.unwrap();

        let (url, works_for) = letters.only().link.unwrap();
        assert_eq!(works_for, lifetime);
        let text = url.expose_secret().strip_prefix(&format!("https://id.example.org{page}?token=")).unwrap();
        let text = SecretString::from(text.to_owned());
        let token = tokens.only();
        for other in TOKEN_KINDS.map(|kind| kind.token_purpose().unwrap()) {
            let expected = (other == purpose).then_some(token.hash);
            assert_eq!(one_time_tokens().recognise(&text, other), expected, "{purpose:?} as {other:?}");
        }
        let (mail_id, hash, expires_at) = (mail.id, token.hash, NOW.plus(lifetime));
        let expected = OneTimeToken { mail_id, user_id: USER_ID, purpose, hash, address: mail.to, expires_at };
        assert_eq!(token, expected);
    }
}

#[pollster::test]
async fn an_address_that_was_registered_twice_before_it_was_verified_gets_a_link_to_set_a_password() {
    let mail = mail(1, MailKind::AlreadyRegistered);
    let held = Some(unverified_user());
    let found = Found { at_address: held.clone(), held, issued: Some(true) };
    let tokens = Seen::default();
    let mut setup = setup();
    let letters = composing(&mut setup);
    answering(&mut setup, vec![Ok(())]);
    setup.store.plan_write(preparing(&mail, found, &tokens));
    setup.store.plan_write(finishing(&mail));

    setup.auth().deliver_mail(batch([mail])).await.unwrap();

    let letter = letters.only();
    assert_eq!(letter.mail.kind, MailKind::ResetPassword);
    assert!(letter.link.unwrap().0.expose_secret().contains("/reset-password?token="));
    assert_eq!(tokens.only().purpose, OneTimePurpose::ResetPassword);
}

#[pollster::test]
async fn a_user_s_language_wins_over_that_of_the_request() {
    let locale = |text: &str| Some(Locale::parse(text).unwrap());
    for (of_user, of_mail, expected) in [
        (locale("fr"), locale("de"), locale("fr")),
        (locale("fr"), None, locale("fr")),
        (None, locale("de"), locale("de")),
        (None, None, None),
    ] {
        let mail = Mail { locale: of_mail, ..notice(1) };
        let held = Some(User { locale: of_user, ..user() });
        let mut setup = setup();
        let letters = composing(&mut setup);
        answering(&mut setup, vec![Ok(())]);
        setup.store.plan_write(preparing(&mail, Found { held, ..Found::default() }, &Seen::default()));
        setup.store.plan_write(finishing(&mail));

        setup.auth().deliver_mail(batch([mail])).await.unwrap();

        assert_eq!(letters.only().locale, expected);
    }
}
