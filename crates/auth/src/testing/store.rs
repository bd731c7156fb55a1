use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use doorward_domain::store::{
    CredentialRepo, EventLog, KeyRepo, MockUnit, OneTimeTokenRepo, Outbox, ProofRepo, ReadUnit, Repositories,
    RevocationLog, SessionRepo, ThrottleRepo, UserRepo, WebhookOutbox, WriteUnit,
};
use doorward_domain::{Store, StoreError};

use super::{collision, expect_ordinary};

/// A store that hands out the units that were planned, in their order. A unit too many or too few fails the test.
#[derive(Default)]
pub(crate) struct TestStore {
    reads: Mutex<VecDeque<MockUnit>>,
    writes: Mutex<VecDeque<(MockUnit, Ending)>>,
    open: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Ending {
    Commits,
    Collides,
}

impl TestStore {
    /// The next unit that is opened for reading.
    pub(crate) fn plan_read(&self, unit: MockUnit) {
        self.reads.lock().unwrap().push_back(unit);
    }

    /// The next unit that is opened for writing.
    pub(crate) fn plan_write(&self, unit: MockUnit) -> Committed {
        let committed = Committed(Arc::clone(&unit.committed));
        self.writes.lock().unwrap().push_back((unit, Ending::Commits));
        committed
    }

    /// The next unit that is opened for writing, which meets another one when it is committed.
    pub(crate) fn plan_collision(&self, unit: MockUnit) {
        self.writes.lock().unwrap().push_back((unit, Ending::Collides));
    }

    /// Whether a unit is open at this moment.
    pub(crate) fn in_use(&self) -> bool {
        self.open.load(Ordering::SeqCst) > 0
    }
}

#[async_trait]
impl Store for TestStore {
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError> {
        let unit = self.reads.lock().unwrap().pop_front().expect("no further unit should be opened for reading");
        Ok(Box::new(TestUnit::open(unit, Ending::Commits, &self.open)))
    }

    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError> {
        let planned = self.writes.lock().unwrap().pop_front();
        let (unit, ending) = planned.expect("no further unit should be opened for writing");
        Ok(Box::new(TestUnit::open(unit, ending, &self.open)))
    }

    async fn revocation_hint(&self) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

impl Drop for TestStore {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.reads.lock().unwrap().is_empty(), "a planned unit was not opened for reading");
            assert!(self.writes.lock().unwrap().is_empty(), "a planned unit was not opened for writing");
        }
    }
}

/// Tells whether a planned unit was committed.
pub(crate) struct Committed(Arc<AtomicBool>);

impl Committed {
    pub(crate) fn yes(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct TestUnit {
    unit: MockUnit,
    ending: Ending,
    open: Arc<AtomicUsize>,
}

impl TestUnit {
    fn open(mut unit: MockUnit, ending: Ending, open: &Arc<AtomicUsize>) -> Self {
        expect_ordinary(&mut unit);
        open.fetch_add(1, Ordering::SeqCst);
        Self { unit, ending, open: Arc::clone(open) }
    }
}

impl Drop for TestUnit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Repositories for TestUnit {
    fn users(&mut self) -> &mut dyn UserRepo {
        self.unit.users()
    }
    fn credentials(&mut self) -> &mut dyn CredentialRepo {
        self.unit.credentials()
    }
    fn sessions(&mut self) -> &mut dyn SessionRepo {
        self.unit.sessions()
    }
    fn events(&mut self) -> &mut dyn EventLog {
        self.unit.events()
    }
    fn keys(&mut self) -> &mut dyn KeyRepo {
        self.unit.keys()
    }
    fn revocations(&mut self) -> &mut dyn RevocationLog {
        self.unit.revocations()
    }
    fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo {
        self.unit.one_time_tokens()
    }
    fn outbox(&mut self) -> &mut dyn Outbox {
        self.unit.outbox()
    }
    fn throttles(&mut self) -> &mut dyn ThrottleRepo {
        self.unit.throttles()
    }
    fn proofs(&mut self) -> &mut dyn ProofRepo {
        self.unit.proofs()
    }
    fn webhooks(&mut self) -> &mut dyn WebhookOutbox {
        self.unit.webhooks()
    }
}

impl ReadUnit for TestUnit {}

#[async_trait]
impl WriteUnit for TestUnit {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        match self.ending {
            Ending::Commits => {
                self.unit.committed.store(true, Ordering::SeqCst);
                Ok(())
            }
            Ending::Collides => Err(collision()),
        }
    }
}
