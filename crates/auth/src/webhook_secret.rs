use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_domain::WebhookId;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::placeholder::is_placeholder;
use crate::seal::keyed_digest_of;

/// What the webhooks to one endpoint are signed with, and what their receiver checks them with.
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// Why a text is no [`WebhookSecret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidWebhookSecret {
    /// It is not base64.
    #[error("must be base64, with or without `whsec_` in front; make one with: openssl rand -base64 32")]
    NotBase64,
    /// It could be guessed.
    #[error("must be at least {} bytes; make them with: openssl rand -base64 32", WebhookSecret::LEAST_LENGTH)]
    TooShort,
    /// It is the text of an example, or far from random.
    #[error("is a placeholder or too regular; make one with: openssl rand -base64 32")]
    Placeholder,
}

impl WebhookSecret {
    /// The least length, in bytes.
    pub const LEAST_LENGTH: usize = 32;
    /// What may stand in front of it, for secret scanners to look for.
    pub const PREFIX: &'static str = "whsec_";

    /// Reads a secret from base64.
    ///
    /// # Errors
    ///
    /// [`InvalidWebhookSecret`] for what is no base64, too short or too regular.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidWebhookSecret> {
        let text = text.expose_secret().trim();
        let encoded = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| InvalidWebhookSecret::NotBase64)?);
        if bytes.len() < Self::LEAST_LENGTH {
            return Err(InvalidWebhookSecret::TooShort);
        }
        if is_placeholder(encoded, &bytes) {
            return Err(InvalidWebhookSecret::Placeholder);
        }
        Ok(Self(bytes))
    }

    /// The header `webhook-signature` of an attempt: HMAC-SHA-256 over id, Unix seconds and body (Standard Webhooks).
    pub(crate) fn sign(&self, id: WebhookId, timestamp: i64, body: &str) -> String {
        let digest = keyed_digest_of(&self.0, format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(digest))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn parse(text: &str) -> Result<WebhookSecret, InvalidWebhookSecret> {
        WebhookSecret::parse(&SecretString::from(text.to_owned()))
    }

    fn encoded(bytes: impl IntoIterator<Item = u8>) -> String {
        STANDARD.encode(bytes.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_secret_is_at_least_32_random_bytes_in_base64() {
        assert!(parse(&encoded(0..32)).is_ok());
        assert!(parse(&format!("whsec_{}\n", encoded(0..32))).is_ok());
        assert!(parse(&encoded(0..100)).is_ok());
        for (text, expected) in [
            (String::new(), InvalidWebhookSecret::TooShort),
            (encoded(0..31), InvalidWebhookSecret::TooShort),
            ("not base64!".to_owned(), InvalidWebhookSecret::NotBase64),
            (format!("whsec-{}", encoded(0..32)), InvalidWebhookSecret::NotBase64),
            (encoded([7; 32]), InvalidWebhookSecret::Placeholder),
            (encoded((0..9).cycle().take(64)), InvalidWebhookSecret::Placeholder),
            ("ChangeMe/ThisIsNotAGoodOneAtAll0123456789abcdef+ghijkl".repeat(2), InvalidWebhookSecret::Placeholder),
        ] {
            assert_eq!(parse(&text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", parse(&encoded(0..32)).unwrap()), "WebhookSecret(..)");
    }

    #[test]
    fn a_signature_is_what_other_implementations_make_of_it() {
        // From Python: hmac.new(bytes(range(n)), b"00000000-0000-0000-0000-000000000007.1800000000.{\"a\":1}", sha256).
        for (length, expected) in [
            (32, "opqhfrYI469F8itCCPb8LDDQv7luc0BHQXl1Wmi/54I="),
            // Longer than a block of the hash.
            (100, "cvY3ZIPAbBMzEsU3PY+KKwDr6Kbf6C9TBxutwYvySi4="),
        ] {
            let secret = parse(&encoded(0..length)).unwrap();
            let id = WebhookId::from_uuid(Uuid::from_u128(7));
            assert_eq!(secret.sign(id, 1_800_000_000, "{\"a\":1}"), format!("v1,{expected}"));
        }
    }
}
