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

#[cfg(test)]
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod tests {
    use doorward_domain::KeyId;
    use doorward_domain::store::MockUnit;
    use secrecy::SecretString;

    use super::*;
    use crate::MasterKey;
    use crate::testing::{CountingEntropy, NOW, Seen, TestStore, Time, collision, master_key};

    const MADE: [KeyAlgorithm; 3] = [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256, KeyAlgorithm::Rs256];

    async fn start(
        store: &TestStore,
        seed: u64,
        master: &MasterKey,
        algorithm: KeyAlgorithm,
        secret: Option<&SharedSecret>,
    ) -> Result<KeySet, Fault> {
        let entropy = CountingEntropy::starting_at(seed);
        provision_keys(store, &Time::at(NOW).clock(), &entropy, &Sealer::new(master), algorithm, secret).await
    }

    /// A unit that reads the keys that are stored by then.
    fn reading(stored: &Seen<SealedKey>) -> MockUnit {
        let mut unit = MockUnit::default();
        let stored = stored.clone();
        unit.keys.expect_all().times(1).returning(move || Ok(stored.all()));
        unit
    }

    /// A unit that stores a key: the one that it is given, unless another node has stored `earlier`.
    fn inserting(stored: &Seen<SealedKey>, earlier: Option<SealedKey>) -> MockUnit {
        let mut unit = MockUnit::default();
        let stored = stored.clone();
        unit.keys.expect_insert_first().times(1).returning(move |key| {
            stored.note(earlier.clone().unwrap_or_else(|| key.clone()));
            Ok(earlier.is_none())
        });
        unit
    }

    /// The key that the first start with this seed makes and stores.
    async fn first_start(seed: u64, algorithm: KeyAlgorithm) -> (KeySet, SealedKey) {
        let (store, stored) = (TestStore::default(), Seen::default());
        store.plan_read(reading(&stored));
        let written = store.plan_write(inserting(&stored, None));
        store.plan_read(reading(&stored));
        let keys = start(&store, seed, &master_key(), algorithm, None).await.unwrap();
        assert!(written.yes());
        (keys, stored.only())
    }

    /// A start that finds this key.
    async fn later_start(key: SealedKey, master: &MasterKey, algorithm: KeyAlgorithm) -> Result<KeySet, Fault> {
        let (store, stored) = (TestStore::default(), Seen::default());
        stored.note(key);
        store.plan_read(reading(&stored));
        start(&store, 5_000, master, algorithm, None).await
    }

    fn shared_secret() -> SharedSecret {
        SharedSecret::parse(&SecretString::from("a shared text of more than thirty-two bytes".to_owned())).unwrap()
    }

    #[pollster::test]
    async fn the_first_start_makes_a_key_and_later_ones_load_it() {
        for algorithm in MADE {
            let (made, stored) = first_start(1, algorithm).await;
            assert_eq!((stored.algorithm, stored.created_at), (algorithm, NOW));
            assert_eq!(made.signing.id(), &stored.id);
            let readable = SigningKey::from_private_der(algorithm, &stored.sealed);
            assert!(readable.is_err(), "{algorithm}: the stored key is not sealed");

            let loaded = later_start(stored.clone(), &master_key(), algorithm).await.unwrap();
            assert_eq!(loaded.signing.id(), &stored.id);
            assert_eq!(loaded.jwks, made.jwks);
        }
    }

    #[pollster::test]
    async fn another_master_key_opens_no_signing_key() {
        let (_, stored) = first_start(1, KeyAlgorithm::EdDsa).await;
        let other = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();

        let outcome = later_start(stored.clone(), &other, KeyAlgorithm::EdDsa).await;

        let Err(Fault::Token(TokenError::SealedKey { id, .. })) = outcome else { panic!("{outcome:?}") };
        assert_eq!(id, stored.id.as_str());
    }

    #[pollster::test]
    async fn a_sealed_key_opens_under_its_own_id_and_algorithm_alone() {
        let (_, stored) = first_start(1, KeyAlgorithm::EdDsa).await;
        let (_, other) = first_start(2, KeyAlgorithm::EdDsa).await;
        for moved in [
            SealedKey { id: other.id, ..stored.clone() },
            SealedKey { id: KeyId::new(String::new()), ..stored.clone() },
            SealedKey { sealed: other.sealed, ..stored.clone() },
            SealedKey { sealed: Vec::new(), ..stored.clone() },
        ] {
            let outcome = later_start(moved, &master_key(), KeyAlgorithm::EdDsa).await;
            assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedKey { .. }))), "{outcome:?}");
        }
        let relabelled = SealedKey { algorithm: KeyAlgorithm::Es256, ..stored };
        let outcome = later_start(relabelled, &master_key(), KeyAlgorithm::Es256).await;
        assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedKey { .. }))), "{outcome:?}");
    }

    #[pollster::test]
    async fn of_two_nodes_that_start_at_once_both_use_the_key_that_was_stored() {
        let (other_node, earlier) = first_start(2, KeyAlgorithm::EdDsa).await;
        let (store, stored) = (TestStore::default(), Seen::default());
        store.plan_read(reading(&stored));
        store.plan_write(inserting(&stored, Some(earlier)));
        store.plan_read(reading(&stored));

        let keys = start(&store, 1, &master_key(), KeyAlgorithm::EdDsa, None).await.unwrap();

        assert_eq!(keys.signing.id(), other_node.signing.id());
        assert_eq!(keys.jwks, other_node.jwks);
    }

    #[pollster::test]
    async fn a_collision_stores_the_key_again() {
        let (store, stored) = (TestStore::default(), Seen::default());
        store.plan_read(reading(&stored));
        let mut collided = MockUnit::default();
        collided.keys.expect_insert_first().times(1).returning(|_| Err(collision()));
        let undone = store.plan_write(collided);
        let written = store.plan_write(inserting(&stored, None));
        store.plan_read(reading(&stored));

        let keys = start(&store, 1, &master_key(), KeyAlgorithm::EdDsa, None).await.unwrap();

        assert!(!undone.yes() && written.yes());
        assert_eq!(keys.signing.id(), &stored.only().id);
    }

    #[pollster::test]
    async fn a_key_of_another_algorithm_goes_on_verifying() {
        let (_, old) = first_start(1, KeyAlgorithm::Es256).await;
        let (store, stored) = (TestStore::default(), Seen::default());
        stored.note(old.clone());
        store.plan_read(reading(&stored));
        store.plan_write(inserting(&stored, None));
        store.plan_read(reading(&stored));

        let keys = start(&store, 2, &master_key(), KeyAlgorithm::EdDsa, None).await.unwrap();

        assert_eq!(keys.signing.algorithm, KeyAlgorithm::EdDsa);
        assert_eq!(keys.verifying.len(), 2);
        assert!(keys.verifying.contains_key(old.id.as_str()));
    }

    #[pollster::test]
    async fn hs256_needs_its_secret_and_stores_nothing() {
        let (store, stored) = (TestStore::default(), Seen::default());
        store.plan_read(reading(&stored));
        let outcome = start(&store, 1, &master_key(), KeyAlgorithm::Hs256, None).await;
        assert!(matches!(outcome, Err(Fault::Token(TokenError::MissingSecret))), "{outcome:?}");

        store.plan_read(reading(&stored));
        let keys = start(&store, 1, &master_key(), KeyAlgorithm::Hs256, Some(&shared_secret())).await.unwrap();
        assert_eq!(keys.signing.algorithm, KeyAlgorithm::Hs256);
        assert!(stored.all().is_empty());
    }

    #[pollster::test]
    async fn nothing_secret_is_published() {
        for algorithm in MADE {
            let (public, old) = first_start(1, algorithm).await;
            let (store, stored) = (TestStore::default(), Seen::default());
            stored.note(old);
            store.plan_read(reading(&stored));
            let secret = shared_secret();
            let shared = start(&store, 1, &master_key(), KeyAlgorithm::Hs256, Some(&secret)).await.unwrap();
            for keys in [public, shared] {
                let set: serde_json::Value = serde_json::from_str(&keys.jwks).unwrap();
                let published = set["keys"].as_array().unwrap();
                assert_eq!(published.len(), 1, "{}", keys.jwks);
                assert_ne!(published[0]["kty"], "oct");
                for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(published[0].get(member).is_none(), "{algorithm}: {member}");
                }
            }
        }
    }
}
