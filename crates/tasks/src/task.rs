use doorward_domain::{Timestamp, id};
use thiserror::Error;
use uuid::Uuid;

/// Something that a user means to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Names it among its owner's.
    pub id: TaskId,
    /// What the owner wrote.
    pub content: TaskContent,
    /// Whether it is done.
    pub completed: bool,
    /// Which version of it this is.
    pub version: Version,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What the owner of a task wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskContent {
    /// What is to be done.
    pub title: Title,
    /// More about it.
    pub description: Option<Description>,
}

impl Task {
    /// A task that has just been made.
    #[must_use]
    pub const fn new(id: TaskId, content: TaskContent, now: Timestamp) -> Self {
        Self { id, content, completed: false, version: Version::FIRST, created_at: now, updated_at: now }
    }
}

id!(
    /// Names a task. Ordered by when it was made.
    TaskId
);

impl TaskId {
    /// Behind every other.
    pub const LAST: Self = Self(Uuid::max());
}

/// How often a task has been written, beginning with 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(i64);

impl Version {
    /// That of a new task.
    pub const FIRST: Self = Self(1);

    /// The version with this number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }
}

/// What ends a line or a paragraph and is no control character.
const LINE_SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];
/// What is neither white space nor to be seen.
const INVISIBLE: [char; 7] = ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{2800}', '\u{feff}'];

fn is_blank(c: char) -> bool {
    c.is_whitespace() || INVISIBLE.contains(&c)
}

/// What is to be done: 1 to 200 characters on one line, not all of them white space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title(String);

/// The text is not a [`Title`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTitle {
    /// There is nothing in it.
    #[error("must have at least 1 character that is not white space")]
    Blank,
    /// It has more than 200 characters.
    #[error("must have at most {} characters", Title::LONGEST)]
    TooLong,
    /// It holds a line break or another control character.
    #[error("must not contain line breaks or other control characters")]
    ControlCharacter,
}

impl Title {
    /// How many characters (Unicode code points) it may have.
    pub const LONGEST: usize = 200;

    /// Reads a title as it is, never trimmed.
    ///
    /// # Errors
    ///
    /// [`InvalidTitle`] naming the broken rule.
    pub fn parse(text: &str) -> Result<Self, InvalidTitle> {
        if text.chars().count() > Self::LONGEST {
            Err(InvalidTitle::TooLong)
        } else if text.chars().all(is_blank) {
            Err(InvalidTitle::Blank)
        } else if text.contains(|c: char| c.is_control() || LINE_SEPARATORS.contains(&c)) {
            Err(InvalidTitle::ControlCharacter)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// More about a task: 0 to 2,000 characters, on any number of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

/// The text is not a [`Description`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidDescription {
    /// It has more than 2,000 characters.
    #[error("must have at most {} characters", Description::LONGEST)]
    TooLong,
    /// It holds a control character other than a line break or a tabulator.
    #[error("must not contain control characters other than line breaks and tabulators")]
    ControlCharacter,
}

impl Description {
    /// How many characters (Unicode code points) it may have.
    pub const LONGEST: usize = 2_000;

    /// Reads a description as it is, never trimmed.
    ///
    /// # Errors
    ///
    /// [`InvalidDescription`] naming the broken rule.
    pub fn parse(text: &str) -> Result<Self, InvalidDescription> {
        if text.chars().count() > Self::LONGEST {
            Err(InvalidDescription::TooLong)
        } else if text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            Err(InvalidDescription::ControlCharacter)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_1_to_200_characters() {
        for (text, expected) in [
            ("a".to_owned(), Ok(())),
            (" kept as it is ".to_owned(), Ok(())),
            ("é".repeat(200), Ok(())),
            ("é".repeat(201), Err(InvalidTitle::TooLong)),
            (String::new(), Err(InvalidTitle::Blank)),
            (" \u{a0}\t".to_owned(), Err(InvalidTitle::Blank)),
            ("\u{200b}\u{feff} ".to_owned(), Err(InvalidTitle::Blank)),
            ("family \u{1f468}\u{200d}\u{1f469}".to_owned(), Ok(())),
            ("two\nlines".to_owned(), Err(InvalidTitle::ControlCharacter)),
            ("two\u{2028}lines".to_owned(), Err(InvalidTitle::ControlCharacter)),
            ("a\0b".to_owned(), Err(InvalidTitle::ControlCharacter)),
        ] {
            let title = Title::parse(&text);
            assert_eq!(title.as_ref().map(|_| ()).map_err(|error| *error), expected, "{text:?}");
            assert!(title.is_err() || title.is_ok_and(|title| title.as_str() == text));
        }
    }

    #[test]
    fn a_description_has_at_most_2000_characters_on_any_number_of_lines() {
        for (text, expected) in [
            (String::new(), Ok(())),
            ("a\r\n\tb\n".to_owned(), Ok(())),
            ("é".repeat(2_000), Ok(())),
            ("é".repeat(2_001), Err(InvalidDescription::TooLong)),
            ("a\0b".to_owned(), Err(InvalidDescription::ControlCharacter)),
            ("\u{1b}[2J".to_owned(), Err(InvalidDescription::ControlCharacter)),
        ] {
            assert_eq!(Description::parse(&text).map(|_| ()), expected, "{text:?}");
        }
    }
}
