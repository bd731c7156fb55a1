use std::fmt;

use thiserror::Error;

/// The name of a role: 1 to 64 of `a` to `z`, digits, `.`, `_`, `:` and `-`, beginning with a letter.
///
/// What a role allows is for the services to say that look at it; Doorward gives none any meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role(String);

/// The text is not a [`Role`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to 64 lower-case letters, digits and . _ : -, beginning with a letter")]
pub struct InvalidRole;

impl Role {
    /// The longest, in bytes.
    pub const LONGEST: usize = 64;

    /// Reads a role.
    ///
    /// # Errors
    ///
    /// [`InvalidRole`].
    pub fn parse(text: &str) -> Result<Self, InvalidRole> {
        let sane = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._:-".contains(&b);
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        let taken = begins && text.len() <= Self::LONGEST && text.bytes().all(sane);
        taken.then(|| Self(text.to_owned())).ok_or(InvalidRole)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_a_plain_word() {
        for text in ["a", "admin", "billing:read", "team-1.ops_x", &"a".repeat(64)] {
            assert_eq!(Role::parse(text).map(|role| role.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Admin", "1st", "a b", "a,b", "a\n", "-a", "rôle", &"a".repeat(65)] {
            assert_eq!(Role::parse(text), Err(InvalidRole), "{text:?}");
        }
    }
}
