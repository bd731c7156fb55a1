//! The services that may ask about tokens: each has an id and a secret, of which the configuration holds the SHA-256.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{Entropy, EntropyUnavailable};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What every secret that Doorward makes begins with, for scanners that look for leaked secrets.
const SECRET_PREFIX: &str = "dwc_";

/// Names a client: 1 to 64 ASCII letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientId(String);

/// The text is not a [`ClientId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be 1 to {} ASCII letters, digits and . _ -", ClientId::LONGEST)]
pub struct InvalidClientId;

impl ClientId {
    /// The longest, in bytes.
    pub const LONGEST: usize = 64;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, InvalidClientId> {
        let sane = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let taken = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(sane);
        taken.then(|| Self(text.to_owned())).ok_or(InvalidClientId)
    }
}

/// The SHA-256 of a client's secret. The secret has 256 random bits, so it needs no salt and no slow hash.
#[derive(Clone, Copy)]
pub struct SecretDigest([u8; 32]);

/// The text is not a [`SecretDigest`]. Never repeats the text: it may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidSecretDigest {
    /// Not 64 hexadecimal digits.
    #[error("must be the SHA-256 of the secret, 64 hexadecimal digits; `doorward client-secret` makes both")]
    Malformed,
    /// The digest of nothing, which is what a shell gives for a variable that is not set.
    #[error("is the SHA-256 of an empty secret")]
    Empty,
}

impl SecretDigest {
    /// The digest of this secret.
    #[must_use]
    pub fn of(secret: &SecretString) -> Self {
        Self(Sha256::digest(secret.expose_secret().as_bytes()).into())
    }
}

impl FromStr for SecretDigest {
    type Err = InvalidSecretDigest;

    fn from_str(text: &str) -> Result<Self, InvalidSecretDigest> {
        let mut bytes = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != bytes.len() || !rest.is_empty() {
            return Err(InvalidSecretDigest::Malformed);
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            let (high, low) = (digit(*high)?, digit(*low)?);
            *byte = (high << 4) | low;
        }
        let digest = Self(bytes);
        if digest == Self::of(&SecretString::default()) { Err(InvalidSecretDigest::Empty) } else { Ok(digest) }
    }
}

fn digit(ascii: u8) -> Result<u8, InvalidSecretDigest> {
    let digit = char::from(ascii).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digit.ok_or(InvalidSecretDigest::Malformed)
}

impl PartialEq for SecretDigest {
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for SecretDigest {}

impl fmt::Display for SecretDigest {
    /// As the configuration takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(..)")
    }
}

/// A fresh secret for a client: 256 random bits in base64url, with a prefix.
///
/// # Errors
///
/// [`EntropyUnavailable`] when the source of randomness gives nothing.
pub fn new_client_secret(entropy: &dyn Entropy) -> Result<SecretString, EntropyUnavailable> {
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes)?;
    Ok(SecretString::from(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

/// The clients of an installation, each id once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients(Vec<(ClientId, SecretDigest)>);

/// There is a client of this id already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is the id of an earlier client already")]
pub struct DuplicateClient;

impl Clients {
    /// Adds a client.
    ///
    /// # Errors
    ///
    /// [`DuplicateClient`] when there is one of this id.
    pub fn add(&mut self, id: ClientId, secret: SecretDigest) -> Result<(), DuplicateClient> {
        if self.0.iter().any(|(known, _)| *known == id) {
            return Err(DuplicateClient);
        }
        self.0.push((id, secret));
        Ok(())
    }

    /// Whether there are none, so that nobody can be answered.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is a client and its secret. Ids are no secrets; how long it takes depends on them and not on how
    /// much of a secret is right.
    pub(crate) fn know(&self, id: &str, secret: &SecretString) -> bool {
        let presented = SecretDigest::of(secret);
        self.0.iter().any(|(known, digest)| known.as_str() == id && *digest == presented)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    fn id(text: &str) -> ClientId {
        text.parse().unwrap()
    }

    fn clients() -> Clients {
        let mut clients = Clients::default();
        clients.add(id("notes"), SecretDigest::of(&secret("the secret of notes"))).unwrap();
        clients.add(id("billing.v2"), SecretDigest::of(&secret("the secret of billing"))).unwrap();
        clients
    }

    #[test]
    fn a_client_is_known_by_its_own_secret_alone() {
        assert!(clients().know("notes", &secret("the secret of notes")));
        assert!(clients().know("billing.v2", &secret("the secret of billing")));
        for (id, text) in [
            ("notes", "the secret of billing"),
            ("notes", ""),
            ("notes", "the secret of notes "),
            ("Notes", "the secret of notes"),
            ("", "the secret of notes"),
            ("unknown", "the secret of notes"),
        ] {
            assert!(!clients().know(id, &secret(text)), "{id}, {text}");
        }
        assert!(!Clients::default().know("notes", &secret("the secret of notes")));
        assert!(Clients::default().is_empty() && !clients().is_empty());
    }

    #[test]
    fn an_id_is_given_once() {
        let digest = SecretDigest::of(&secret("another"));
        assert_eq!(clients().add(id("notes"), digest), Err(DuplicateClient));
        assert_eq!(clients().add(id("NOTES"), digest), Ok(()));
    }

    #[test]
    fn an_id_is_a_plain_word() {
        for text in ["a", "notes-api_2.eu", &"x".repeat(64)] {
            assert_eq!(id(text).as_str(), text);
        }
        for text in ["", "a b", "a:b", "é", "a/b", &"x".repeat(65)] {
            assert_eq!(text.parse::<ClientId>(), Err(InvalidClientId), "{text:?}");
        }
    }

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        let text = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(text.parse::<SecretDigest>(), Ok(SecretDigest::of(&secret("secret"))));
        assert_eq!(text.to_uppercase().parse::<SecretDigest>().unwrap().to_string(), text);
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty.parse::<SecretDigest>(), Err(InvalidSecretDigest::Empty));
        for text in ["", &text[1..], &text[2..], &format!("{text}00"), &format!("+{}", &text[1..]), &"é".repeat(32)] {
            assert_eq!(text.parse::<SecretDigest>(), Err(InvalidSecretDigest::Malformed), "{text}");
        }
    }

    #[test]
    fn a_new_secret_is_long_and_never_the_same() {
        struct Counting(std::sync::atomic::AtomicU8);
        impl Entropy for Counting {
            fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyUnavailable> {
                bytes.fill(self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
                Ok(())
            }
        }
        let entropy = Counting(std::sync::atomic::AtomicU8::new(0));
        let [one, other] = [(), ()].map(|()| new_client_secret(&entropy).unwrap());
        assert!(one.expose_secret().starts_with("dwc_"));
        assert_eq!(one.expose_secret().len(), 4 + 43);
        assert_ne!(one.expose_secret(), other.expose_secret());
        assert_eq!(format!("{:?}", SecretDigest::of(&one)), "SecretDigest(..)");
    }
}
