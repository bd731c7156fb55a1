use doorward_domain::{Client, EmailAddress, Letter, Mail, MailId, MailKind, OneTimePurpose, Timestamp, UserAgent};
use minijinja::context;
use secrecy::ExposeSecret as _;

use super::{TemplateError, Templates};
use crate::language::KINDS;

const SAMPLE_LINK: &str = "https://accounts.example.com/#token=sample";

impl Templates {
    /// Writes every kind of mail in every language, once with all that can be known and once with the least.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        for (locale, language) in &self.languages {
            for kind in KINDS {
                for mail in samples(kind) {
                    let link = kind.token_purpose().map(OneTimePurpose::lifetime);
                    let has_link = link.is_some();
                    let link = link.map(|lifetime| (SAMPLE_LINK.into(), lifetime));
                    let message = self.write(locale, language, &Letter { mail, locale: None, link })?;
                    let broken =
                        |file: String, problem: &str| TemplateError::Broken { file, problem: problem.to_owned() };
                    if message.subject.trim().is_empty() {
                        return Err(broken(format!("{locale}.toml"), "the subject is empty"));
                    }
                    for (file, part) in [(super::LAYOUT_TEXT, &message.text), (super::LAYOUT_HTML, &message.html)] {
                        if has_link && !part.expose_secret().contains(SAMPLE_LINK) {
                            return Err(broken(file.to_owned(), "it leaves the link out"));
                        }
                    }
                }
            }
            // The sample letters do not come by every unit of time.
            for (source, place) in language.common.durations() {
                for count in [1_u64, 2] {
                    self.words(&format!("{locale}.toml"), place, source, context! { count })?;
                }
            }
        }
        Ok(())
    }
}

/// The two addresses are sound, so there are always samples.
fn samples(kind: MailKind) -> Vec<Mail> {
    let (Ok(to), Ok(other)) = (EmailAddress::parse("ada@example.com"), EmailAddress::parse("ada@example.org")) else {
        return Vec::new();
    };
    let least = Mail {
        id: MailId::from_uuid(uuid::Uuid::nil()),
        kind,
        to,
        user_id: None,
        other_address: None,
        locale: None,
        client: Client::default(),
        created_at: Timestamp::from_unix_micros(1_700_000_000_000_000),
        attempts: 0,
    };
    let client = Client {
        ip: Some([192, 0, 2, 1].into()),
        user_agent: Some(UserAgent::sanitized("Sample/1.0")),
        ..Client::default()
    };
    let most = Mail { other_address: Some(other), client, ..least.clone() };
    vec![least, most]
}
