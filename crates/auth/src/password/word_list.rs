use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_domain::Password;
use unicode_normalization::UnicodeNormalization;

use super::screen::has_password;
use super::{PasswordScreen, ScreenUnavailable};

/// An operator's own words that nobody may choose as a password: what the service, its town and its team are called.
///
/// A word is a whole password, compared without regard to case. Cheap to clone.
#[derive(Clone, Default)]
pub struct WordList {
    /// In lower case, one a line, sorted by bytes.
    lines: Arc<str>,
    length: usize,
}

impl WordList {
    /// Reads one word a line. Blank lines and lines that begin with `#` are left out; so is what is longer than any
    /// password. Nothing is trimmed, since a password may begin or end with a space.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let words = text.trim_start_matches('\u{feff}').lines();
        let words = words.filter(|word| !word.trim().is_empty() && !word.starts_with('#'));
        let mut words: Vec<String> = words.filter_map(folded).collect();
        words.sort_unstable();
        words.dedup();
        Self { length: words.len(), lines: words.join("\n").into() }
    }

    /// How many different words it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// A word as passwords are compared: in normalization form C, then in lower case.
fn folded(word: &str) -> Option<String> {
    let word: String = if word.is_ascii() { word.to_owned() } else { word.nfc().collect() };
    (word.chars().count() <= Password::MAX_LENGTH).then(|| word.to_lowercase())
}

impl fmt::Debug for WordList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WordList({} words)", self.length)
    }
}

#[async_trait]
impl PasswordScreen for WordList {
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable> {
        Ok(has_password(&self.lines, password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::password;

    fn refuses(list: &WordList, text: &str) -> bool {
        pollster::block_on(list.is_common(&password(text))).unwrap()
    }

    #[test]
    fn a_word_is_refused_in_whatever_case_and_form_and_only_as_a_whole_password() {
        let list = WordList::parse("Springfield\r\n\n# a remark\n   \nCaf\u{e9} du Nord\nspringfield\n ends here ");
        assert_eq!(list.len(), 3);
        for text in ["springfield", "SPRINGFIELD", "CAF\u{c9} DU NORD", "cafe\u{301} du nord", " ends here "] {
            assert!(refuses(&list, text), "{text}");
        }
        for text in ["springfield1", "pringfield", "ends here", "# a remark", "a remark", "\n", "   ", "cafe du nord"] {
            assert!(!refuses(&list, text), "{text}");
        }
    }

    #[test]
    fn a_mark_at_the_beginning_of_the_file_is_no_part_of_the_first_word() {
        assert!(refuses(&WordList::parse("\u{feff}springfield"), "springfield"));
    }

    #[test]
    fn every_word_of_a_long_list_is_found() {
        let words: Vec<String> = (0..10_000).map(|n| format!("Word Number {n}")).collect();
        let list = WordList::parse(&words.join("\n"));
        assert_eq!(list.len(), words.len());
        assert!(words.iter().all(|word| refuses(&list, word)));
        assert!(!refuses(&list, "word number 10000"));
    }

    #[test]
    fn a_list_without_words_refuses_nothing() {
        for text in ["", "\n", "# nothing\n", &"x".repeat(257)] {
            let list = WordList::parse(text);
            assert!(list.is_empty(), "{text}");
            assert!(!refuses(&list, "") && !refuses(&list, "# nothing"), "{text}");
        }
    }

    #[test]
    fn debug_output_keeps_the_words_to_itself() {
        assert_eq!(format!("{:?}", WordList::parse("springfield")), "WordList(1 words)");
    }
}
