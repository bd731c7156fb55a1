//! Signing keys.

use std::sync::Arc;

use doorward_domain::{KeyAlgorithm, KeyId, SealedKey, Store};

use super::{NOW, Outcome, after, count_true, crowd, must};

/// Of many nodes that start at once, one makes the first key of an algorithm; all then read the same.
pub async fn the_first_key_is_made_once(store: Arc<dyn Store>) -> Outcome {
    let writer = Arc::clone(&store);
    let made = crowd(move |n| {
        let store = Arc::clone(&writer);
        async move {
            let key = SealedKey {
                id: KeyId::new(format!("key-{n}")),
                algorithm: KeyAlgorithm::EdDsa,
                sealed: vec![0, 255, 7],
                created_at: NOW,
            };
            let mut unit = store.write().await?;
            let made = unit.keys().insert_first(&key).await?;
            unit.commit().await?;
            Ok(made)
        }
    })
    .await?;
    must!(count_true(&made) == 1, "{} first keys were made", count_true(&made));
    let other = SealedKey {
        id: KeyId::new("other".to_owned()),
        algorithm: KeyAlgorithm::Es256,
        sealed: vec![1],
        created_at: after(1),
    };
    let mut unit = store.write().await?;
    must!(unit.keys().insert_first(&other).await?, "another algorithm has a first key of its own");
    unit.commit().await?;
    let keys = store.read().await?.keys().all().await?;
    must!(keys.len() == 2 && keys.last() == Some(&other), "the keys are {keys:?}");
    Ok(())
}
