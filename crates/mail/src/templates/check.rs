use doorward_domain::{Client, EmailAddress, Letter, Mail, MailId, MailKind, OneTimePurpose, Timestamp, UserAgent};
use minijinja::context;

use super::{TemplateError, Templates};
use crate::language::KINDS;

impl Templates {
    /// Writes every kind of mail in every language, once with all that can be known and once with the least.
    pub(super) fn check(&self) -> Result<(), TemplateError> {
        for (locale, language) in &self.languages {
            for kind in KINDS {
                for mail in samples(kind) {
                    let link = kind.token_purpose().map(OneTimePurpose::lifetime);
                    let link = link.map(|lifetime| ("https://accounts.example.com/#token=sample".into(), lifetime));
                    self.write(locale, language, &Letter { mail, locale: None, link })?;
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
