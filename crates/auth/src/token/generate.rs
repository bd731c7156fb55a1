//! Making private keys, with the cryptographic back end that was chosen.
//!
//! Ed25519 keys are plain random bytes and come from the [`Entropy`] port. The back ends make the others; they
//! draw from the operating system by themselves.

use doorward_domain::{Entropy, KeyAlgorithm};
use zeroize::Zeroizing;

use super::TokenError;

/// RFC 8410 section 7: a PKCS #8 frame around a 32 byte Ed25519 private key.
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A new private key in the form that `jsonwebtoken` reads: PKCS #8 for EdDSA and ES256, PKCS #1 for RS256.
pub(super) fn private_key(algorithm: KeyAlgorithm, entropy: &dyn Entropy) -> Result<Zeroizing<Vec<u8>>, TokenError> {
    match algorithm {
        KeyAlgorithm::EdDsa => {
            let mut key = Zeroizing::new(ED25519_PKCS8_PREFIX.to_vec());
            let mut seed = Zeroizing::new([0; 32]);
            entropy.fill(seed.as_mut_slice())?;
            key.extend_from_slice(seed.as_slice());
            Ok(key)
        }
        KeyAlgorithm::Es256 => backend::p256().ok_or(TokenError::KeyGeneration(algorithm)),
        KeyAlgorithm::Rs256 => backend::rsa_3072().ok_or(TokenError::KeyGeneration(algorithm)),
        KeyAlgorithm::Hs256 => Err(TokenError::MissingSecret),
    }
}

#[cfg(feature = "aws_lc_rs")]
mod backend {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RsaKeyPair};
    use zeroize::Zeroizing;

    pub(super) fn p256() -> Option<Zeroizing<Vec<u8>>> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
        let der = pair.to_pkcs8v1().ok()?;
        Some(Zeroizing::new(der.as_ref().to_vec()))
    }

    pub(super) fn rsa_3072() -> Option<Zeroizing<Vec<u8>>> {
        let pair = RsaKeyPair::generate(KeySize::Rsa3072).ok()?;
        let pkcs8: Pkcs8V1Der<'static> = pair.as_der().ok()?;
        // The PKCS #1 key is the payload of the PKCS #8 frame.
        let frame = pkcs8::PrivateKeyInfoRef::try_from(pkcs8.as_ref()).ok()?;
        Some(Zeroizing::new(frame.private_key.as_bytes().to_vec()))
    }
}

#[cfg(all(feature = "rust_crypto", not(feature = "aws_lc_rs")))]
mod backend {
    use p256::pkcs8::EncodePrivateKey;
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::rand_core::OsRng;
    use zeroize::Zeroizing;

    pub(super) fn p256() -> Option<Zeroizing<Vec<u8>>> {
        let key = p256::SecretKey::random(&mut OsRng);
        Some(Zeroizing::new(key.to_pkcs8_der().ok()?.as_bytes().to_vec()))
    }

    pub(super) fn rsa_3072() -> Option<Zeroizing<Vec<u8>>> {
        let key = rsa::RsaPrivateKey::new(&mut OsRng, 3072).ok()?;
        Some(Zeroizing::new(key.to_pkcs1_der().ok()?.as_bytes().to_vec()))
    }
}

#[cfg(not(any(feature = "aws_lc_rs", feature = "rust_crypto")))]
mod backend {
    use zeroize::Zeroizing;

    pub(super) fn p256() -> Option<Zeroizing<Vec<u8>>> {
        None
    }

    pub(super) fn rsa_3072() -> Option<Zeroizing<Vec<u8>>> {
        None
    }
}
