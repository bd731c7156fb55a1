use std::fmt;

use doorward_domain::{Entropy, EntropyUnavailable, SealedSecret, Store};
use zeroize::Zeroizing;

use crate::seal::keyed_digest;
use crate::token::TokenError;
use crate::unit::retrying;
use crate::{Fault, Sealer};

/// The secret that an installation's refresh tokens and mailed tokens are derived from, 256 bits.
///
/// It is made once and kept sealed in the database. So the master key can be changed and every token stays what it
/// is. It does not print, does not serialise and is wiped when dropped.
pub struct RootSecret(Zeroizing<[u8; RootSecret::LENGTH]>);

impl RootSecret {
    const LENGTH: usize = 32;
    /// Its name in the database, and what it is sealed for.
    pub(crate) const NAME: &'static str = "root";

    /// A fresh secret.
    ///
    /// # Errors
    ///
    /// [`EntropyUnavailable`] when the source of randomness gives nothing.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyUnavailable> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        entropy.fill(bytes.as_mut_slice())?;
        Ok(Self(bytes))
    }

    /// Loads the secret of an installation, making it where there is none. Any number of nodes may do so at once.
    ///
    /// # Errors
    ///
    /// [`Fault::Token`] when it does not open with this master key.
    pub async fn provision(store: &dyn Store, sealer: &Sealer, entropy: &dyn Entropy) -> Result<Self, Fault> {
        if let Some(secret) = Self::find(store, sealer).await? {
            return Ok(secret);
        }
        let fresh = Self::generate(entropy)?;
        let sealed = sealer.seal(&label(Self::NAME), fresh.0.as_slice(), entropy).map_err(TokenError::Seal)?;
        let secret = SealedSecret { name: Self::NAME.to_owned(), sealed };
        retrying(|| async {
            let mut unit = store.write().await?;
            // Where another node was faster, its secret is the one that both load.
            unit.keys().insert_secret(&secret).await?;
            Ok(unit.commit().await?)
        })
        .await?;
        Self::load(store, sealer).await
    }

    /// Loads the secret of an installation that has one.
    ///
    /// # Errors
    ///
    /// [`Fault::Token`] when there is none, or it does not open with this master key.
    pub async fn load(store: &dyn Store, sealer: &Sealer) -> Result<Self, Fault> {
        Ok(Self::find(store, sealer).await?.ok_or(TokenError::MissingRootSecret)?)
    }

    async fn find(store: &dyn Store, sealer: &Sealer) -> Result<Option<Self>, Fault> {
        let secrets = store.read().await?.keys().secrets().await?;
        let Some(secret) = secrets.into_iter().find(|secret| secret.name == Self::NAME) else { return Ok(None) };
        let not_opened = |source| TokenError::SealedSecret { name: secret.name.clone(), source };
        let opened = sealer.open(&label(Self::NAME), &secret.sealed).map_err(not_opened)?;
        let bytes = <[u8; Self::LENGTH]>::try_from(opened.as_slice()).map_err(|_| TokenError::MissingRootSecret)?;
        Ok(Some(Self(Zeroizing::new(bytes))))
    }

    /// A key for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(keyed_digest(&self.0, purpose.as_bytes()))
    }
}

/// What a sealed secret is bound to.
pub(crate) fn label(name: &str) -> String {
    format!("secret/{name}")
}

impl fmt::Debug for RootSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::store::MockUnit;

    use super::*;
    use crate::MasterKey;
    use crate::testing::{CountingEntropy, Seen, TestStore, master_key};

    fn reading(stored: &Seen<SealedSecret>) -> MockUnit {
        let mut unit = MockUnit::default();
        let stored = stored.clone();
        unit.keys.expect_secrets().times(1).returning(move || Ok(stored.all()));
        unit
    }

    /// A unit that stores a secret: the one that it is given, unless another node has stored `earlier`.
    fn inserting(stored: &Seen<SealedSecret>, earlier: Option<SealedSecret>) -> MockUnit {
        let mut unit = MockUnit::default();
        let stored = stored.clone();
        unit.keys.expect_insert_secret().times(1).returning(move |secret| {
            stored.note(earlier.clone().unwrap_or_else(|| secret.clone()));
            Ok(earlier.is_none())
        });
        unit
    }

    async fn start(store: &TestStore, seed: u64, master: &MasterKey) -> Result<RootSecret, Fault> {
        RootSecret::provision(store, &Sealer::new(master), &CountingEntropy::starting_at(seed)).await
    }

    async fn first_start(seed: u64, earlier: Option<SealedSecret>) -> (RootSecret, SealedSecret) {
        let (store, stored) = (TestStore::default(), Seen::default());
        store.plan_read(reading(&stored));
        let written = store.plan_write(inserting(&stored, earlier));
        store.plan_read(reading(&stored));
        let secret = start(&store, seed, &master_key()).await.unwrap();
        assert!(written.yes());
        (secret, stored.only())
    }

    #[pollster::test]
    async fn it_is_made_once_and_is_the_same_ever_after() {
        let (made, stored) = first_start(1, None).await;
        assert!(!stored.sealed.windows(4).any(|w| w == &made.0[..4]), "it is sealed");

        let (store, known) = (TestStore::default(), Seen::default());
        known.note(stored.clone());
        store.plan_read(reading(&known));
        let loaded = start(&store, 500, &master_key()).await.unwrap();
        assert_eq!(loaded.derive("a"), made.derive("a"));
        assert_ne!(loaded.derive("a"), made.derive("b"));

        let (slower, _) = first_start(700, Some(stored)).await;
        assert_eq!(slower.derive("a"), made.derive("a"), "the faster node's secret is that of both");
    }

    #[pollster::test]
    async fn another_master_key_does_not_open_it() {
        let (_, stored) = first_start(1, None).await;
        let (store, known) = (TestStore::default(), Seen::default());
        known.note(stored);
        store.plan_read(reading(&known));
        let other = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();
        let outcome = start(&store, 500, &other).await;
        assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedSecret { .. }))), "{outcome:?}");
    }
}
