//! The use cases on a real database, in this process, with time that a test moves and passwords that cost
//! nothing: for races that need thousands of rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use doorward::SystemEntropy;
use doorward_auth::password::{CommonPasswords, HashingError, PasswordHasher, Verification};
use doorward_auth::token::{JwtIssuer, JwtVerifier, TokenSettings, provision_keys};
use doorward_auth::{
    Auth, AuthParts, AuthSettings, MasterKey, MemoryEndedSessions, OneTimeTokens, RefreshTokens, RegistrationMode,
    Sealer,
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

/// Use cases on a database of their own.
pub struct InProcess {
    pub auth: Auth,
    pub store: Arc<dyn Store>,
    pub clock: Arc<MovableClock>,
    pub mail: Arc<MemoryTransport>,
    _folder: TempDir,
}

impl InProcess {
    pub async fn start(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = empty_store(database, &folder).await;
        let clock = Arc::new(MovableClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let master = MasterKey::generate(&*entropy).unwrap();
        let sealer = Sealer::new(&master);
        let mail = Arc::new(MemoryTransport::new());
        let keys = provision_keys(&*store, &*clock, &*entropy, &sealer, KeyAlgorithm::EdDsa, None).await.unwrap();
        let keys = Arc::new(keys);
        let settings = TokenSettings {
            issuer: "https://issuer.example".to_owned(),
            audience: "https://audience.example".to_owned(),
            lifetime: TokenSettings::DEFAULT_LIFETIME,
        };
        let auth = Auth::from_parts(AuthParts {
            store: Arc::clone(&store),
            hasher: Arc::new(NoHashing),
            screen: Arc::new(CommonPasswords),
            issuer: Arc::new(JwtIssuer::new(
                Arc::clone(&keys),
                settings.clone(),
                Arc::<MovableClock>::clone(&clock),
                Arc::clone(&entropy),
            )),
            verifier: Arc::new(JwtVerifier::new(keys, settings)),
            refresh_tokens: RefreshTokens::new(&master),
            ended_sessions: Arc::new(MemoryEndedSessions::default()),
            one_time_tokens: OneTimeTokens::new(&master),
            composer: Arc::new(templates()),
            transport: mail.clone(),
            settings: AuthSettings {
                registration: RegistrationMode::Open,
                passwords: PasswordPolicy::default(),
                sessions: SessionPolicy::default(),
                access_token_lifetime: TokenSettings::DEFAULT_LIFETIME,
                public_url: "https://issuer.example".to_owned(),
            },
            clock: Arc::<MovableClock>::clone(&clock),
            entropy,
        });
        Self { auth, store, clock, mail, _folder: folder }
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
