use std::cmp::Ordering;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_domain::Password;
use thiserror::Error;

/// The port to the passwords that nobody may choose.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PasswordScreen: Send + Sync {
    /// Whether the password is one that attackers try first. May ask another machine, so no unit of work is open
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`ScreenUnavailable`] when that cannot be told; the password MUST not be set then.
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable>;
}

/// Whether a password is common cannot be told at the moment. Its source MUST name nothing of the password, nor of a hash
/// of it.
#[derive(Debug, Error)]
#[error("passwords cannot be screened")]
pub struct ScreenUnavailable(#[source] pub Box<dyn Error + Send + Sync>);

/// Several screens, asked in their order: those that need nobody else first. The first that finds a password common
/// decides, and the ones after it are not asked. One that cannot tell is an error unless another finds it common.
#[derive(Clone, Default)]
pub struct PasswordScreens(pub Vec<Arc<dyn PasswordScreen>>);

#[async_trait]
impl PasswordScreen for PasswordScreens {
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable> {
        let mut unavailable = None;
        for screen in &self.0 {
            match screen.is_common(password).await {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => unavailable = unavailable.or(Some(error)),
            }
        }
        unavailable.map_or(Ok(false), Err)
    }
}

/// The embedded list of common and breached passwords, compared without regard to case.
///
/// Its source and licence stand beside it in `common-passwords.README.md`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommonPasswords;

/// Lower-case passwords, one a line, sorted by bytes. Searched where it lies in the binary, so that it costs
/// neither memory nor time at start.
const LIST: &str = include_str!("common-passwords.txt");

#[async_trait]
impl PasswordScreen for CommonPasswords {
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable> {
        Ok(has_password(LIST, password))
    }
}

/// Whether a password is one of these lines, which are in lower case and sorted by bytes.
pub(super) fn has_password(lines: &str, password: &Password) -> bool {
    let wanted = zeroize::Zeroizing::new(password.expose().to_lowercase());
    has_line(lines.as_bytes(), wanted.as_bytes())
}

/// Binary search for a line in sorted lines.
fn has_line(mut lines: &[u8], wanted: &[u8]) -> bool {
    while !lines.is_empty() {
        let middle = lines.len() / 2;
        let (before, from_middle) = lines.split_at(middle);
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        let rest_of_line = from_middle.iter().position(|b| *b == b'\n').unwrap_or(from_middle.len());
        let line_end = middle + rest_of_line;
        let (Some(line), Some(above), Some(below)) =
            (lines.get(line_start..line_end), lines.get(..line_start), lines.get(line_end.saturating_add(1)..))
        else {
            // Past the last line, whose end is not followed by another.
            return lines.get(line_start..line_end) == Some(wanted);
        };
        match wanted.cmp(line) {
            Ordering::Equal => return true,
            Ordering::Less => lines = above,
            Ordering::Greater => lines = below,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::password;

    fn is_common(text: &str) -> bool {
        pollster::block_on(CommonPasswords.is_common(&password(text))).unwrap()
    }

    #[test]
    fn every_line_of_the_list_is_found() {
        let lines: Vec<_> = LIST.lines().collect();
        assert!(lines.len() >= 10_000, "{}", lines.len());
        assert!(lines.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()), "the list must be sorted");
        for line in lines {
            assert_eq!(line, line.to_lowercase(), "the list must be in lower case");
            assert!(is_common(line), "{line}");
        }
    }

    #[test]
    fn case_does_not_hide_a_common_password() {
        assert!(is_common("password1"));
        assert!(is_common("PassWord1"));
        assert!(is_common("QWERTYUIOP"));
    }

    #[test]
    fn what_is_not_a_whole_line_is_not_found() {
        for text in
            ["correct horse battery staple", "password1\n", "\n", "passwor", "zzzzzzzzzzzzzzzzz9", "not listed!"]
        {
            assert!(!is_common(text), "{text:?}");
        }
    }

    #[test]
    fn short_lists_are_searched_whole() {
        for (list, wanted, found) in [
            ("a\nb\nc\n", "a", true),
            ("a\nb\nc\n", "c", true),
            ("a\nb\nc", "c", true),
            ("a", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(has_line(list.as_bytes(), wanted.as_bytes()), found, "{list:?} {wanted}");
        }
    }
    /// A screen that says this when it is asked, which has to be once.
    fn saying(answer: fn() -> Result<bool, ScreenUnavailable>) -> Arc<dyn PasswordScreen> {
        let mut screen = MockPasswordScreen::new();
        screen.expect_is_common().times(1).returning(move |_| answer());
        Arc::new(screen)
    }

    const FINDS: fn() -> Result<bool, ScreenUnavailable> = || Ok(true);
    const FINDS_NOT: fn() -> Result<bool, ScreenUnavailable> = || Ok(false);
    const IS_DOWN: fn() -> Result<bool, ScreenUnavailable> = || Err(ScreenUnavailable("down".into()));

    #[pollster::test]
    async fn the_first_screen_that_finds_a_password_decides_and_one_that_is_down_counts_only_when_none_does() {
        for (screens, expected) in [
            (&[][..], Some(false)),
            (&[FINDS_NOT, FINDS_NOT], Some(false)),
            (&[FINDS_NOT, FINDS], Some(true)),
            (&[IS_DOWN, FINDS], Some(true)),
            (&[IS_DOWN, FINDS_NOT], None),
            (&[FINDS_NOT, IS_DOWN], None),
        ] {
            let screens = PasswordScreens(screens.iter().map(|answer| saying(*answer)).collect());
            assert_eq!(screens.is_common(&password("whatever it is")).await.ok(), expected);
        }
    }

    #[pollster::test]
    async fn a_screen_behind_one_that_has_found_the_password_is_not_asked() {
        let screens = PasswordScreens(vec![saying(FINDS), Arc::new(MockPasswordScreen::new())]);
        assert!(screens.is_common(&password("whatever it is")).await.unwrap());
    }
}
