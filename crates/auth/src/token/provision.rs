use doorward_domain::{Clock, Entropy, KeyAlgorithm, SealedKey, Store};
use zeroize::Zeroizing;

use super::TokenError;
use super::generate::private_key;
use super::keys::{KeySet, SharedSecret, SigningKey};
use crate::unit::retrying;
use crate::{Fault, Sealer};

/// Loads the signing keys of an installation, making the first key of `algorithm` when there is none.
///
/// Any number of nodes may do so at once on an empty database: all end up with the same key. Keys of another
/// algorithm, from before the configuration changed, go on verifying. With HS256 the shared secret signs and
/// verifies, and nothing is made or stored.
///
/// # Errors
///
/// [`Fault::Token`] when a stored key does not open with this master key, or no key can be made.
pub async fn provision_keys(
    store: &dyn Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    sealer: &Sealer,
    algorithm: KeyAlgorithm,
    shared_secret: Option<&SharedSecret>,
) -> Result<KeySet, Fault> {
    let mut stored = load(store).await?;
    if algorithm == KeyAlgorithm::Hs256 {
        let secret = shared_secret.ok_or(TokenError::MissingSecret)?;
        let others = open_all(&stored, sealer)?;
        return Ok(KeySet::new(SigningKey::from_shared_secret(secret)?, &others));
    }
    if !stored.iter().any(|key| key.algorithm == algorithm) {
        let der = private_key(algorithm, entropy)?;
        let id = SigningKey::from_private_der(algorithm, &der)?.id;
        let sealed = sealer.seal(&label(id.as_str(), algorithm), &der, entropy).map_err(TokenError::Seal)?;
        let key = SealedKey { id, algorithm, sealed, created_at: clock.now() };
        retrying(|| async {
            let mut unit = store.write().await?;
            // Where another node was faster, its key is the one that both load.
            unit.keys().insert_first(&key).await?;
            Ok(unit.commit().await?)
        })
        .await?;
        stored = load(store).await?;
    }
    let mut keys = open_all(&stored, sealer)?;
    let newest = keys.iter().rposition(|key| key.algorithm == algorithm);
    let signing = newest.map(|at| keys.remove(at)).ok_or(TokenError::KeyGeneration(algorithm))?;
    Ok(KeySet::new(signing, &keys))
}

async fn load(store: &dyn Store) -> Result<Vec<SealedKey>, Fault> {
    Ok(store.read().await?.keys().all().await?)
}

fn open_all(stored: &[SealedKey], sealer: &Sealer) -> Result<Vec<SigningKey>, TokenError> {
    stored
        .iter()
        .map(|key| {
            let id = || key.id.as_str().to_owned();
            let der: Zeroizing<Vec<u8>> = sealer
                .open(&label(key.id.as_str(), key.algorithm), &key.sealed)
                .map_err(|source| TokenError::SealedKey { id: id(), source })?;
            let opened = SigningKey::from_private_der(key.algorithm, &der)?;
            if opened.id == key.id {
                Ok(opened)
            } else {
                Err(TokenError::UnusableKey { id: id(), algorithm: key.algorithm, source: None })
            }
        })
        .collect()
}

/// What a sealed key is bound to.
fn label(id: &str, algorithm: KeyAlgorithm) -> String {
    format!("signing-key/{algorithm}/{id}")
}
