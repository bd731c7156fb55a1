#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

mod table;

use std::sync::atomic::Ordering;

use doorward_domain::store::MockUnit;
use doorward_domain::{SealedSecret, Session, StoreError};
use secrecy::{ExposeSecret, SecretString};

use self::table::{Table, TableStore};
use super::*;
use crate::MasterKey;
use crate::testing::{CountingEntropy, DAY, NOW, SECOND, Time, collision, master_key, session, user};
use crate::token::{JwtIssuer, JwtVerifier, Maintained, TokenIssuer, TokenSettings, TokenVerifier, key_id_of};

const MADE: [KeyAlgorithm; 3] = [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256, KeyAlgorithm::Rs256];
const LIFETIME: Duration = TokenSettings::DEFAULT_LIFETIME;
const ROTATE_AFTER: Duration = KeyPolicy::ROTATE_AFTER;
const LEAD: Duration = SigningKeys::LEAD;

/// A node of an installation.
struct Node {
    seed: u64,
    algorithm: KeyAlgorithm,
    time: Time,
    master: MasterKey,
    secret: Option<SharedSecret>,
}

impl Node {
    fn new(seed: u64) -> Self {
        Self { seed, algorithm: KeyAlgorithm::EdDsa, time: Time::at(NOW), master: master_key(), secret: None }
    }

    fn with(self, algorithm: KeyAlgorithm) -> Self {
        Self { algorithm, ..self }
    }

    async fn open(self, store: Arc<TableStore>) -> Result<SigningKeys, Fault> {
        let policy = KeyPolicy { algorithm: self.algorithm, rotate_after: ROTATE_AFTER, lifetime: LIFETIME };
        let entropy = Arc::new(CountingEntropy::starting_at(self.seed));
        let clock = Arc::new(self.time.clock());
        let keys = SigningKeys::new(store, clock, entropy, Sealer::new(&self.master), policy, self.secret);
        keys.provision().await?;
        Ok(keys)
    }
}

/// Opens the keys on this table with time that can be moved, and units to spare.
async fn opened(table: &Table, seed: u64, algorithm: KeyAlgorithm) -> (SigningKeys, Time) {
    let time = Time::at(NOW);
    let node = Node { time: time.clone(), ..Node::new(seed).with(algorithm) };
    (node.open(table.store()).await.unwrap(), time)
}

/// The key that the first start with this seed makes and stores.
async fn first_key(seed: u64, algorithm: KeyAlgorithm) -> SealedKey {
    let table = Table::default();
    opened(&table, seed, algorithm).await;
    table.keys().remove(0)
}

fn signing(keys: &SigningKeys) -> Option<KeyId> {
    keys.ring().current().signing(keys.clock.now()).map(|key| key.id().clone())
}

fn settings() -> TokenSettings {
    let url = "https://auth.example.com".to_owned();
    TokenSettings { issuer: url.clone(), audience: url, lifetime: LIFETIME }
}

/// A token that a node issues at this moment.
fn token(keys: &SigningKeys) -> SecretString {
    let entropy = Arc::new(CountingEntropy::default());
    let issuer = JwtIssuer::new(keys.ring(), settings(), Arc::clone(&keys.clock), entropy);
    let now = keys.clock.now();
    issuer.issue(&Session { expires_at: now.plus(DAY), ..session() }, &user(), now).unwrap().text
}

fn accepts(keys: &SigningKeys, token: &SecretString) -> bool {
    JwtVerifier::new(keys.ring(), settings()).verify(token.expose_secret(), keys.clock.now()).is_ok()
}

fn shared_secret() -> SharedSecret {
    SharedSecret::parse(&SecretString::from("a shared text of more than thirty-two bytes".to_owned())).unwrap()
}

#[pollster::test]
async fn the_first_start_makes_a_key_that_signs_at_once_and_later_ones_load_it() {
    for algorithm in MADE {
        let table = Table::default();
        let (made, _) = opened(&table, 1, algorithm).await;
        let stored = table.keys().remove(0);
        assert_eq!((stored.algorithm, stored.created_at, stored.signs_from), (algorithm, NOW, NOW));
        let readable = SigningKey::from_private_der(algorithm, &stored.sealed);
        assert!(readable.is_err(), "{algorithm}: the stored key is not sealed");

        let (loaded, _) = opened(&table, 5_000, algorithm).await;
        assert_eq!(table.keys().len(), 1);
        assert_eq!((signing(&loaded), signing(&made)), (Some(stored.id.clone()), Some(stored.id)));
        assert!(accepts(&loaded, &token(&made)));
    }
}

#[pollster::test]
async fn another_master_key_opens_no_signing_key() {
    let stored = first_key(1, KeyAlgorithm::EdDsa).await;
    let table = Table::holding([stored.clone()]);
    let other = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();

    let outcome = Node { master: other, ..Node::new(2) }.open(table.store()).await;

    let Err(Fault::Token(TokenError::SealedKey { id, .. })) = outcome else { panic!("{outcome:?}") };
    assert_eq!(id, stored.id.as_str());
}

#[pollster::test]
async fn a_sealed_key_opens_under_its_own_id_and_algorithm_alone() {
    let (stored, other) = (first_key(1, KeyAlgorithm::EdDsa).await, first_key(2, KeyAlgorithm::EdDsa).await);
    for moved in [
        SealedKey { id: other.id, ..stored.clone() },
        SealedKey { id: KeyId::new(String::new()), ..stored.clone() },
        SealedKey { sealed: other.sealed, ..stored.clone() },
        SealedKey { sealed: Vec::new(), ..stored.clone() },
    ] {
        let outcome = Node::new(3).open(Table::holding([moved]).store()).await;
        assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedKey { .. }))), "{outcome:?}");
    }
    let relabelled = SealedKey { algorithm: KeyAlgorithm::Es256, ..stored };
    let outcome = Node::new(3).with(KeyAlgorithm::Es256).open(Table::holding([relabelled]).store()).await;
    assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedKey { .. }))), "{outcome:?}");
}

#[pollster::test]
async fn of_two_nodes_that_start_at_once_both_use_the_key_that_was_stored() {
    let table = Table::default();
    // The slower node has read an empty table.
    let store = table.store();
    store.first_reads.lock().unwrap().push_back(Table::default().unit());
    let (faster, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;

    let slower = Node::new(2).open(store).await.unwrap();

    assert_eq!(table.keys().len(), 1);
    assert_eq!(signing(&slower), signing(&faster));
}

#[pollster::test]
async fn a_collision_stores_the_key_again() {
    let table = Table::default();
    let store = table.store();
    let mut collided = MockUnit::default();
    collided.keys.expect_hold_secrets().returning(|| Ok(Vec::new()));
    collided.keys.expect_insert().times(1).returning(|_, _| Err(collision()));
    let undone = Arc::clone(&collided.committed);
    store.first_writes.lock().unwrap().push_back(collided);

    let keys = Node::new(1).open(Arc::clone(&store)).await.unwrap();

    assert!(!undone.load(Ordering::SeqCst));
    assert_eq!(signing(&keys), Some(table.ids().remove(0)));
}

#[pollster::test]
async fn another_algorithm_is_published_before_it_signs_and_the_old_key_goes_when_nothing_needs_it() {
    let table = Table::holding([first_key(1, KeyAlgorithm::EdDsa).await]);
    let old = table.ids().remove(0);
    let (keys, time) = opened(&table, 2, KeyAlgorithm::Es256).await;
    let new = table.ids().remove(1);
    assert_eq!(signing(&keys), Some(old.clone()));
    time.set(NOW.plus(LEAD).minus(SECOND));
    let of_old = token(&keys);

    time.set(NOW.plus(LEAD));
    keys.maintain().await.unwrap();
    assert_eq!(signing(&keys), Some(new.clone()));
    assert!(accepts(&keys, &of_old) && accepts(&keys, &token(&keys)));

    time.set(NOW.plus(LEAD + keys.overlap() + Duration::from_hours(24)).minus(SECOND));
    assert_eq!(keys.maintain().await.unwrap().retired, []);
    time.set(NOW.plus(LEAD + keys.overlap() + Duration::from_hours(24)));
    assert_eq!(keys.maintain().await.unwrap().retired, [old]);
    assert_eq!(table.ids(), [new]);
}

#[pollster::test]
async fn hs256_needs_its_secret_and_stores_nothing() {
    let table = Table::default();
    let outcome = Node::new(1).with(KeyAlgorithm::Hs256).open(table.store()).await;
    assert!(matches!(outcome, Err(Fault::Token(TokenError::MissingSecret))), "{outcome:?}");

    let node = Node { secret: Some(shared_secret()), ..Node::new(1).with(KeyAlgorithm::Hs256) };
    let keys = node.open(table.store()).await.unwrap();
    assert_eq!(keys.maintain().await.unwrap(), Maintained::default());
    assert_eq!(keys.rotate(true).await.unwrap(), None);
    assert!(accepts(&keys, &token(&keys)));
    assert!(table.keys().is_empty());
}

#[pollster::test]
async fn a_change_to_hs256_goes_on_verifying_what_was_signed_before() {
    let table = Table::default();
    let (before, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let old = token(&before);
    let node = Node { secret: Some(shared_secret()), ..Node::new(2).with(KeyAlgorithm::Hs256) };
    let keys = node.open(table.store()).await.unwrap();
    assert!(accepts(&keys, &old) && accepts(&keys, &token(&keys)));
    assert!(key_id_of(token(&keys).expose_secret()).unwrap().starts_with("hs-"));
}

#[pollster::test]
async fn nothing_secret_is_published() {
    for algorithm in MADE {
        let table = Table::default();
        let (public, _) = opened(&table, 1, algorithm).await;
        let node = Node { secret: Some(shared_secret()), ..Node::new(2).with(KeyAlgorithm::Hs256) };
        let shared = node.open(table.store()).await.unwrap();
        for keys in [public, shared] {
            let set: serde_json::Value = serde_json::from_str(&keys.ring().current().jwks).unwrap();
            let published = set["keys"].as_array().unwrap();
            assert_eq!(published.len(), 1, "{set}");
            assert_ne!(published[0]["kty"], "oct");
            for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(published[0].get(member).is_none(), "{algorithm}: {member}");
            }
        }
    }
}

#[pollster::test]
async fn a_key_is_rotated_in_time_published_first_and_kept_until_its_last_token_is_over() {
    let table = Table::default();
    let (keys, time) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let first = signing(&keys).unwrap();
    let takes_over = NOW.plus(ROTATE_AFTER);

    time.set(takes_over.minus(LEAD).minus(SECOND));
    assert_eq!(keys.maintain().await.unwrap(), Maintained::default());

    time.set(takes_over.minus(LEAD));
    let second = keys.maintain().await.unwrap().published.unwrap();
    assert_eq!(keys.maintain().await.unwrap(), Maintained::default(), "one successor is enough");
    assert!(keys.ring().current().jwks.contains(second.as_str()), "it is published at once");
    assert_eq!(signing(&keys), Some(first.clone()));

    time.set(takes_over.minus(SECOND));
    let last = token(&keys);
    assert_eq!(key_id_of(last.expose_secret()), Some(first.as_str().to_owned()));
    time.set(takes_over);
    assert_eq!(signing(&keys), Some(second.clone()), "nobody has to load anything for that");
    assert!(accepts(&keys, &last));

    time.set(takes_over.plus(keys.overlap()).minus(SECOND));
    assert_eq!(keys.maintain().await.unwrap(), Maintained::default());
    time.set(takes_over.plus(keys.overlap()));
    assert_eq!(keys.maintain().await.unwrap().retired, [first]);
    assert_eq!(table.ids(), [second]);
}

#[pollster::test]
async fn many_nodes_make_one_successor() {
    let table = Table::default();
    let mut nodes = Vec::new();
    for seed in 0..5 {
        nodes.push(opened(&table, 1 + 1_000 * seed, KeyAlgorithm::EdDsa).await);
    }
    // Each of them has seen the old key alone when it decides to make the next.
    let before = Table::holding(table.keys());
    for (seed, (_, time)) in (0..).zip(&nodes) {
        time.set(NOW.plus(ROTATE_AFTER));
        let store = table.store();
        // One look when the node starts, one to see whether to rotate.
        store.first_reads.lock().unwrap().extend([before.unit(), before.unit()]);
        let node = Node { time: time.clone(), ..Node::new(100_000 + 1_000 * seed) }.open(store).await.unwrap();
        node.maintain().await.unwrap();
    }
    assert_eq!(table.keys().len(), 2);
}

#[pollster::test]
async fn an_operator_rotates_with_and_without_waiting() {
    for at_once in [false, true] {
        let table = Table::default();
        let (keys, time) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
        let first = signing(&keys);
        let made = keys.rotate(at_once).await.unwrap();
        assert_eq!(signing(&keys) == made, at_once);
        assert_eq!(signing(&keys) == first, !at_once);
        let states: Vec<_> = keys.list().await.unwrap().into_iter().map(|info| info.state).collect();
        let second =
            if at_once { [KeyState::Retiring, KeyState::Signing] } else { [KeyState::Signing, KeyState::Published] };
        assert_eq!(states, second);
        time.set(NOW.plus(LEAD));
        assert_eq!(signing(&keys), made);
    }
}

#[pollster::test]
async fn rotating_at_once_has_a_new_key_sign_each_time_whatever_waits() {
    let table = Table::default();
    let (keys, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let waiting = keys.rotate(false).await.unwrap();
    let mut seen = vec![signing(&keys), waiting];
    for _ in 0..3 {
        let made = keys.rotate(true).await.unwrap();
        assert!(!seen.contains(&made), "a new key was asked for");
        assert_eq!(signing(&keys), made);
        seen.push(made);
    }
}

#[pollster::test]
async fn revoking_the_signing_key_brings_no_replaced_one_back() {
    let table = Table::default();
    let (keys, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let leaked = signing(&keys).unwrap();
    let second = keys.rotate(true).await.unwrap().unwrap();
    let now_signing = keys.revoke(&second).await.unwrap().unwrap();
    assert!(now_signing != leaked && now_signing != second);
    assert_eq!(signing(&keys), Some(now_signing));
}

#[pollster::test]
async fn a_node_whose_master_key_was_replaced_makes_no_key_and_hears_of_revoked_ones() {
    let table = Table::default();
    let (old, time) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let first = signing(&old).unwrap();
    let stolen = token(&old);
    let other = MasterKey::generate(&CountingEntropy::starting_at(9_000)).unwrap();
    let sealed = Sealer::new(&master_key()).seal("secret/root", b"a root", &CountingEntropy::default()).unwrap();
    table.0.lock().unwrap().secrets.push(SealedSecret { name: "root".to_owned(), sealed });
    {
        let mut rows = table.0.lock().unwrap();
        let (before, after) = (Sealer::new(&master_key()), Sealer::new(&other));
        for key in &mut rows.keys {
            let label = label(&key.id, key.algorithm);
            let opened = before.open(&label, &key.sealed).unwrap();
            key.sealed = after.seal(&label, &opened, &CountingEntropy::starting_at(70)).unwrap();
        }
        rows.secrets[0].sealed = after.seal("secret/root", b"a root", &CountingEntropy::starting_at(80)).unwrap();
    }
    old.reload().await.unwrap();
    assert!(accepts(&old, &stolen), "what it has opened goes on");

    time.set(NOW.plus(ROTATE_AFTER));
    let outcome = old.maintain().await;
    assert!(matches!(outcome, Err(Fault::Token(TokenError::SealedSecret { .. }))), "{outcome:?}");
    assert_eq!(table.ids(), std::slice::from_ref(&first));
    time.set(NOW);

    let node = Node { master: other, ..Node::new(40_000) };
    let new = node.open(table.store()).await.unwrap();
    new.revoke(&first).await.unwrap();
    assert!(old.reload().await.is_err(), "there is a key that it cannot open");
    assert!(!accepts(&old, &stolen), "and the revoked one counts no longer");
}

#[pollster::test]
async fn a_revoked_key_is_refused_and_another_one_signs() {
    let table = Table::default();
    let (keys, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let first = signing(&keys).unwrap();
    let stolen = token(&keys);
    let generation = keys.ring().generation();

    let now_signing = keys.revoke(&first).await.unwrap().unwrap();

    assert_ne!(now_signing, first);
    assert_eq!((signing(&keys), table.ids()), (Some(now_signing.clone()), vec![now_signing]));
    assert!(!accepts(&keys, &stolen) && accepts(&keys, &token(&keys)));
    assert_ne!(keys.ring().generation(), generation, "what was verified before counts no longer");
    assert_eq!(keys.revoke(&first).await.unwrap(), None, "there is no such key any more");
    assert_eq!(table.0.lock().unwrap().recorded, [EventKind::KeyRotate, EventKind::KeyRevoke]);
}

#[pollster::test]
async fn a_published_key_takes_over_early_when_the_signing_one_is_revoked() {
    let table = Table::default();
    let (keys, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let first = signing(&keys).unwrap();
    let next = keys.rotate(false).await.unwrap();
    assert_eq!(keys.revoke(&first).await.unwrap(), next);
    assert_eq!(signing(&keys), next);
}

#[pollster::test]
async fn a_key_that_is_no_longer_needed_can_be_revoked_without_a_change() {
    let table = Table::default();
    let (keys, _) = opened(&table, 1, KeyAlgorithm::EdDsa).await;
    let first = signing(&keys).unwrap();
    let second = keys.rotate(true).await.unwrap();
    assert_eq!(keys.revoke(&first).await.unwrap(), second);
    assert_eq!(table.keys().len(), 1);
}

#[pollster::test]
async fn keys_stay_as_they_are_when_they_cannot_be_loaded() {
    let table = Table::default();
    let store = table.store();
    let mut silent = MockUnit::default();
    silent.keys.expect_all().times(1).returning(|| Err(StoreError::Unavailable("gone".into())));
    let keys = Node::new(1).open(Arc::clone(&store)).await.unwrap();
    let before = token(&keys);
    store.first_reads.lock().unwrap().push_back(silent);

    assert!(keys.reload().await.is_err());

    assert!(accepts(&keys, &before));
}
