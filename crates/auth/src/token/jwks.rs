use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::KeyAlgorithm;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm as JwkAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use super::TokenError;
use super::keys::{KeySet, SharedSecret, SigningKey, VerifyingKey, ensure_provider};

/// The length of an Ed25519 public key, in bytes (RFC 8032 section 5.1.5).
const ED25519_LENGTH: usize = 32;
/// More keys than any issuer has at once.
const MOST_KEYS: usize = 64;

/// Why a JWK Set (RFC 7517 section 5) cannot be used.
#[derive(Debug, Error)]
pub enum InvalidJwks {
    /// It is not one.
    #[error("the key set cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// It holds far too many keys.
    #[error("the key set holds more than {MOST_KEYS} keys")]
    TooManyKeys,
    /// There is no cryptographic back end.
    #[error(transparent)]
    Provider(#[from] TokenError),
}

#[derive(Deserialize)]
struct WireSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// The verifying keys that an issuer publishes.
    ///
    /// A key that cannot be understood, is not for signatures, is symmetric, or has no `kid` is left out, as RFC 7517
    /// section 5 asks; so is one whose `kid` another one has.
    ///
    /// # Errors
    ///
    /// [`InvalidJwks`] when the text is no set at all.
    pub fn from_jwks(json: &str) -> Result<Self, InvalidJwks> {
        ensure_provider()?;
        let set: WireSet = serde_json::from_str(json).map_err(InvalidJwks::Unreadable)?;
        if set.keys.len() > MOST_KEYS {
            return Err(InvalidJwks::TooManyKeys);
        }
        let mut keys: HashMap<String, Option<VerifyingKey>> = HashMap::new();
        for key in set.keys {
            let jwk = serde_json::from_value::<Jwk>(key).ok();
            let Some((kid, key)) = jwk.and_then(|jwk| verifying(&jwk)) else { continue };
            let taken = keys.contains_key(&kid);
            keys.insert(kid, (!taken).then_some(key));
        }
        Ok(Self::verifying(keys.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect()))
    }

    /// The key of services that verify with a shared secret.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when no cryptographic back end is installed.
    pub fn from_shared_secret(secret: &SharedSecret) -> Result<Self, TokenError> {
        SigningKey::from_shared_secret(secret).map(Self::single)
    }
}

/// The one algorithm that a published key is for, and the key.
fn verifying(jwk: &Jwk) -> Option<(String, VerifyingKey)> {
    let kid = jwk.common.key_id.clone().filter(|kid| !kid.is_empty())?;
    let for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && jwk.common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (KeyAlgorithm::EdDsa, JwkAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (KeyAlgorithm::Es256, JwkAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (KeyAlgorithm::Rs256, JwkAlgorithm::RS256),
        _ => return None,
    };
    // A key of another length is taken and never verifies anything.
    if let AlgorithmParameters::OctetKeyPair(key) = &jwk.algorithm {
        URL_SAFE_NO_PAD.decode(&key.x).ok().filter(|x| x.len() == ED25519_LENGTH)?;
    }
    let same_algorithm = jwk.common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let decoding = DecodingKey::from_jwk(jwk).ok().filter(|_| for_signatures && same_algorithm)?;
    Some((kid, VerifyingKey { algorithm, decoding }))
}

#[cfg(test)]
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::CountingEntropy;
    use crate::token::generate::private_key;

    fn published(algorithm: KeyAlgorithm) -> (String, Value) {
        let der = private_key(algorithm, &CountingEntropy::starting_at(1)).unwrap();
        let set = KeySet::single(SigningKey::from_private_der(algorithm, &der).unwrap());
        let set: Value = serde_json::from_str(&set.jwks).unwrap();
        let key = set["keys"][0].clone();
        (key["kid"].as_str().unwrap().to_owned(), key)
    }

    fn read(keys: &[Value]) -> KeySet {
        KeySet::from_jwks(&json!({ "keys": keys }).to_string()).unwrap()
    }

    fn with(key: &Value, member: &str, value: Value) -> Value {
        let mut changed = key.clone();
        changed[member] = value;
        changed
    }

    #[test]
    fn what_is_published_is_understood() {
        for algorithm in [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256, KeyAlgorithm::Rs256] {
            let (kid, key) = published(algorithm);
            let set = read(std::slice::from_ref(&key));
            assert_eq!(set.verifying[&kid].algorithm, algorithm);
            for harmless in [
                with(&key, "alg", json!(algorithm.as_str())),
                with(&key, "key_ops", json!(["verify"])),
                with(&key, "x5t", json!("a")),
            ] {
                assert!(read(std::slice::from_ref(&harmless)).knows(&kid), "{harmless}");
            }
        }
    }

    #[test]
    fn a_key_for_something_else_is_left_out_and_spoils_no_other() {
        let (good_kid, good) = published(KeyAlgorithm::Es256);
        let (kid, key) = published(KeyAlgorithm::EdDsa);
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "kid": kid, "alg": "HS256"});
        for bad in [
            with(&key, "use", json!("enc")),
            with(&key, "key_ops", json!(["sign"])),
            with(&key, "alg", json!("ES256")),
            with(&key, "alg", json!("HS256")),
            with(&key, "crv", json!("X25519")),
            with(&key, "kty", json!("new")),
            with(&key, "kid", json!("")),
            with(&key, "x", json!("AA")),
            secret,
            json!({"kid": kid}),
            json!(7),
        ] {
            let set = read(&[bad.clone(), good.clone()]);
            assert!(set.knows(&good_kid) && !set.knows(&kid), "{bad}");
        }
    }

    #[test]
    fn a_kid_that_names_two_keys_names_none() {
        let (kid, key) = published(KeyAlgorithm::EdDsa);
        let (_, other) = published(KeyAlgorithm::Es256);
        let impostor = with(&other, "kid", json!(kid));
        for keys in [vec![key.clone(), impostor.clone()], vec![impostor.clone(), key.clone(), impostor]] {
            assert!(!read(&keys).knows(&kid));
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys": {}}"#, "<html>"] {
            assert!(matches!(KeySet::from_jwks(text), Err(InvalidJwks::Unreadable(_))), "{text}");
        }
        let (_, key) = published(KeyAlgorithm::EdDsa);
        let many = json!({ "keys": vec![key; MOST_KEYS + 1] }).to_string();
        assert!(matches!(KeySet::from_jwks(&many), Err(InvalidJwks::TooManyKeys)));
    }
}
