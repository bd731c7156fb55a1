use std::collections::HashSet;
use std::time::Duration;

use doorward_domain::{Client, EmailAddress, Mail, MailId, MailKind, Timestamp, UserAgent};
use tempfile::TempDir;

use super::*;
use crate::language::KINDS;
use crate::testing::{headers, sender};
use crate::wrap::WIDTH;

const LINK: &str = "https://accounts.example.com/reset-password#token=0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

fn with(folder: Option<&TempDir>) -> Result<Templates, TemplateError> {
    Templates::new(TemplateOptions {
        service_name: "Example & Sons".to_owned(),
        public_url_host: "accounts.example.com".to_owned(),
        folder: folder.map(|folder| folder.path().to_owned()),
    })
}

fn built_in() -> Templates {
    with(None).unwrap()
}

/// The operator's folder with one file in it.
fn folder(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), text).unwrap();
    folder
}

fn letter(kind: MailKind, language: &str) -> Letter {
    Letter {
        mail: Mail {
            id: MailId::from_uuid(uuid::Uuid::nil()),
            kind,
            to: EmailAddress::parse("ada@example.com").unwrap(),
            user_id: None,
            other_address: Some(EmailAddress::parse("ada@other.example").unwrap()),
            locale: None,
            client: Client {
                ip: Some([192, 0, 2, 7].into()),
                user_agent: Some(UserAgent::sanitized("Firefox on Linux")),
                ..Client::default()
            },
            created_at: Timestamp::from_unix_micros(1_700_000_000_000_000),
            attempts: 0,
        },
        locale: Some(Locale::parse(language).unwrap()),
        link: kind.token_purpose().map(|purpose| (LINK.into(), purpose.lifetime())),
    }
}

fn every_letter() -> impl Iterator<Item = Letter> {
    ["en", "de"].into_iter().flat_map(|language| KINDS.into_iter().map(move |kind| letter(kind, language)))
}

#[test]
fn every_mail_says_what_it_is_about_in_every_language() {
    let templates = built_in();
    let mut subjects = HashSet::new();
    for letter in every_letter() {
        let kind = letter.mail.kind;
        let message = templates.compose(&letter).unwrap();
        let (text, html) = (message.text.expose_secret(), message.html.expose_secret());
        assert_eq!(Some(&message.locale), letter.locale.as_ref());
        assert_eq!(message.id, "<00000000-0000-0000-0000-000000000000@accounts.example.com>");
        assert!(subjects.insert(message.subject.clone()), "{}", message.subject);
        assert!(html.contains(&format!("<html lang=\"{}\">", message.locale)));
        assert!(html.contains("Example &amp; Sons") && text.contains("Example & Sons"));
        assert_eq!(text.lines().any(|line| line == LINK), letter.link.is_some(), "{kind:?}: {text}");
        assert_eq!(html.matches(&format!("href=\"{LINK}\"")).count(), 2 * usize::from(letter.link.is_some()));
        assert_eq!(text.contains("Firefox on Linux"), shows_request(kind), "{kind:?}: {text}");
        assert_eq!(html.contains("2023-11-14 22:13 UTC"), shows_request(kind), "{kind:?}: {html}");
        assert!(text.lines().all(|line| line == LINK || line.chars().count() <= WIDTH), "{text}");
        assert!(!text.contains("{{") && !html.contains("{{") && !html.contains("{%"));
    }
}

#[test]
fn a_mail_loads_nothing_from_anywhere() {
    let templates = built_in();
    for letter in every_letter() {
        let html = templates.compose(&letter).unwrap().html;
        let html = html.expose_secret().replace(LINK, "");
        for sign in ["src=", "http:", "https:", "url(", "@import", "<img", "<link", "<script"] {
            assert!(!html.contains(sign), "{sign}: {html}");
        }
    }
}

#[test]
fn a_hostile_user_agent_adds_no_markup_no_line_and_no_header() {
    let templates = built_in();
    let mut counts = HashSet::new();
    for agent in
        ["<script>alert(1)</script>", "\"><a href=x>", "a\r\nBcc: eve@example.com\r\n\r\n.\r\n", "\u{202e}x", ""]
    {
        for mut letter in every_letter() {
            letter.mail.client.user_agent = Some(UserAgent::sanitized(agent));
            let message = templates.compose(&letter).unwrap();
            let (text, html) = (message.text.expose_secret(), message.html.expose_secret());
            assert!(!html.contains("<script") && !html.contains("<a href=x"), "{html}");
            assert!(!text.contains('\r') && !text.lines().any(|line| line.starts_with("Bcc")), "{text}");
            let headers = headers(&crate::mime::write(&sender(), &message).unwrap().bytes);
            assert!(headers.iter().all(|(name, _)| name != "Bcc"));
            assert!(headers.contains(&("Message-ID".to_owned(), message.id.clone())));
            counts.insert(headers.len());
        }
    }
    assert_eq!(counts.len(), 1, "every mail has as many headers: {counts:?}");
}

#[test]
fn a_service_name_of_several_lines_is_one_line_in_the_subject() {
    let templates = Templates { service_name: "Ex\r\nBcc: x".to_owned(), ..built_in() };
    for letter in every_letter() {
        assert!(!templates.compose(&letter).unwrap().subject.chars().any(char::is_control));
    }
}

#[test]
fn a_reader_gets_the_nearest_language() {
    let templates = built_in();
    for (wanted, expected) in [("de", "de"), ("de-at", "de"), ("fr", "en"), ("en-gb", "en")] {
        let message = templates.compose(&letter(MailKind::NewDevice, wanted)).unwrap();
        assert_eq!(message.locale.as_str(), expected);
    }
    let letter = Letter { locale: None, ..letter(MailKind::NewDevice, "de") };
    assert_eq!(templates.compose(&letter).unwrap().locale.as_str(), "en");
    let names: Vec<_> = templates.languages().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["de", "en"]);
}

#[test]
fn a_lifetime_is_written_out() {
    let templates = built_in();
    for (language, expected) in [("en", "works for 30 minutes and once"), ("de", "funktioniert 30 Minuten lang")] {
        let message = templates.compose(&letter(MailKind::ResetPassword, language)).unwrap();
        assert!(message.text.expose_secret().contains(expected), "{}", message.text.expose_secret());
    }
    let mut letter = letter(MailKind::ResetPassword, "en");
    letter.link = Some((LINK.into(), Duration::from_secs(60)));
    assert!(templates.compose(&letter).unwrap().text.expose_secret().contains("works for 1 minute and once"));
}

#[test]
fn a_mail_without_its_link_is_not_written() {
    let letter = Letter { link: None, ..letter(MailKind::ResetPassword, "en") };
    let error = built_in().compose(&letter).unwrap_err();
    assert_eq!(error.template, "en.toml");
    assert!(error.problem.contains("reset_password"), "{error}");
}

#[test]
fn the_operators_files_take_the_place_of_the_built_in_ones() {
    let english = include_str!("../../templates/en.toml");
    let text = english.replacen("Reset your {{ service }} password", "Hi {{ to }}", 1);
    let folder = folder("en.toml", &text);
    fs::write(folder.path().join("fr-ca.toml"), english.replacen("When", "Quand", 1)).unwrap();
    fs::write(folder.path().join("layout.html"), "<b>{{ heading }}</b>{% if link %} {{ link }}{% endif %}").unwrap();
    fs::write(folder.path().join(".layout.html.swp"), "{{").unwrap();
    let templates = with(Some(&folder)).unwrap();
    let message = templates.compose(&letter(MailKind::ResetPassword, "en")).unwrap();
    assert_eq!(message.subject, "Hi ada@example.com");
    let html = message.html.expose_secret();
    assert!(html.starts_with("<b>Set a new password</b> https://"), "{html}");
    let message = templates.compose(&letter(MailKind::NewDevice, "fr-ca")).unwrap();
    assert!(message.text.expose_secret().contains("Quand: 2023-11-14 22:13 UTC"));
    let message = templates.compose(&letter(MailKind::NewDevice, "de")).unwrap();
    assert!(message.subject.contains("Neues"), "{}", message.subject);
}

#[test]
fn a_broken_file_of_the_operator_is_named() {
    let english = include_str!("../../templates/en.toml");
    let subject = |template: &str| english.replacen("Reset your {{ service }} password", template, 1);
    for (file, text, expected) in [
        ("en.toml", subject("{{ service"), "reset_password.subject"),
        ("en.toml", subject("{{ user_name }}"), "reset_password.subject"),
        ("en.toml", subject("{{ other_address }}"), "reset_password.subject"),
        ("en.toml", subject("{{ to | no_filter }}"), "no_filter"),
        ("en.toml", english.replacen("\"{{ count }} day", "\"{{ number }} day", 1), "common.days"),
        ("fr.toml", english.replacen("[new_device]", "[new_devise]", 1), "new_device"),
        ("fr.toml", english.replacen("[common]", "[common]\ncolour = \"red\"", 1), "colour"),
        ("fr.toml", "not TOML".to_owned(), "TOML"),
        ("layout.html", "{% if link %}".to_owned(), "layout.html"),
        ("layout.txt", "{{ titel }}".to_owned(), "layout.txt"),
        ("layout.txt", "hello".to_owned(), "leaves the link out"),
        ("layout.html", "<p>hello</p>".to_owned(), "leaves the link out"),
        ("en.toml", subject(" "), "subject is empty"),
        ("layout.htm", String::new(), "must be called"),
        ("FR.toml", english.to_owned(), "must be called"),
        ("french.toml", english.to_owned(), "must be called"),
    ] {
        let error = with(Some(&folder(file, &text))).err().unwrap();
        let TemplateError::Broken { file: named, problem } = &error else { panic!("{error:?}") };
        assert_eq!(named, file);
        assert!(problem.contains(expected), "{file}, {expected}: {problem}");
    }
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    let options = |host: &str| TemplateOptions {
        service_name: "Example".to_owned(),
        public_url_host: host.to_owned(),
        folder: Some("/nonexistent/templates".into()),
    };
    let error = Templates::new(options("a.example")).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/templates"), "{error}");
    for host in ["", "a b", "a>\r\nBcc: x", "a@b"] {
        assert!(matches!(Templates::new(options(host)), Err(TemplateError::InvalidHost(_))), "{host:?}");
    }
}
