use std::fmt;

use thiserror::Error;

/// A language, as RFC 5646 writes one: `en`, `de`, `pt-br`. In lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locale(String);

/// The text names no language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a language such as en or pt-br, of at most {} characters", Locale::MAX_LENGTH)]
pub struct InvalidLocale;

impl Locale {
    /// The greatest length, in characters.
    pub const MAX_LENGTH: usize = 35;

    /// Takes ASCII letters and digits in parts of 1 to 8, joined by hyphens, the first of 2 or 3 letters.
    ///
    /// # Errors
    ///
    /// [`InvalidLocale`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidLocale> {
        let part = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let language = text.split('-').next().unwrap_or_default();
        let sound = text.len() <= Self::MAX_LENGTH
            && (2..=3).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_alphabetic())
            && text.split('-').all(part);
        if sound { Ok(Self(text.to_ascii_lowercase())) } else { Err(InvalidLocale) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language without script and region: `pt` of `pt-br`.
    #[must_use]
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_few_short_words_and_never_a_path() {
        for (text, expected) in [("en", "en"), ("pt-BR", "pt-br"), ("zh-Hant-TW", "zh-hant-tw"), ("DE", "de")] {
            assert_eq!(Locale::parse(text).unwrap().as_str(), expected);
        }
        for text in ["", "e", "english", "../en", "en/", "en_US", "en-", "-en", "en\r\n", "1n", "*", "en-abcdefghi"] {
            assert_eq!(Locale::parse(text), Err(InvalidLocale), "{text:?}");
        }
        assert_eq!(Locale::parse("pt-br").unwrap().language(), "pt");
    }
}
