use async_trait::async_trait;
use doorward_domain::StoreError;
use doorward_domain::store::{
    CredentialRepo, EventLog, KeyRepo, OneTimeTokenRepo, Outbox, ProofRepo, ReadUnit, Repositories, RevocationLog,
    SessionRepo, ThrottleRepo, UserRepo, WebhookOutbox, WriteUnit,
};
use sqlx::Transaction;

use crate::dialect::Dialect;
use crate::error::store_error;

/// One database transaction. Every repository is implemented on it, in `repos/`.
pub(crate) struct Unit<D: Dialect> {
    transaction: Transaction<'static, D>,
}

impl<D: Dialect> Unit<D> {
    pub(crate) const fn new(transaction: Transaction<'static, D>) -> Self {
        Self { transaction }
    }

    pub(crate) fn connection(&mut self) -> &mut D::Connection {
        &mut self.transaction
    }
}

impl<D: Dialect> Repositories for Unit<D> {
    fn users(&mut self) -> &mut dyn UserRepo {
        self
    }

    fn credentials(&mut self) -> &mut dyn CredentialRepo {
        self
    }

    fn sessions(&mut self) -> &mut dyn SessionRepo {
        self
    }

    fn events(&mut self) -> &mut dyn EventLog {
        self
    }

    fn keys(&mut self) -> &mut dyn KeyRepo {
        self
    }

    fn revocations(&mut self) -> &mut dyn RevocationLog {
        self
    }

    fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo {
        self
    }

    fn outbox(&mut self) -> &mut dyn Outbox {
        self
    }

    fn throttles(&mut self) -> &mut dyn ThrottleRepo {
        self
    }

    fn proofs(&mut self) -> &mut dyn ProofRepo {
        self
    }

    fn webhooks(&mut self) -> &mut dyn WebhookOutbox {
        self
    }
}

impl<D: Dialect> ReadUnit for Unit<D> {}

#[async_trait]
impl<D: Dialect> WriteUnit for Unit<D> {
    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(store_error)
    }
}
