use doorward_domain::{Client, Clock, Entropy, EventId, EventKind, SealedSecret, SecurityEvent, Store};

use super::TokenError;
use super::signing_keys::label;
use crate::root_secret;
use crate::unit::retrying;
use crate::{Fault, Sealer};

/// Seals everything that an installation keeps sealed with another master key, all of it or nothing. Says how many
/// values that were.
///
/// Nothing but the seals changes: every token goes on being valid. Nodes that run go on with what they have opened;
/// they are to be started again with the other master key.
///
/// # Errors
///
/// [`Fault::Token`] when something does not open with the old master key.
pub async fn reseal(
    store: &dyn Store,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
    old: &Sealer,
    new: &Sealer,
) -> Result<usize, Fault> {
    retrying(|| async {
        let mut unit = store.write().await?;
        let now = clock.now();
        // Held before the keys are read: a node that makes one at this moment has added it by now, or waits and finds
        // that its master key is no longer the right one.
        let secrets = unit.keys().hold_secrets().await?;
        let keys = unit.keys().all().await?;
        for key in &keys {
            let label = label(&key.id, key.algorithm);
            let opened = old
                .open(&label, &key.sealed)
                .map_err(|source| TokenError::SealedKey { id: key.id.as_str().to_owned(), source })?;
            let sealed = new.seal(&label, &opened, entropy).map_err(TokenError::Seal)?;
            unit.keys().reseal(&key.id, &sealed, now).await?;
        }
        for secret in &secrets {
            let label = root_secret::label(&secret.name);
            let opened = old
                .open(&label, &secret.sealed)
                .map_err(|source| TokenError::SealedSecret { name: secret.name.clone(), source })?;
            let sealed = new.seal(&label, &opened, entropy).map_err(TokenError::Seal)?;
            unit.keys().reseal_secret(&SealedSecret { name: secret.name.clone(), sealed }).await?;
        }
        let event = SecurityEvent {
            id: EventId::new(clock, entropy)?,
            at: now,
            kind: EventKind::KeyReseal,
            reason: None,
            user_id: None,
            session_id: None,
            client: Client::default(),
            count: 1,
        };
        unit.events().append(&event).await?;
        unit.commit().await?;
        Ok(keys.len() + secrets.len())
    })
    .await
}
