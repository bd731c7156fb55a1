//! What is kept sealed.

use std::sync::Arc;

use doorward_domain::store::RevocationPosition;
use doorward_domain::{KeyAlgorithm, KeyId, Revocation, SealedKey, SealedSecret, Store};

use super::{NOW, Outcome, Violation, after, count_true, crowd, must};

fn key(id: &str, algorithm: KeyAlgorithm) -> SealedKey {
    SealedKey {
        id: KeyId::new(id.to_owned()),
        algorithm,
        sealed: vec![0, 255, 7],
        created_at: NOW,
        signs_from: after(60),
    }
}

fn secret(name: &str, sealed: u8) -> SealedSecret {
    SealedSecret { name: name.to_owned(), sealed: vec![sealed] }
}

async fn inserted(store: &dyn Store, key: &SealedKey, follows: Option<&KeyId>) -> Result<bool, Violation> {
    let mut unit = store.write().await?;
    let inserted = unit.keys().insert(key, follows.cloned()).await?;
    unit.commit().await?;
    Ok(inserted)
}

async fn how_often_changed(store: &dyn Store) -> Result<usize, Violation> {
    let (records, _) = store.read().await?.revocations().since(RevocationPosition::START).await?;
    Ok(records.iter().filter(|record| record.revocation == Revocation::KeysChanged).count())
}

/// Of many nodes that make a key at once, one makes the first of an algorithm, and one makes the successor of each.
pub async fn a_key_is_followed_by_one(store: Arc<dyn Store>) -> Outcome {
    let mut follows = None;
    for generation in 0..3_u64 {
        let (writer, before) = (Arc::clone(&store), follows.clone());
        let made = crowd(move |n| {
            let (store, before) = (Arc::clone(&writer), before.clone());
            async move {
                let mut key = key(&format!("key-{generation}-{n}"), KeyAlgorithm::EdDsa);
                key.created_at = after(generation);
                let mut unit = store.write().await?;
                let made = unit.keys().insert(&key, before).await?;
                unit.commit().await?;
                Ok(made)
            }
        })
        .await?;
        must!(count_true(&made) == 1, "{} keys of generation {generation} were made", count_true(&made));
        let keys = store.read().await?.keys().all().await?;
        follows = keys.last().map(|key| key.id.clone());
    }
    let other = SealedKey { created_at: after(9), ..key("other", KeyAlgorithm::Es256) };
    must!(inserted(&*store, &other, None).await?, "another algorithm has a first key of its own");
    let keys = store.read().await?.keys().all().await?;
    must!(keys.len() == 4 && keys.last() == Some(&other), "the keys are {keys:?}");
    Ok(())
}

/// A key that is published can be made to sign earlier, and one that signs is left alone.
pub async fn a_published_key_signs_earlier(store: Arc<dyn Store>) -> Outcome {
    let published = key("a", KeyAlgorithm::EdDsa);
    inserted(&*store, &published, None).await?;
    for (moment, algorithm, expected) in [
        (after(30), KeyAlgorithm::Es256, false),
        (after(30), KeyAlgorithm::EdDsa, true),
        (after(40), KeyAlgorithm::EdDsa, false),
    ] {
        let mut unit = store.write().await?;
        let changed = unit.keys().sign_from(&published.id, algorithm, moment, moment).await?;
        unit.commit().await?;
        must!(changed == expected, "a key was made to sign at {moment:?}: {changed}");
    }
    let keys = store.read().await?.keys().all().await?;
    must!(keys.iter().all(|key| key.signs_from == after(30)), "the keys are {keys:?}");
    Ok(())
}

/// A removed key is gone, a resealed one has another seal, and every change is named.
pub async fn a_change_of_keys_is_named(store: Arc<dyn Store>) -> Outcome {
    let (first, second) = (key("a", KeyAlgorithm::EdDsa), key("b", KeyAlgorithm::EdDsa));
    inserted(&*store, &first, None).await?;
    inserted(&*store, &second, Some(&first.id)).await?;
    must!(!inserted(&*store, &key("c", KeyAlgorithm::EdDsa), Some(&first.id)).await?, "a key was followed twice");
    must!(how_often_changed(&*store).await? == 2, "what was added is not named once each");

    let mut unit = store.write().await?;
    let nobody = KeyId::new("nobody".to_owned());
    must!(unit.keys().reseal(&second.id, &[9], after(1)).await?, "a key was not sealed anew");
    must!(!unit.keys().reseal(&nobody, &[9], after(1)).await?, "a key that there is not was sealed anew");
    must!(unit.keys().remove(&first.id, after(1)).await?, "a key was not removed");
    must!(!unit.keys().remove(&nobody, after(1)).await?, "a key that there is not was removed");
    unit.commit().await?;

    let keys = store.read().await?.keys().all().await?;
    must!(keys == [SealedKey { sealed: vec![9], ..second }], "the keys are {keys:?}");
    must!(how_often_changed(&*store).await? == 4, "what was changed is not named once each");
    Ok(())
}

/// Of many nodes that make a secret at once, one does; it can be sealed anew.
pub async fn a_secret_is_made_once(store: Arc<dyn Store>) -> Outcome {
    let writer = Arc::clone(&store);
    let made = crowd(move |n| {
        let store = Arc::clone(&writer);
        async move {
            let mut unit = store.write().await?;
            let made = unit.keys().insert_secret(&secret("root", u8::try_from(n).unwrap_or(0))).await?;
            unit.commit().await?;
            Ok(made)
        }
    })
    .await?;
    must!(count_true(&made) == 1, "{} secrets were made", count_true(&made));
    let mut unit = store.write().await?;
    must!(unit.keys().insert_secret(&secret("other", 1)).await?, "another secret was not added");
    must!(unit.keys().reseal_secret(&secret("root", 200)).await?, "a secret was not sealed anew");
    must!(!unit.keys().reseal_secret(&secret("nobody", 200)).await?, "a secret that there is not was sealed anew");
    unit.commit().await?;
    let mut unit = store.write().await?;
    let held = unit.keys().hold_secrets().await?;
    drop(unit);
    let secrets = store.read().await?.keys().secrets().await?;
    must!(held == secrets, "{held:?} were held of {secrets:?}");
    must!(secrets == [secret("other", 1), secret("root", 200)], "the secrets are {secrets:?}");
    Ok(())
}
