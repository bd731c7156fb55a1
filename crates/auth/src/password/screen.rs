use std::cmp::Ordering;

use doorward_domain::Password;

/// The port to the passwords that nobody may choose.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait PasswordScreen: Send + Sync {
    /// Whether the password is one that attackers try first.
    fn is_common(&self, password: &Password) -> bool;
}

/// The embedded list of common and breached passwords, compared without regard to case.
///
/// Its source and licence stand beside it in `common-passwords.README.md`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommonPasswords;

/// Lower-case passwords, one a line, sorted by bytes. Searched where it lies in the binary, so that it costs
/// neither memory nor time at start.
const LIST: &str = include_str!("common-passwords.txt");

impl PasswordScreen for CommonPasswords {
    fn is_common(&self, password: &Password) -> bool {
        let wanted = zeroize::Zeroizing::new(password.expose().to_lowercase());
        has_line(LIST.as_bytes(), wanted.as_bytes())
    }
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
    use secrecy::SecretString;

    use super::*;

    fn is_common(text: &str) -> bool {
        CommonPasswords.is_common(&Password::parse(&SecretString::from(text.to_owned())).unwrap())
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
}
