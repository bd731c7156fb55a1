use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use doorward_domain::{Entropy, EntropyUnavailable};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// The one secret that an installation is built on, 256 bits. Every other key is derived from it for one
/// purpose each (HMAC-SHA-256 as the pseudorandom function of NIST SP 800-108), so that no two uses can be turned against each other.
///
/// It does not print, does not serialise and is wiped when dropped. Whoever holds it and the database can
/// sign access tokens; whoever loses it loses every session.
pub struct MasterKey(Zeroizing<[u8; MasterKey::LENGTH]>);

/// Why a text is not a [`MasterKey`]. Never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidMasterKey {
    /// Not base64, or not of the right length.
    #[error("must be {} random bytes in base64, as `openssl rand -base64 32` prints them", MasterKey::LENGTH)]
    Malformed,
    /// Far too regular to be random.
    #[error("is not random; make one with `openssl rand -base64 32`")]
    Placeholder,
}

impl MasterKey {
    /// The length in bytes.
    pub const LENGTH: usize = 32;
    /// 32 random bytes have fewer than 20 distinct values less than once in 10^9 keys.
    const LEAST_DISTINCT_BYTES: usize = 20;

    /// A fresh key.
    ///
    /// # Errors
    ///
    /// [`EntropyUnavailable`] when the source of randomness gives nothing.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        entropy.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Reads a key from its base64 form (RFC 4648 section 4, padded).
    ///
    /// # Errors
    ///
    /// [`InvalidMasterKey`], which a placeholder such as `changeme` or 32 zero bytes gets as well.
    pub fn from_base64(text: &SecretString) -> Result<Self, InvalidMasterKey> {
        let decoded =
            Zeroizing::new(STANDARD.decode(text.expose_secret().as_bytes()).map_err(|_| InvalidMasterKey::Malformed)?);
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        if decoded.len() != bytes.len() {
            return Err(InvalidMasterKey::Malformed);
        }
        bytes.copy_from_slice(&decoded);
        let mut distinct = decoded;
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < Self::LEAST_DISTINCT_BYTES {
            return Err(InvalidMasterKey::Placeholder);
        }
        Ok(Self(bytes))
    }

    /// The base64 form, for the file that `doorward dev` keeps it in.
    #[must_use]
    pub fn to_base64(&self) -> SecretString {
        SecretString::from(STANDARD.encode(self.0.as_slice()))
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(keyed_digest(&self.0, purpose.as_bytes()))
    }
}

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn keyed_digest(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    keyed_digest_of(key, message)
}

/// The same with a key of any length.
pub(crate) fn keyed_digest_of(key: &[u8], message: &[u8]) -> [u8; 32] {
    // RFC 2104 hashes a key that is longer than a block and pads others with zeros; doing it here keeps the constructor
    // infallible.
    let mut block = Zeroizing::new([0; 64]);
    if let Some(start) = block.get_mut(..key.len()) {
        start.copy_from_slice(key);
    } else {
        block.split_at_mut(32).0.copy_from_slice(&Sha256::digest(key));
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
    mac.update(message);
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Encrypts what must be read back later, so that the database alone gives nothing away.
///
/// XChaCha20-Poly1305 with a random 192 bit nonce in front. The label (owner and purpose) is authenticated, so
/// a sealed value that is moved to another row does not open.
pub struct Sealer(XChaCha20Poly1305);

/// Why a value was not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// It does not open: another master key, another label, or a changed value.
    #[error("the value was not sealed with this master key under this label")]
    NotOpened,
    /// It is too long to be sealed, above 256 GiB.
    #[error("the value is too long to be sealed")]
    TooLong,
    /// There was no randomness for the nonce.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}

impl Sealer {
    const NONCE_LENGTH: usize = 24;

    /// A sealer whose key comes from the master key.
    #[must_use]
    pub fn new(master: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new((&*master.derive("doorward/seal/v1")).into()))
    }

    /// Seals a value under a label.
    ///
    /// # Errors
    ///
    /// [`SealError::Entropy`] when there is no randomness for the nonce.
    pub fn seal(&self, label: &str, value: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; Self::NONCE_LENGTH];
        entropy.fill(&mut nonce)?;
        let payload = Payload { msg: value, aad: label.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::TooLong)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a value that was sealed under this label.
    ///
    /// # Errors
    ///
    /// [`SealError::NotOpened`] when it was not.
    pub fn open(&self, label: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, sealed) = sealed.split_first_chunk::<{ Self::NONCE_LENGTH }>().ok_or(SealError::NotOpened)?;
        let payload = Payload { msg: sealed, aad: label.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map(Zeroizing::new).map_err(|_| SealError::NotOpened)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::MockEntropy;

    use super::*;

    fn entropy(seed: u8) -> MockEntropy {
        let mut entropy = MockEntropy::new();
        entropy.expect_fill().returning(move |bytes| {
            for (n, byte) in bytes.iter_mut().enumerate() {
                *byte = seed.wrapping_add(u8::try_from(n).unwrap());
            }
            Ok(())
        });
        entropy
    }

    #[test]
    fn a_value_opens_under_its_label_and_key_alone() {
        let sealer = Sealer::new(&MasterKey::generate(&entropy(1)).unwrap());
        let sealed = sealer.seal("key:a", b"private", &entropy(9)).unwrap();
        assert_eq!(sealer.open("key:a", &sealed).unwrap().as_slice(), b"private");
        assert!(!sealed.windows(7).any(|w| w == b"private"));

        assert_eq!(sealer.open("key:b", &sealed), Err(SealError::NotOpened));
        let other = Sealer::new(&MasterKey::generate(&entropy(2)).unwrap());
        assert_eq!(other.open("key:a", &sealed), Err(SealError::NotOpened));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(sealer.open("key:a", &changed), Err(SealError::NotOpened), "byte {at}");
        }
        assert_eq!(sealer.open("key:a", &[]), Err(SealError::NotOpened));
    }

    #[test]
    fn a_master_key_is_32_random_bytes() {
        let key = MasterKey::generate(&entropy(3)).unwrap();
        assert!(MasterKey::from_base64(&key.to_base64()).is_ok());
        for (text, refused) in [
            ("changeme", InvalidMasterKey::Malformed),
            ("", InvalidMasterKey::Malformed),
            ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", InvalidMasterKey::Placeholder),
            ("Y2hhbmdlbWVjaGFuZ2VtZWNoYW5nZW1lY2hhbmdlbWU=", InvalidMasterKey::Placeholder),
            ("c2hvcnQ=", InvalidMasterKey::Malformed),
        ] {
            assert_eq!(MasterKey::from_base64(&text.to_owned().into()).err(), Some(refused), "{text}");
        }
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let key = MasterKey::generate(&entropy(4)).unwrap();
        assert_ne!(key.derive("a"), key.derive("b"));
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
    }
}
