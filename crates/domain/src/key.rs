use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Timestamp;

/// What access tokens are signed with (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// Ed25519. The default: fast to sign and to verify, and small.
    #[default]
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 and a 3072 bit modulus.
    Rs256,
    /// HMAC with SHA-256 and a secret that issuer and verifier share.
    Hs256,
}

impl KeyAlgorithm {
    /// The `alg` of a token's header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no algorithm that Doorward signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be one of EdDSA, ES256, RS256, HS256")]
pub struct UnknownAlgorithm;

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(UnknownAlgorithm)
    }
}

/// The `kid` of a signing key: its RFC 7638 thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The id as computed or read.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signing key as the database keeps it: the private part encrypted with a key that the database never sees.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Its `kid`.
    pub id: KeyId,
    /// The one algorithm that it is for.
    pub algorithm: KeyAlgorithm,
    /// The private key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made, and published.
    pub created_at: Timestamp,
    /// When it begins to sign; by then every verifier has seen it.
    pub signs_from: Timestamp,
}

/// A secret other than a signing key that is kept sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// What it is for.
    pub name: String,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_named_exactly() {
        assert_eq!("EdDSA".parse(), Ok(KeyAlgorithm::EdDsa));
        for text in ["none", "eddsa", "HS512", "RS256 ", ""] {
            assert_eq!(text.parse::<KeyAlgorithm>(), Err(UnknownAlgorithm));
        }
    }
}
