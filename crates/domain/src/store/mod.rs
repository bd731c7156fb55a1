//! The ports to storage.
//!
//! # Units of work
//!
//! [`Store::read`] and [`Store::write`] each open one database transaction, which hands out the repositories.
//! A [`WriteUnit`] that is dropped without [`commit`](WriteUnit::commit) leaves no trace. What belongs together
//! (a user, a credential, a session, a security event) is written in one unit.
//!
//! # What two callers at once see
//!
//! Every method says it for itself. The rule behind all of them: what is decided once is decided by one guarded
//! statement that returns whether it happened, never by reading first and writing then; and where a unit needs
//! a row to stay as it is, it asks for it with `hold`.
//!
//! # Adding an adapter
//!
//! Implement [`Store`] and the unit behind it, then run the conformance suite that `doorward-persistence`
//! exports (`conformance`) against it. The suite is the specification: an adapter that passes can be used.

mod credentials;
mod events;
mod keys;
mod one_time_tokens;
mod outbox;
mod proofs;
mod revocations;
mod sessions;
mod throttles;
mod users;
mod webhooks;

use std::error::Error;

use async_trait::async_trait;
use thiserror::Error;

pub use credentials::CredentialRepo;
#[cfg(feature = "mocks")]
pub use credentials::MockCredentialRepo;
#[cfg(feature = "mocks")]
pub use events::MockEventLog;
pub use events::{ChainEnds, ChainLink, ChainPlace, EventLog, EventSeal, LooseEvent, SealedRecord};
pub use keys::KeyRepo;
#[cfg(feature = "mocks")]
pub use keys::MockKeyRepo;
#[cfg(feature = "mocks")]
pub use one_time_tokens::MockOneTimeTokenRepo;
pub use one_time_tokens::OneTimeTokenRepo;
#[cfg(feature = "mocks")]
pub use outbox::MockOutbox;
pub use outbox::{Allowance, Outbox};
#[cfg(feature = "mocks")]
pub use proofs::MockProofRepo;
pub use proofs::ProofRepo;
#[cfg(feature = "mocks")]
pub use revocations::MockRevocationLog;
pub use revocations::{RevocationLog, RevocationPosition};
#[cfg(feature = "mocks")]
pub use sessions::MockSessionRepo;
pub use sessions::{DeviceSeen, SessionRepo};
#[cfg(feature = "mocks")]
pub use throttles::MockThrottleRepo;
pub use throttles::{Taken, ThrottleKey, ThrottleRepo};
#[cfg(feature = "mocks")]
pub use users::MockUserRepo;
pub use users::UserRepo;
#[cfg(feature = "mocks")]
pub use webhooks::MockWebhookOutbox;
pub use webhooks::WebhookOutbox;

/// What went wrong below a storage port.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A rule of the schema was broken that the use case did not foresee; names the constraint.
    #[error("conflict with {constraint}")]
    Conflict {
        /// The constraint, as the schema names it.
        constraint: String,
    },
    /// The unit met another one and may succeed when it is tried again as a whole.
    #[error("the unit of work collided with another")]
    Retryable(#[source] Box<dyn Error + Send + Sync>),
    /// A row cannot be what Doorward wrote.
    #[error("the stored {what} cannot be read")]
    Corrupt {
        /// What it should have been.
        what: &'static str,
        /// What could not be read in it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database cannot be reached or cannot answer.
    #[error("the database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// The port to the database.
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Store: Send + Sync {
    /// Opens a unit that sees one state of the database and MUST refuse to change it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    async fn read(&self) -> Result<Box<dyn ReadUnit>, StoreError>;

    /// Opens a unit that can change the database.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be reached in time.
    async fn write(&self) -> Result<Box<dyn WriteUnit>, StoreError>;

    /// Resolves when the [`RevocationLog`] may have grown. A hint and no more: it may come without a reason, and a
    /// database that tells nobody never gives one, so readers look by themselves as well.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database cannot be listened to.
    async fn revocation_hint(&self) -> Result<(), StoreError>;
}

/// The repositories that a unit of work hands out.
pub trait Repositories: Send {
    /// Who has an account.
    fn users(&mut self) -> &mut dyn UserRepo;
    /// What proves who they are.
    fn credentials(&mut self) -> &mut dyn CredentialRepo;
    /// Their sessions and refresh tokens.
    fn sessions(&mut self) -> &mut dyn SessionRepo;
    /// The security log.
    fn events(&mut self) -> &mut dyn EventLog;
    /// The keys that sign access tokens.
    fn keys(&mut self) -> &mut dyn KeyRepo;
    /// What no longer holds though access tokens say it.
    fn revocations(&mut self) -> &mut dyn RevocationLog;
    /// The tokens that have been mailed.
    fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo;
    /// The mails that wait to be delivered.
    fn outbox(&mut self) -> &mut dyn Outbox;
    /// How often something was tried.
    fn throttles(&mut self) -> &mut dyn ThrottleRepo;
    /// The proofs of work that have been used.
    fn proofs(&mut self) -> &mut dyn ProofRepo;
    /// The webhooks that wait to be delivered.
    fn webhooks(&mut self) -> &mut dyn WebhookOutbox;
}

/// A unit of work that only reads. Ends when it is dropped.
pub trait ReadUnit: Repositories {}

/// A unit of work that changes things. Dropping it undoes them.
#[async_trait]
pub trait WriteUnit: Repositories {
    /// Makes everything that the unit did visible to others, and durable, at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Retryable`] when another unit was in the way, [`StoreError::Unavailable`] when the
    /// database went away; whether the unit took effect is not known then.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

#[cfg(feature = "mocks")]
pub use mocks::MockUnit;

#[cfg(feature = "mocks")]
mod mocks {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{
        CredentialRepo, EventLog, KeyRepo, MockCredentialRepo, MockEventLog, MockKeyRepo, MockOneTimeTokenRepo,
        MockOutbox, MockProofRepo, MockRevocationLog, MockSessionRepo, MockThrottleRepo, MockUserRepo,
        MockWebhookOutbox, OneTimeTokenRepo, Outbox, ProofRepo, ReadUnit, Repositories, RevocationLog, SessionRepo,
        StoreError, ThrottleRepo, UserRepo, WebhookOutbox, WriteUnit, async_trait,
    };

    /// A unit of work whose repositories are mocks, and which remembers whether it was committed. The larger ones are boxed,
    /// so that a table of units fits onto a stack.
    #[derive(Default)]
    #[allow(missing_docs, reason = "each field is the mock of the repository it is named for")]
    pub struct MockUnit {
        pub users: MockUserRepo,
        pub credentials: MockCredentialRepo,
        pub sessions: Box<MockSessionRepo>,
        pub events: Box<MockEventLog>,
        pub keys: MockKeyRepo,
        pub revocations: MockRevocationLog,
        pub one_time_tokens: MockOneTimeTokenRepo,
        pub outbox: Box<MockOutbox>,
        pub throttles: Box<MockThrottleRepo>,
        pub proofs: Box<MockProofRepo>,
        pub webhooks: Box<MockWebhookOutbox>,
        /// Becomes true when the unit is committed; shared with the test.
        pub committed: Arc<AtomicBool>,
    }

    impl Repositories for MockUnit {
        fn users(&mut self) -> &mut dyn UserRepo {
            &mut self.users
        }
        fn credentials(&mut self) -> &mut dyn CredentialRepo {
            &mut self.credentials
        }
        fn sessions(&mut self) -> &mut dyn SessionRepo {
            &mut *self.sessions
        }
        fn events(&mut self) -> &mut dyn EventLog {
            &mut *self.events
        }
        fn keys(&mut self) -> &mut dyn KeyRepo {
            &mut self.keys
        }
        fn revocations(&mut self) -> &mut dyn RevocationLog {
            &mut self.revocations
        }
        fn one_time_tokens(&mut self) -> &mut dyn OneTimeTokenRepo {
            &mut self.one_time_tokens
        }
        fn outbox(&mut self) -> &mut dyn Outbox {
            &mut *self.outbox
        }
        fn throttles(&mut self) -> &mut dyn ThrottleRepo {
            &mut *self.throttles
        }
        fn proofs(&mut self) -> &mut dyn ProofRepo {
            &mut *self.proofs
        }
        fn webhooks(&mut self) -> &mut dyn WebhookOutbox {
            &mut *self.webhooks
        }
    }

    impl ReadUnit for MockUnit {}

    #[async_trait]
    impl WriteUnit for MockUnit {
        async fn commit(self: Box<Self>) -> Result<(), StoreError> {
            self.committed.store(true, Ordering::SeqCst);
            Ok(())
        }
    }
}
