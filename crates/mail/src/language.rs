use std::time::Duration;

use doorward_domain::MailKind;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Every kind of mail; a language has words for each.
pub(crate) const KINDS: [MailKind; 10] = [
    MailKind::VerifyEmail,
    MailKind::AlreadyRegistered,
    MailKind::ResetPassword,
    MailKind::ChangeEmail,
    MailKind::EmailChangeRequested,
    MailKind::EmailChanged,
    MailKind::PasswordChanged,
    MailKind::NewDevice,
    MailKind::LoginAfterFailures,
    MailKind::RefreshReplayed,
];

/// The words of one language, each string a template of its own.
#[derive(Debug)]
pub(crate) struct Language {
    pub(crate) common: Common,
    words: Vec<(MailKind, Words)>,
}

/// What all mails have in common.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Common {
    /// How durations are written; these know the number as `count`.
    minutes: String,
    hours: String,
    days: String,
    /// Stands for what is not known of a request.
    pub(crate) unknown: String,
    /// The labels of the table of a request.
    pub(crate) when: String,
    pub(crate) address: String,
    pub(crate) device: String,
    /// Comes before the link in full.
    pub(crate) copy_link: String,
    /// Ends every mail.
    pub(crate) footer: String,
}

/// What one kind of mail says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) subject: String,
    pub(crate) heading: String,
    /// Paragraphs; the first is also what an inbox shows beside the subject.
    pub(crate) text: Vec<String>,
    /// What the button says.
    pub(crate) button: Option<String>,
    /// Paragraphs below the button, or below the table of the request.
    #[serde(default)]
    pub(crate) after: Vec<String>,
}

impl Language {
    /// Reads a language file. What is missing, what is unknown and a button without a link, or a link without a
    /// button, are errors, which name their place in the file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut file: Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let common = section(&mut file, "common")?;
        let words = KINDS.into_iter().map(|kind| Ok((kind, words(&mut file, kind)?))).collect::<Result<_, String>>()?;
        match file.keys().next() {
            Some(key) => Err(format!("[{key}] is no kind of mail")),
            None => Ok(Self { common, words }),
        }
    }

    /// The words for this kind. A language that was parsed has words for every kind.
    pub(crate) fn words(&self, kind: MailKind) -> Option<&Words> {
        self.words.iter().find(|(known, _)| *known == kind).map(|(_, words)| words)
    }
}

impl Common {
    /// The template of a duration with its number and its place: whole minutes, and greater units from two of
    /// them on, rounded down, so that no link stops working before its time is over. A whole hour is one.
    pub(crate) fn duration(&self, duration: Duration) -> (&str, &'static str, u64) {
        let minutes = (duration.as_secs() / 60).max(1);
        match minutes {
            2_880.. => (&self.days, "common.days", minutes / 1_440),
            60 | 120..=2_879 => (&self.hours, "common.hours", minutes / 60),
            _ => (&self.minutes, "common.minutes", minutes),
        }
    }

    /// All three templates of durations with their places.
    pub(crate) fn durations(&self) -> [(&str, &'static str); 3] {
        [(&self.minutes, "common.minutes"), (&self.hours, "common.hours"), (&self.days, "common.days")]
    }
}

fn words(file: &mut Table, kind: MailKind) -> Result<Words, String> {
    let name = kind.as_str();
    let words: Words = section(file, name)?;
    if words.text.is_empty() {
        return Err(format!("[{name}] text: must have a paragraph"));
    }
    match (kind.token_purpose(), &words.button) {
        (Some(_), None) => Err(format!("[{name}] button: is missing, and the mail has a link")),
        (None, Some(_)) => Err(format!("[{name}] button: leads nowhere, since the mail has no link")),
        _ => Ok(words),
    }
}

fn section<T: DeserializeOwned>(file: &mut Table, name: &str) -> Result<T, String> {
    let value: Value = file.remove(name).ok_or_else(|| format!("[{name}] is missing"))?;
    value.try_into().map_err(|error: toml::de::Error| format!("[{name}] {}", error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = include_str!("../templates/en.toml");

    #[test]
    fn a_language_has_words_for_every_kind() {
        let language = Language::parse(ENGLISH).unwrap();
        for kind in KINDS {
            assert_eq!(MailKind::from_name(kind.as_str()), Some(kind));
            assert!(language.words(kind).is_some());
        }
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let without_subject = ENGLISH.replacen("subject = \"Reset", "# subject = \"Reset", 1);
        let stray_button = ENGLISH.replacen("[new_device]", "[new_device]\nbutton = \"Go\"", 1);
        for (text, expected) in [
            (String::new(), "common"),
            ("= nonsense".to_owned(), "TOML"),
            (ENGLISH.replacen("[new_device]", "[new_devise]", 1), "new_device"),
            (format!("{ENGLISH}\n[newsletter]\nsubject = \"x\""), "newsletter"),
            (ENGLISH.replacen("[new_device]", "[new_device]\ncolour = \"red\"", 1), "colour"),
            (without_subject, "subject"),
            (stray_button, "button"),
        ] {
            let error = Language::parse(&text).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn a_duration_is_written_in_the_unit_that_people_use() {
        let common = Language::parse(ENGLISH).unwrap().common;
        for (minutes, expected) in [
            (0, ("common.minutes", 1)),
            (30, ("common.minutes", 30)),
            (60, ("common.hours", 1)),
            (90, ("common.minutes", 90)),
            (150, ("common.hours", 2)),
            (24 * 60, ("common.hours", 24)),
            (7 * 24 * 60, ("common.days", 7)),
        ] {
            let (_, place, count) = common.duration(Duration::from_secs(minutes * 60));
            assert_eq!((place, count), expected);
        }
    }
}
