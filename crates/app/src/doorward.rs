use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use doorward_auth::password::Argon2Hasher;
use doorward_auth::password::pool::OnWorkerStart;
use doorward_auth::token::{JwtIssuer, JwtVerifier, SharedSecret, SigningKeys, TokenSettings};
use doorward_auth::{
    Administration, Auth, AuthParts, AuthSettings, DeviceTokens, EventChain, Fault, KnownPlace, LogReport, MasterKey,
    MemoryRevocations, OneTimeTokens, ProofOfWork, RefreshTokens, RegistrationMode, RootSecret, Sealer, ThrottleKeys,
};
use doorward_domain::{Clock, Entropy, EventId, SessionPolicy};
use doorward_http::pages::{PageSettings, Pages, PagesError};
use doorward_http::{AccessGuard, HttpConfig, InvalidOrigin};
use doorward_persistence::OpenError;
use doorward_tasks::Tasks;
use doorward_webhooks::UnusableClient;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::watch;
use url::Url;

use crate::background;
use crate::database::{Database, OwnedTables, open_store};
use crate::key_file::{self, KeyFileError};
use crate::lanes;
use crate::mail::{MailError, MailSettings, ToMailServer};
use crate::settings::{DatabaseSettings, Settings, TaskSettings};
use crate::webhooks::{self, WebhookSettings};
use crate::{SystemClock, SystemEntropy};

/// A running Doorward: the use cases, the routes and the background work on one database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Doorward {
    auth: Auth,
    http: HttpConfig,
    keys: Arc<SigningKeys>,
    owned: OwnedTables,
    tasks: Option<Tasks>,
    event_retention: Option<Duration>,
}

/// Why Doorward did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The public URL is none that browsers can reach.
    #[error("the public URL must be an http or https URL")]
    PublicUrl(#[from] InvalidOrigin),
    /// The URL names neither SQLite nor PostgreSQL.
    #[error("the database URL must begin with sqlite: or postgres:")]
    DatabaseUrl,
    /// It is not said how mail leaves.
    #[error("mail settings are needed")]
    MissingMail,
    /// Mail cannot be sent with these settings.
    #[error(transparent)]
    Mail(#[from] MailError),
    /// Webhooks cannot be sent.
    #[error(transparent)]
    Webhooks(#[from] UnusableClient),
    /// The pages cannot be made of these files.
    #[error(transparent)]
    Pages(#[from] PagesError),
    /// There is neither a master key nor a file to keep one in.
    #[error("a master key is needed")]
    MissingMasterKey,
    /// The file with the master key cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The database cannot be opened or migrated.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The signing keys cannot be loaded or made, or the database does not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The threads that hash passwords could not be started.
    #[error("the hashing threads could not be started")]
    Threads(#[source] std::io::Error),
}

impl Doorward {
    /// Begins to describe a Doorward that clients reach at this URL (prefix included) and that keeps everything
    /// in this database: `sqlite:` and a file's path, or `postgres:` and so on.
    #[must_use]
    pub fn builder(public_url: &str, database_url: &str) -> Builder {
        Builder {
            public_url: Url::parse(public_url).map_err(|_| InvalidOrigin),
            database_url: SecretString::from(database_url.to_owned()),
            master_key: None,
            master_key_file: None,
            mail: None,
            registration: RegistrationMode::default(),
            sessions: SessionPolicy::default(),
            shared_secret: None,
            tasks: None,
            pages: PageSettings::default(),
        }
    }

    /// Starts with every option given.
    ///
    /// Opens and migrates the database, loads the signing keys or makes the first one, and starts the threads
    /// that hash passwords. Nothing is served yet.
    ///
    /// # Errors
    ///
    /// [`StartError`] naming what is missing or does not work.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let mail = settings.mail.open(&settings.public_url)?;
        let webhooks = settings.webhooks.into_iter().map(WebhookSettings::open).collect::<Result<_, _>>()?;
        let Database { store, owned } = Database::open(&settings.database, settings.tasks.is_some()).await?;
        let tasks = match settings.tasks {
            Some(tasks) => {
                let repo = owned.tasks(settings.database.migrate).await?;
                Some(Tasks::new(repo, Arc::clone(&clock), Arc::clone(&entropy), tasks.most_per_user))
            }
            None => None,
        };
        let tokens = settings.tokens;
        let epoch = EventId::new(&*clock, &*entropy).map_err(Fault::from)?;
        let root = RootSecret::provision(&*store, &Sealer::new(&settings.master_key), &*entropy).await?;
        let keys = SigningKeys::new(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&entropy),
            Sealer::new(&settings.master_key),
            tokens.key_policy(),
            tokens.shared_secret,
        );
        keys.provision().await?;
        let sets = if tasks.is_some() { &[doorward_tasks::PAGES][..] } else { &[] };
        let pages = Pages::new(settings.pages, sets)?;
        let mut http = HttpConfig::new(settings.public_url)?;
        http.issuer = tokens.issuer.unwrap_or(http.issuer);
        http.cookie_origins.0.extend(settings.cookie_origins.0);
        http.cookie_origins.0.extend(settings.cors_origins.0.iter().cloned());
        http.cors_origins = settings.cors_origins;
        http.trusted_proxies = settings.trusted_proxies;
        http.limits = settings.limits;
        http.languages = mail.languages;
        for language in pages.languages() {
            if !http.languages.contains(&language) {
                http.languages.push(language);
            }
        }
        http.pages = Some(Arc::new(pages));
        http.clients = settings.clients;
        http.audience = tokens.audience.unwrap_or_else(|| http.issuer.clone());
        let token_settings =
            TokenSettings { audience: http.audience.clone(), issuer: http.issuer.clone(), lifetime: tokens.lifetime };
        let yield_first: OnWorkerStart = Arc::new(yield_to_requests);
        let hasher = Argon2Hasher::start(settings.argon2, settings.hashing, Arc::clone(&entropy), Some(&yield_first))
            .map_err(StartError::Threads)?;
        let auth = Auth::from_parts(AuthParts {
            store,
            hasher: Arc::new(hasher),
            screen: Arc::new(settings.screens.screens()),
            issuer: Arc::new(JwtIssuer::new(
                keys.ring(),
                token_settings.clone(),
                Arc::clone(&clock),
                Arc::clone(&entropy),
            )),
            verifier: Arc::new(JwtVerifier::new(keys.ring(), token_settings)),
            refresh_tokens: RefreshTokens::new(&root),
            revocations: Arc::new(MemoryRevocations::new(epoch.uuid())),
            one_time_tokens: OneTimeTokens::new(&root),
            device_tokens: DeviceTokens::new(&root),
            throttle_keys: ThrottleKeys::new(&root),
            event_chain: EventChain::new(&root),
            proof_of_work: ProofOfWork::new(&root),
            composer: mail.composer,
            transport: mail.transport,
            webhooks,
            settings: AuthSettings {
                registration: settings.registration,
                passwords: settings.passwords,
                sessions: settings.sessions,
                throttles: settings.throttles,
                access_token_lifetime: tokens.lifetime,
                staleness: settings.staleness,
                remembered_tokens: settings.remembered_tokens,
                proofs: settings.proofs,
                public_url: http.public_url.as_str().trim_end_matches('/').to_owned(),
            },
            clock,
            entropy,
        });
        // What was revoked before this start counts from the first request on.
        auth.watch_revocations().await?;
        Ok(Self { auth, http, keys: Arc::new(keys), owned, tasks, event_retention: settings.event_retention })
    }

    /// What handlers ask that take a [`CurrentUser`](crate::CurrentUser), for their state.
    #[must_use]
    pub fn guard(&self) -> AccessGuard {
        self.auth().into()
    }

    /// The use cases.
    #[must_use]
    pub fn auth(&self) -> Auth {
        self.auth.clone()
    }

    /// The routes, to be served or nested under a prefix.
    pub fn routes(&self) -> Router {
        self.routes_with(Router::new())
    }

    /// The routes, and routes of one's own beside them. Requests of those get what Doorward's own get: an id, a time
    /// limit, a line in the log, the headers of every answer, and the client's address behind a trusted proxy. They bring
    /// no fallback.
    pub fn routes_with(&self, own: Router) -> Router {
        let own = match &self.tasks {
            Some(tasks) => own.merge(doorward_tasks::routes(self.guard(), tasks.clone())),
            None => own,
        };
        let own = match (&self.tasks, &self.http.pages) {
            (Some(tasks), Some(pages)) if pages.enabled() => {
                own.merge(doorward_tasks::pages(self.auth(), tasks.clone()))
            }
            _ => own,
        };
        doorward_http::routes_with(self.auth.clone(), self.http.clone(), own)
    }

    /// Where an embedding service keeps tables of its own whose rows have owners, when it keeps them in Doorward's
    /// database. They may refer to `users (id)`. `docs/owned-data.md` says how.
    #[must_use]
    pub const fn owned_tables(&self) -> &OwnedTables {
        &self.owned
    }

    /// The background work: learns of what other nodes revoke, rotates keys, delivers mail and webhooks, deletes
    /// what has expired. Runs until it is dropped; spawn it, on any number of nodes.
    ///
    /// Without it no mail and no webhook leaves, and within [`Settings::staleness`] no access token is taken any more:
    /// nobody would know whether it has been revoked.
    pub fn background(&self) -> impl Future<Output = ()> + Send + 'static {
        self.background_until(std::future::pending())
    }

    /// The background work, which ends when `end` resolves and the mails and webhooks that are being sent then are sent,
    /// within 2 seconds. Dropped in the middle of one, it might send that one again.
    pub fn background_until(
        &self,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (auth, keys, retention) = (self.auth.clone(), Arc::clone(&self.keys), self.event_retention);
        let (ending, ended) = watch::channel(());
        async move {
            let end = async move {
                end.await;
                drop(ending);
            };
            let mut told = ended.clone();
            let mail = lanes::deliver(ToMailServer(auth.clone()), async move { while told.changed().await.is_ok() {} });
            let delivering = async { tokio::join!(end, mail, webhooks::deliver(&auth, &ended)) };
            tokio::select! {
                () = background::watch_revocations(&auth, &keys) => {}
                () = background::maintain_keys(&keys) => {}
                () = background::note_seen_sessions(&auth) => {}
                () = background::clean_up(&auth, retention) => {}
                () = background::seal_events(&auth) => {}
                ((), (), ()) = delivering => {}
            }
            background::finish_events(&auth).await;
        }
    }
}

impl FromRef<Doorward> for AccessGuard {
    fn from_ref(doorward: &Doorward) -> Self {
        doorward.guard()
    }
}

impl FromRef<Doorward> for Auth {
    fn from_ref(doorward: &Doorward) -> Self {
        doorward.auth()
    }
}

/// Describes a Doorward for an embedding service.
///
/// # Defaults
///
/// Those of [`Settings::new`]; registration asks for a verified address.
#[derive(Debug)]
pub struct Builder {
    public_url: Result<Url, InvalidOrigin>,
    database_url: SecretString,
    master_key: Option<MasterKey>,
    master_key_file: Option<PathBuf>,
    mail: Option<MailSettings>,
    registration: RegistrationMode,
    sessions: SessionPolicy,
    shared_secret: Option<SharedSecret>,
    tasks: Option<TaskSettings>,
    pages: PageSettings,
}

impl Builder {
    /// The secret that every other key is derived from.
    #[must_use]
    pub fn master_key(self, key: MasterKey) -> Self {
        Self { master_key: Some(key), ..self }
    }

    /// A file of mode 0600 to keep the master key in; both are made on first use.
    #[must_use]
    pub fn master_key_file(self, path: impl Into<PathBuf>) -> Self {
        Self { master_key_file: Some(path.into()), ..self }
    }

    /// How mail leaves. Needed, since passwords are reset and addresses verified by mail.
    #[must_use]
    pub fn mail(self, mail: MailSettings) -> Self {
        Self { mail: Some(mail), ..self }
    }

    /// Who may register.
    #[must_use]
    pub fn registration(self, mode: RegistrationMode) -> Self {
        Self { registration: mode, ..self }
    }

    /// How long sessions last.
    #[must_use]
    pub fn sessions(self, policy: SessionPolicy) -> Self {
        Self { sessions: policy, ..self }
    }

    /// Serves each user's tasks as well. Without it there are none, nor tables for them.
    #[must_use]
    pub fn tasks(self, settings: TaskSettings) -> Self {
        Self { tasks: Some(settings), ..self }
    }

    /// How the pages look, and whether people register, log in and see their account there at all.
    #[must_use]
    pub fn pages(self, settings: PageSettings) -> Self {
        Self { pages: settings, ..self }
    }

    /// Signs access tokens with HS256 and this secret, for services that verify with a shared secret.
    #[must_use]
    pub fn shared_secret(self, secret: SharedSecret) -> Self {
        Self { shared_secret: Some(secret), ..self }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`StartError`] naming what is missing or does not work.
    pub async fn start(self) -> Result<Doorward, StartError> {
        let master_key = match (self.master_key, self.master_key_file) {
            (Some(key), _) => key,
            (None, Some(path)) => key_file::master_key_from_file(&path)?,
            (None, None) => return Err(StartError::MissingMasterKey),
        };
        let mail = self.mail.ok_or(StartError::MissingMail)?;
        let mut settings = Settings::new(self.public_url?, self.database_url, master_key, mail);
        settings.registration = self.registration;
        settings.sessions = self.sessions;
        settings.tasks = self.tasks;
        settings.pages = self.pages;
        if let Some(secret) = self.shared_secret {
            settings.tokens.algorithm = doorward_domain::KeyAlgorithm::Hs256;
            settings.tokens.shared_secret = Some(secret);
        }
        Doorward::start(settings).await
    }
}

/// What an operator does to accounts, for tools: on a database, and without what a running Doorward needs besides.
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened.
pub async fn administer(settings: &DatabaseSettings) -> Result<Administration, StartError> {
    Ok(Administration::new(open_store(settings).await?, Arc::new(SystemClock), Arc::new(SystemEntropy)))
}

/// The keys that access tokens are signed with, for tools. Makes none by itself.
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened, or a key does not open with this master key.
pub async fn signing_keys(settings: Settings) -> Result<SigningKeys, StartError> {
    let store = open_store(&settings.database).await?;
    let (sealer, policy) = (Sealer::new(&settings.master_key), settings.tokens.key_policy());
    let secret = settings.tokens.shared_secret;
    let keys = SigningKeys::new(store, Arc::new(SystemClock), Arc::new(SystemEntropy), sealer, policy, secret);
    keys.reload().await?;
    Ok(keys)
}

/// Seals everything in the database that is kept sealed with another master key; says how many values that were. Nodes
/// that run go on; they need the other master key when they start again.
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened, or something in it does not open with the master key of the
/// settings; nothing was changed then.
pub async fn reseal(settings: &Settings, new: &MasterKey) -> Result<usize, StartError> {
    let store = open_store(&settings.database).await?;
    let (old, new) = (Sealer::new(&settings.master_key), Sealer::new(new));
    Ok(doorward_auth::token::reseal(&*store, &SystemClock, &SystemEntropy, &old, &new).await?)
}

/// Looks at the whole security log for what was changed, removed or moved; `expected` is a place that was written down
/// elsewhere. See [`verify_events`](doorward_auth::verify_events).
///
/// # Errors
///
/// [`StartError`] when the database cannot be opened, or its root secret does not open with the master key.
pub async fn verify_events(settings: &Settings, expected: Option<KnownPlace>) -> Result<LogReport, StartError> {
    let store = open_store(&settings.database).await?;
    let root = RootSecret::load(&*store, &Sealer::new(&settings.master_key)).await?;
    Ok(doorward_auth::verify_events(&*store, &EventChain::new(&root), expected, SystemClock.now()).await?)
}

/// Lets the threads that answer requests go before the calling one, which hashes passwords: a hash takes
/// milliseconds anyway, and a request that only checks a token should not wait for it.
fn yield_to_requests() {
    const NICENESS: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "the priority of a hashing thread could not be lowered");
    }
}
