use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use doorward_domain::store::{MockUnit, ReadUnit, WriteUnit};
use doorward_domain::{EventKind, KeyAlgorithm, KeyId, SealedKey, SealedSecret, Store, StoreError};

/// The keys of an installation, and the successions that the database lets happen once each.
#[derive(Clone, Default)]
pub(super) struct Table(pub(super) Arc<Mutex<Rows>>);

#[derive(Default)]
pub(super) struct Rows {
    pub(super) keys: Vec<SealedKey>,
    pub(super) followed: Vec<(KeyAlgorithm, Option<KeyId>)>,
    pub(super) recorded: Vec<EventKind>,
    pub(super) secrets: Vec<SealedSecret>,
}

impl Table {
    pub(super) fn keys(&self) -> Vec<SealedKey> {
        self.0.lock().unwrap().keys.clone()
    }

    pub(super) fn ids(&self) -> Vec<KeyId> {
        self.keys().into_iter().map(|key| key.id).collect()
    }

    pub(super) fn holding(keys: impl IntoIterator<Item = SealedKey>) -> Self {
        let table = Self::default();
        table.0.lock().unwrap().keys.extend(keys);
        table
    }

    pub(super) fn store(&self) -> Arc<TableStore> {
        Arc::new(TableStore { table: self.clone(), ..TableStore::default() })
    }

    pub(super) fn unit(&self) -> MockUnit {
        let mut unit = MockUnit::default();
        let table = self.clone();
        unit.keys.expect_all().returning(move || Ok(table.keys()));
        let table = self.clone();
        unit.keys.expect_insert().returning(move |key, follows| {
            let mut rows = table.0.lock().unwrap();
            let succession = (key.algorithm, follows);
            if rows.followed.contains(&succession) {
                return Ok(false);
            }
            rows.followed.push(succession);
            rows.keys.push(key.clone());
            Ok(true)
        });
        let table = self.clone();
        unit.keys.expect_hold_secrets().returning(move || Ok(table.0.lock().unwrap().secrets.clone()));
        let table = self.clone();
        unit.events.expect_append().returning(move |event| {
            table.0.lock().unwrap().recorded.push(event.kind);
            Ok(())
        });
        let table = self.clone();
        unit.keys.expect_remove().returning(move |id, _| {
            let mut rows = table.0.lock().unwrap();
            let before = rows.keys.len();
            rows.keys.retain(|key| key.id != *id);
            Ok(rows.keys.len() < before)
        });
        let table = self.clone();
        unit.keys.expect_sign_from().returning(move |id, _, signs_from, now| {
            let mut rows = table.0.lock().unwrap();
            let key = rows.keys.iter_mut().find(|key| key.id == *id && key.signs_from > now);
            Ok(key.map(|key| key.signs_from = signs_from).is_some())
        });
        unit
    }
}

/// A store of units on a table, and of others that come first.
#[derive(Default)]
pub(super) struct TableStore {
    pub(super) table: Table,
    pub(super) first_reads: Mutex<VecDeque<MockUnit>>,
    pub(super) first_writes: Mutex<VecDeque<MockUnit>>,
}

#[async_trait]
impl Store for TableStore {
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError> {
        Ok(Box::new(self.first_reads.lock().unwrap().pop_front().unwrap_or_else(|| self.table.unit())))
    }

    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError> {
        Ok(Box::new(self.first_writes.lock().unwrap().pop_front().unwrap_or_else(|| self.table.unit())))
    }

    async fn revocation_hint(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }
}
