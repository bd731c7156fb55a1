use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

use crate::EmailAddress;

/// A password as a person typed it, in Unicode normalization form C (NIST SP 800-63B-4 section 3.1.1.2), so
/// that the same characters from another keyboard are the same password. Nothing is trimmed, cut or folded.
///
/// It does not print, does not serialise and is wiped when dropped.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// The greatest length, in code points after normalization. Above the 64 that NIST SP 800-63B-4 and
    /// ASVS 6.2.9 ask for; the bound keeps a megabyte from being hashed.
    pub const MAX_LENGTH: usize = 256;

    /// Takes any text up to 256 code points. A password to log in with needs no more: whether it satisfies a
    /// policy is only asked when it is set ([`PasswordPolicy::check`]).
    ///
    /// # Errors
    ///
    /// [`PasswordRefused::TooLong`].
    pub fn parse(text: &SecretString) -> Result<Self, PasswordRefused> {
        let text = text.expose_secret();
        // One code point is at most four bytes, and normalization shortens a text by a factor of three at most.
        if text.len() > Self::MAX_LENGTH * 4 * 3 {
            return Err(PasswordRefused::TooLong);
        }
        // Reserved in full at once: a string that grew would leave copies behind that nobody wipes.
        let mut normalized = String::with_capacity(text.len() * 3);
        normalized.extend(text.nfc());
        let password = Self(SecretString::from(normalized));
        if password.length() > Self::MAX_LENGTH { Err(PasswordRefused::TooLong) } else { Ok(password) }
    }

    /// The normalized text, for a hasher. Never for a log or a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The length in code points.
    fn length(&self) -> usize {
        self.expose().chars().count()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why a password cannot be set. The message is for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PasswordRefused {
    /// Fewer code points than the policy asks for.
    #[error("must be at least {min_length} characters")]
    TooShort {
        /// What the policy asks for.
        min_length: usize,
    },
    /// Over 256 code points.
    #[error("must be at most {max} characters", max = Password::MAX_LENGTH)]
    TooLong,
    /// In the list of common and breached passwords (ASVS 6.2.4, NIST SP 800-63B-4 section 3.1.1.2).
    #[error("is one of the passwords that attackers try first")]
    TooCommon,
    /// Little more than the account's address, its local part or the service's name (ASVS 6.2.11).
    #[error("must not be your address or the name of this service")]
    ContainsContext,
}

/// What a new password must satisfy. There are no rules of composition (ASVS 6.2.5).
///
/// # Defaults
///
/// `min_length` 8 code points (ASVS 6.2.1); 15 follows NIST SP 800-63B-4 for a password without a second
/// factor. `service_name` is `Doorward`.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// The least length, in code points.
    pub min_length: usize,
    /// What the service calls itself.
    pub service_name: String,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { min_length: 8, service_name: "Doorward".to_owned() }
    }
}

impl PasswordPolicy {
    /// The least `min_length` that a configuration may ask for.
    pub const LEAST_MIN_LENGTH: usize = 8;
    /// A context word shorter than this is refused only as the whole password; "al" is part of many words.
    const CONTEXT_WORD_LENGTH: usize = 4;
    /// A password that is a context word with no more than this many characters around it is still that word.
    const CONTEXT_SLACK: usize = 3;

    /// Checks everything about a password that needs no list; [`PasswordRefused::TooCommon`] comes from the
    /// list that `doorward-auth` holds.
    ///
    /// # Errors
    ///
    /// [`PasswordRefused`] naming the rule that was broken.
    pub fn check(&self, password: &Password, address: &EmailAddress) -> Result<(), PasswordRefused> {
        self.check_alone(password)?;
        let canonical = address.canonical();
        if [canonical.as_str(), address.local_part()].into_iter().any(|word| is_hardly_more_than(password, word)) {
            return Err(PasswordRefused::ContainsContext);
        }
        Ok(())
    }

    /// Checks what can be said of a password whoever chooses it.
    ///
    /// # Errors
    ///
    /// As for [`check`](Self::check).
    pub fn check_alone(&self, password: &Password) -> Result<(), PasswordRefused> {
        if password.length() < self.min_length {
            return Err(PasswordRefused::TooShort { min_length: self.min_length });
        }
        if is_hardly_more_than(password, &self.service_name) {
            return Err(PasswordRefused::ContainsContext);
        }
        Ok(())
    }
}

fn is_hardly_more_than(password: &Password, word: &str) -> bool {
    let lower = zeroize::Zeroizing::new(password.expose().to_lowercase());
    let word = word.to_lowercase();
    if *lower == word {
        return true;
    }
    let word_length = word.chars().count();
    word_length >= PasswordPolicy::CONTEXT_WORD_LENGTH
        && lower.contains(&word)
        && lower.chars().count() - word_length <= PasswordPolicy::CONTEXT_SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(&SecretString::from(text.to_owned())).unwrap()
    }

    fn check(text: &str) -> Result<(), PasswordRefused> {
        let address = EmailAddress::parse("Marguerite@example.com").unwrap();
        PasswordPolicy::default().check(&password(text), &address)
    }

    #[test]
    fn length_is_counted_in_code_points_after_normalization() {
        assert_eq!(check("🦊🦊🦊🦊🦊🦊🦊🦊"), Ok(()));
        assert_eq!(check("1234567"), Err(PasswordRefused::TooShort { min_length: 8 }));
        // Eight letters each followed by a combining accent are eight characters.
        assert_eq!(check(&"e\u{301}".repeat(8)), Ok(()));
        assert_eq!(check(&"e\u{301}".repeat(7)), Err(PasswordRefused::TooShort { min_length: 8 }));
    }

    #[test]
    fn the_longest_password_is_256_code_points() {
        for text in ["x".repeat(256), "🦊".repeat(256), "e\u{301}".repeat(256)] {
            assert!(Password::parse(&SecretString::from(text)).is_ok());
        }
        for text in ["x".repeat(257), "🦊".repeat(257), "x".repeat(1 << 20)] {
            let refused = Password::parse(&SecretString::from(text)).map(|_| ());
            assert_eq!(refused, Err(PasswordRefused::TooLong));
        }
    }

    #[test]
    fn the_same_characters_are_the_same_password() {
        assert_eq!(password("caf\u{e9} au lait").expose(), password("cafe\u{301} au lait").expose());
        assert_ne!(password("Secret phrase").expose(), password("secret phrase").expose());
        assert_eq!(password("  spaces stay  ").expose(), "  spaces stay  ");
    }

    #[test]
    fn a_password_is_not_the_address_or_the_service() {
        for text in [
            "marguerite@example.com",
            "MARGUERITE@EXAMPLE.COM",
            "Marguerite",
            "marguerite123",
            "doorward",
            "DOORWARD!1",
        ] {
            assert_eq!(check(text), Err(PasswordRefused::ContainsContext), "{text}");
        }
        assert_eq!(check("marguerite likes purple"), Ok(()));
    }

    #[test]
    fn without_an_address_length_and_the_service_still_count() {
        let alone = |text: &str| PasswordPolicy::default().check_alone(&password(text));
        assert_eq!(alone("1234567"), Err(PasswordRefused::TooShort { min_length: 8 }));
        assert_eq!(alone("doorward1"), Err(PasswordRefused::ContainsContext));
        assert_eq!(alone("marguerite"), Ok(()));
    }

    #[test]
    fn debug_output_keeps_the_password_secret() {
        assert_eq!(format!("{:?}", password("hunter2hunter2")), "Password(..)");
    }
}
