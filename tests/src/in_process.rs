//! The use cases on a real database, in this process, with time that a test moves and passwords that cost
//! nothing: for races that need thousands of rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use doorward::SystemEntropy;
use doorward_auth::password::{CommonPasswords, HashingError, PasswordHasher, Verification};
use doorward_auth::token::{JwtIssuer, JwtVerifier, KeyPolicy, SigningKeys, TokenSettings};
use doorward_auth::{
    AccessTokens, Auth, AuthParts, AuthSettings, DeviceTokens, EventChain, MasterKey, MemoryRevocations, OneTimeTokens,
    ProofOfWork, ProofRules, RefreshTokens, RegistrationMode, RootSecret, Sealer, ThrottleKeys, ThrottlePolicy,
};
use doorward_domain::{
    Clock, Entropy, KeyAlgorithm, Password, PasswordHashString, PasswordPolicy, SessionPolicy, Store, Timestamp,
};
use doorward_mail::{MemoryTransport, TemplateOptions, Templates};
use doorward_persistence::{PostgresOptions, PostgresStore, SqliteStore};
use tempfile::TempDir;

use crate::Database;
use crate::postgres;

/// A clock that a test moves.
pub struct MovableClock(AtomicI64);

impl Default for MovableClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_800_000_000_000_000))
    }
}

impl MovableClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Keeps passwords as they are. For tests of everything but hashing.
struct NoHashing;

#[async_trait]
impl PasswordHasher for NoHashing {
    async fn hash(&self, password: &Password) -> Result<PasswordHashString, HashingError> {
        Ok(PasswordHashString::new(password.expose().to_owned()))
    }

    async fn verify<'a>(
        &self,
        password: &Password,
        hash: Option<&'a PasswordHashString>,
    ) -> Result<Verification, HashingError> {
        let right = hash.is_some_and(|hash| hash.as_str() == password.expose());
        Ok(if right { Verification::Right { upgraded: None } } else { Verification::Wrong })
    }
}

/// How an [`InProcess`] differs from a usual one.
pub struct InProcessOptions {
    pub sessions: SessionPolicy,
    pub keys: KeyPolicy,
    pub throttles: ThrottlePolicy,
    pub proofs: ProofRules,
}

impl Default for InProcessOptions {
    fn default() -> Self {
        Self {
            sessions: SessionPolicy::default(),
            throttles: ThrottlePolicy { refresh_by_session: None, ..ThrottlePolicy::without_clients() },
            keys: KeyPolicy {
                algorithm: KeyAlgorithm::EdDsa,
                rotate_after: Duration::from_hours(90 * 24),
                lifetime: TokenSettings::DEFAULT_LIFETIME,
            },
            proofs: ProofRules::default(),
        }
    }
}

/// A moved clock leaves behind whatever was heard before; only a test of that wants a node to mind.
const NEVER_STALE: Duration = Duration::from_hours(100 * 365 * 24);

/// Use cases on a database.
pub struct InProcess {
    pub auth: Auth,
    pub store: Arc<dyn Store>,
    pub clock: Arc<MovableClock>,
    pub mail: Arc<MemoryTransport>,
    pub keys: Arc<SigningKeys>,
    pub tokens: TokenSettings,
    options: Arc<InProcessOptions>,
    master: Arc<MasterKey>,
    folder: Arc<TempDir>,
}

impl InProcess {
    /// Starts on a database of its own.
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, InProcessOptions::default()).await
    }

    /// The same with other rules.
    pub async fn start_with(database: Database, options: InProcessOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = empty_store(database, &folder).await;
        Self::on(store, folder, options).await
    }

    /// Starts on a schema of the PostgreSQL at this URL, with connections for a crowd.
    pub async fn start_at(url: &str, schema: &str) -> Self {
        let options =
            PostgresOptions { schema: schema.parse().unwrap(), max_connections: 100, ..PostgresOptions::default() };
        let store = Arc::new(PostgresStore::open(url, options).await.unwrap());
        Self::on(store, tempfile::tempdir().unwrap(), InProcessOptions::default()).await
    }

    async fn on(store: Arc<dyn Store>, folder: TempDir, options: InProcessOptions) -> Self {
        let master = MasterKey::generate(&SystemEntropy).unwrap();
        let (clock, folder) = (Arc::new(MovableClock::default()), Arc::new(folder));
        Self::assemble(store, clock, Arc::new(master), folder, Arc::new(options)).await
    }

    /// What opens the secrets in the database.
    pub fn sealer(&self) -> Sealer {
        Sealer::new(&self.master)
    }

    /// A second node on the same database, with the same clock.
    pub async fn another_node(&self) -> Self {
        Self::assemble(
            Arc::clone(&self.store),
            Arc::clone(&self.clock),
            Arc::clone(&self.master),
            Arc::clone(&self.folder),
            Arc::clone(&self.options),
        )
        .await
    }

    async fn assemble(
        store: Arc<dyn Store>,
        clock: Arc<MovableClock>,
        master: Arc<MasterKey>,
        folder: Arc<TempDir>,
        options: Arc<InProcessOptions>,
    ) -> Self {
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let mail = Arc::new(MemoryTransport::new());
        let root = RootSecret::provision(&*store, &Sealer::new(&master), &*entropy).await.unwrap();
        let keys = SigningKeys::new(
            Arc::clone(&store),
            Arc::<MovableClock>::clone(&clock),
            Arc::clone(&entropy),
            Sealer::new(&master),
            options.keys,
            None,
        );
        keys.provision().await.unwrap();
        let tokens = TokenSettings {
            issuer: "https://issuer.example".to_owned(),
            audience: "https://audience.example".to_owned(),
            lifetime: options.keys.lifetime,
        };
        let auth = Auth::from_parts(AuthParts {
            store: Arc::clone(&store),
            hasher: Arc::new(NoHashing),
            screen: Arc::new(CommonPasswords),
            issuer: Arc::new(JwtIssuer::new(
                keys.ring(),
                tokens.clone(),
                Arc::<MovableClock>::clone(&clock),
                Arc::clone(&entropy),
            )),
            verifier: Arc::new(JwtVerifier::new(keys.ring(), tokens.clone())),
            refresh_tokens: RefreshTokens::new(&root),
            revocations: Arc::new(MemoryRevocations::default()),
            one_time_tokens: OneTimeTokens::new(&root),
            device_tokens: DeviceTokens::new(&root),
            throttle_keys: ThrottleKeys::new(&root),
            event_chain: EventChain::new(&root),
            proof_of_work: ProofOfWork::new(&root),
            composer: Arc::new(templates()),
            transport: mail.clone(),
            webhooks: Vec::new(),
            settings: AuthSettings {
                registration: RegistrationMode::Open,
                passwords: PasswordPolicy::default(),
                sessions: options.sessions,
                throttles: options.throttles,
                access_token_lifetime: tokens.lifetime,
                public_url: "https://issuer.example".to_owned(),
                staleness: NEVER_STALE,
                proofs: options.proofs,
                remembered_tokens: AccessTokens::REMEMBERED,
            },
            clock: Arc::<MovableClock>::clone(&clock),
            entropy,
        });
        // As a starting node does before it answers anybody.
        auth.watch_revocations().await.unwrap();
        Self { auth, store, clock, mail, keys: Arc::new(keys), tokens, options, master, folder }
    }
}

fn templates() -> Templates {
    let options = TemplateOptions {
        service_name: "Doorward".to_owned(),
        public_url_host: "issuer.example".to_owned(),
        folder: None,
    };
    Templates::new(options).unwrap()
}

/// A store with nothing in it.
pub async fn empty_store(database: Database, folder: &TempDir) -> Arc<dyn Store> {
    match database {
        Database::Sqlite => {
            let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
            Arc::new(SqliteStore::open(&url, 4).await.unwrap())
        }
        Database::Postgres => {
            let schema = postgres::fresh_schema().parse().unwrap();
            let options = PostgresOptions { schema, ..PostgresOptions::default() };
            Arc::new(PostgresStore::open(postgres::url(), options).await.unwrap())
        }
    }
}
