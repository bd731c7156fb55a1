use std::collections::HashMap;
use std::fmt;
use std::panic::catch_unwind;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{KeyAlgorithm, KeyId, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use thiserror::Error;

use super::TokenError;
use crate::placeholder::is_placeholder;
use crate::seal::keyed_digest;

/// The keys of an installation: those that sign, each from its own moment on, and all that verify.
pub struct KeySet {
    /// What new tokens are signed with as long as there is such a key.
    preferred: KeyAlgorithm,
    pub(super) scheduled: Vec<ScheduledKey>,
    pub(super) verifying: HashMap<String, VerifyingKey>,
    pub(super) jwks: String,
}

/// A key, and when it begins to sign. It verifies from the beginning.
#[derive(Clone, Debug)]
pub struct ScheduledKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// When it begins to sign.
    pub signs_from: Timestamp,
}

/// A private key and the one algorithm that it signs with.
pub struct SigningKey {
    pub(super) id: KeyId,
    pub(super) algorithm: KeyAlgorithm,
    pub(super) encoding: EncodingKey,
    verifying: VerifyingKey,
    /// What is published; a shared secret never is.
    jwk: Option<Jwk>,
}

#[derive(Clone)]
pub(super) struct VerifyingKey {
    pub(super) algorithm: KeyAlgorithm,
    pub(super) decoding: DecodingKey,
}

/// A secret that issuer and verifiers share, for HS256.
///
/// It does not print, does not serialise and is wiped when dropped.
pub struct SharedSecret(SecretSlice<u8>);

/// Why a text is not a [`SharedSecret`]. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidSharedSecret {
    /// Under 32 bytes, the output of SHA-256 (RFC 7518 section 3.2).
    #[error("must be at least {} bytes", SharedSecret::LEAST_LENGTH)]
    TooShort,
    /// Far too regular to be random.
    #[error("is not random; make one with `openssl rand -base64 32`")]
    Placeholder,
}

impl SharedSecret {
    /// The least length, in bytes.
    pub const LEAST_LENGTH: usize = 32;

    /// Takes the bytes of the text as the secret, as other implementations do.
    ///
    /// # Errors
    ///
    /// [`InvalidSharedSecret`] for what is too short or too regular.
    pub fn parse(text: &SecretString) -> Result<Self, InvalidSharedSecret> {
        let bytes = text.expose_secret().as_bytes();
        if bytes.len() < Self::LEAST_LENGTH {
            return Err(InvalidSharedSecret::TooShort);
        }
        if is_placeholder(text.expose_secret(), bytes) {
            return Err(InvalidSharedSecret::Placeholder);
        }
        Ok(Self(SecretSlice::from(bytes.to_vec())))
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

impl SigningKey {
    /// Reads a private key: PKCS #8 for EdDSA and ES256, PKCS #1 for RS256.
    pub(super) fn from_private_der(algorithm: KeyAlgorithm, der: &[u8]) -> Result<Self, TokenError> {
        ensure_provider()?;
        let encoding = match algorithm {
            KeyAlgorithm::EdDsa => EncodingKey::from_ed_der(der),
            KeyAlgorithm::Es256 => EncodingKey::from_ec_der(der),
            KeyAlgorithm::Rs256 => EncodingKey::from_rsa_der(der),
            KeyAlgorithm::Hs256 => return Err(TokenError::MissingSecret),
        };
        let unusable = |source| TokenError::UnusableKey { id: String::new(), algorithm, source: Some(source) };
        let mut jwk = Jwk::from_encoding_key(&encoding, to_jwa(algorithm)).map_err(unusable)?;
        let id = KeyId::new(jwk.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?);
        jwk.common.key_id = Some(id.as_str().to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&jwk).map_err(unusable)?;
        let verifying = VerifyingKey { algorithm, decoding };
        Self { id, algorithm, encoding, verifying, jwk: Some(jwk) }.checked()
    }

    /// A key from a shared secret. Its `kid` is derived from the secret and does not reveal it.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when no cryptographic back end is installed.
    pub fn from_shared_secret(secret: &SharedSecret) -> Result<Self, TokenError> {
        ensure_provider()?;
        let bytes = secret.0.expose_secret();
        let digest = keyed_digest(b"doorward/hs256-key-id/v1........", bytes);
        let id = KeyId::new(format!("hs-{}", URL_SAFE_NO_PAD.encode(digest.split_at(12).0)));
        let algorithm = KeyAlgorithm::Hs256;
        let verifying = VerifyingKey { algorithm, decoding: DecodingKey::from_secret(bytes) };
        Self { id, algorithm, encoding: EncodingKey::from_secret(bytes), verifying, jwk: None }.checked()
    }

    /// The `kid`.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// Signs and verifies once, so that a key that cannot be used is an error at start and not at the first
    /// login.
    fn checked(self) -> Result<Self, TokenError> {
        let unusable =
            |source| TokenError::UnusableKey { id: self.id.as_str().to_owned(), algorithm: self.algorithm, source };
        let algorithm = to_jwa(self.algorithm);
        let message = b"doorward";
        let signature =
            jsonwebtoken::crypto::sign(message, &self.encoding, algorithm).map_err(|e| unusable(Some(e)))?;
        let verified = jsonwebtoken::crypto::verify(&signature, message, &self.verifying.decoding, algorithm)
            .map_err(|e| unusable(Some(e)))?;
        if verified { Ok(self) } else { Err(unusable(None)) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl KeySet {
    /// A set in which all keys verify, and the newest one that may sign does; one of the preferred algorithm goes
    /// before.
    #[must_use]
    pub fn new(preferred: KeyAlgorithm, keys: Vec<ScheduledKey>) -> Self {
        let jwks = JwkSet { keys: keys.iter().filter_map(|scheduled| scheduled.key.jwk.clone()).collect() };
        let verifying = keys.iter().map(|scheduled| &*scheduled.key);
        let verifying = verifying.map(|key| (key.id.as_str().to_owned(), key.verifying.clone())).collect();
        // Serialising plain strings does not fail; an empty set would be refused by every client at once.
        let jwks = serde_json::to_string(&jwks).unwrap_or_else(|_| r#"{"keys":[]}"#.to_owned());
        Self { preferred, scheduled: keys, verifying, jwks }
    }

    /// A set of one key, which signs and verifies.
    #[must_use]
    pub fn single(key: SigningKey) -> Self {
        let algorithm = key.algorithm;
        Self::new(algorithm, vec![ScheduledKey { key: Arc::new(key), signs_from: Timestamp::from_unix_micros(0) }])
    }

    /// A set for verifying alone.
    pub(super) fn verifying(keys: HashMap<String, VerifyingKey>) -> Self {
        Self { preferred: KeyAlgorithm::default(), scheduled: Vec::new(), verifying: keys, jwks: String::new() }
    }

    /// The key that signs at this moment.
    pub(super) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        let newest = |algorithm: Option<KeyAlgorithm>| {
            self.scheduled
                .iter()
                .filter(|scheduled| scheduled.signs_from <= now)
                .filter(|scheduled| algorithm.is_none_or(|algorithm| scheduled.key.algorithm == algorithm))
                .max_by_key(|scheduled| scheduled.signs_from)
        };
        let scheduled = newest(Some(self.preferred)).or_else(|| newest(None));
        // A clock that goes back is no reason to stop signing.
        let earliest = || self.scheduled.iter().min_by_key(|scheduled| scheduled.signs_from);
        scheduled.or_else(earliest).map(|scheduled| &*scheduled.key)
    }

    /// The key of this name, where it is one that can sign.
    pub(super) fn find(&self, id: &KeyId) -> Option<Arc<SigningKey>> {
        self.scheduled.iter().find(|scheduled| scheduled.key.id == *id).map(|scheduled| Arc::clone(&scheduled.key))
    }

    /// Whether a token with this `kid` can be verified.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.verifying.contains_key(kid)
    }

    /// Whether both verify with the same keys. A `kid` names one key for ever, being its digest.
    pub(super) fn has_same_keys(&self, other: &Self) -> bool {
        self.verifying.len() == other.verifying.len() && self.verifying.keys().all(|kid| other.knows(kid))
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.scheduled).finish_non_exhaustive()
    }
}

pub(super) const fn to_jwa(algorithm: KeyAlgorithm) -> Algorithm {
    match algorithm {
        KeyAlgorithm::EdDsa => Algorithm::EdDSA,
        KeyAlgorithm::Es256 => Algorithm::ES256,
        KeyAlgorithm::Rs256 => Algorithm::RS256,
        KeyAlgorithm::Hs256 => Algorithm::HS256,
    }
}

/// Makes sure that `jsonwebtoken` has a cryptographic back end, which it keeps for the whole process and
/// without which it panics.
///
/// The back end that this crate was built with is installed unless the host has installed one before.
pub(super) fn ensure_provider() -> Result<(), TokenError> {
    #[cfg(feature = "aws_lc_rs")]
    let installed = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    #[cfg(all(feature = "rust_crypto", not(feature = "aws_lc_rs")))]
    let installed = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
    #[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
    if installed.is_ok() {
        return Ok(());
    }
    // Somebody else's choice stands. It is tried, since an unsuitable one announces itself by a panic alone.
    catch_unwind(|| {
        jsonwebtoken::crypto::sign(b"doorward", &EncodingKey::from_secret(&[0; 32]), Algorithm::HS256).is_ok()
    })
    .ok()
    .filter(|works| *works)
    .map(|_| ())
    .ok_or(TokenError::NoProvider)
}
