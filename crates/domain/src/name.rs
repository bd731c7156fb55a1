use std::fmt;

use thiserror::Error;

/// What a user wishes to be called: 1 to 100 Unicode code points without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisplayName(String);

/// Why a text is not a [`DisplayName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Nothing but white space.
    #[error("must not be blank")]
    Blank,
    /// Over 100 code points.
    #[error("must be at most {max} characters", max = DisplayName::MAX_LENGTH)]
    TooLong,
    /// A line break or another control character, which could forge a line in a mail or a log.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl DisplayName {
    /// The greatest length, in code points.
    pub const MAX_LENGTH: usize = 100;

    /// Takes the text as it is; nothing is trimmed.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] naming the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if text.chars().count() > Self::MAX_LENGTH {
            return Err(InvalidName::TooLong);
        }
        if text.chars().any(is_unfit) {
            return Err(InvalidName::ControlCharacter);
        }
        if text.trim().is_empty() {
            return Err(InvalidName::Blank);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, line separators, and the invisible ones that hide or reorder text. The joiners that emoji
/// and several scripts are written with are none of them.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_everywhere_are_welcome() {
        for name in ["Ada", "O'Brien", "李小龍", "Zoë 🦊", " spaced ", &"x".repeat(100)] {
            assert_eq!(DisplayName::parse(name).map(|n| n.as_str().to_owned()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn a_broken_rule_is_named() {
        for (text, refused) in [
            ("", InvalidName::Blank),
            (" \u{a0}", InvalidName::Blank),
            ("a\r\nBcc: b", InvalidName::ControlCharacter),
            ("a\u{0}", InvalidName::ControlCharacter),
            ("a\u{2028}b", InvalidName::ControlCharacter),
            ("\u{200b}", InvalidName::ControlCharacter),
            ("abc\u{202e}def", InvalidName::ControlCharacter),
            (&"é".repeat(101), InvalidName::TooLong),
        ] {
            assert_eq!(DisplayName::parse(text), Err(refused), "{text:?}");
        }
    }
}
