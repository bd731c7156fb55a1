use std::sync::Arc;
use std::time::Duration;

use doorward_auth::token::{InvalidJwks, JwtVerifier, KeyRing, KeySet, SharedSecret, TokenError, TokenSettings};
use doorward_auth::{AccessTokens, MemoryRevocations, Revocations};
use doorward_domain::Clock;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::Url;

use super::clock::SystemClock;
use super::feed::RevocationFeed;
use super::fetch::{client_for, is_safe};
use super::keys::{IssuerKeys, KeyLimits};
use super::{Inner, Verifier};

/// The longest that an access token of Doorward can be configured to last. What a token itself says is what counts
/// below that.
const LONGEST_TOKEN_LIFETIME: Duration = Duration::from_hours(24);
const DEFAULT_STALENESS: Duration = Duration::from_secs(60);
/// Leaves room for a poll that is held back and one that fails, in whole seconds.
const LEAST_STALENESS: Duration = Duration::from_secs(3);
/// How long the issuer is asked to hold a request back.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
const NO_KEYS: &str = r#"{"keys":[]}"#;

/// Settings of a [`Verifier`].
///
/// # Defaults
///
/// | setting | default |
/// |---|---|
/// | audience | the issuer, as Doorward's own default is |
/// | keys | `/.well-known/jwks.json` below the issuer, by HTTPS |
/// | refresh after | 5 minutes |
/// | cool-down | 30 seconds |
/// | maximum age | 24 hours |
/// | revocation feed | none |
/// | staleness | 60 seconds, with the feed |
#[must_use = "nothing is verified before `start`"]
pub struct VerifierBuilder {
    issuer: String,
    audience: Option<String>,
    jwks_url: Option<Url>,
    shared_secret: Option<SharedSecret>,
    feed: Option<(String, SecretString)>,
    limits: KeyLimits,
    staleness: Duration,
    clock: Arc<dyn Clock>,
}

/// Why a [`Verifier`] cannot be made of its settings. That the issuer is down is not among the reasons.
#[derive(Debug, Error)]
pub enum VerifierError {
    /// The issuer is no URL that Doorward could be at.
    #[error("the issuer must be a URL such as https://auth.example.com, without user, query and fragment")]
    InvalidIssuer,
    /// Keys or client secrets would travel in the open.
    #[error("the issuer must be an https URL, unless its host is localhost, 127.0.0.1 or [::1]")]
    InsecureIssuer,
    /// Keys would travel in the open.
    #[error("the keys' URL must be an https URL, unless its host is localhost, 127.0.0.1 or [::1]")]
    InsecureKeys,
    /// The audience is empty.
    #[error("the audience must not be empty")]
    EmptyAudience,
    /// The client of the revocation feed cannot be written into a Basic header (RFC 7617 section 2), or is empty.
    #[error("the revocation feed needs a client id without a colon, and a secret")]
    InvalidClient,
    /// A duration that would have every request fetch, or none believed.
    #[error("{0} must be longer than that")]
    TooShort(&'static str),
    /// The keys cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A key set cannot be read, not even an empty one.
    #[error(transparent)]
    Keys(#[from] InvalidJwks),
    /// There is no HTTP client, for one because the system has no root certificates.
    #[error("no HTTP client could be made")]
    HttpClient(#[from] reqwest::Error),
}

impl VerifierBuilder {
    pub(super) fn new(issuer: String) -> Self {
        Self {
            issuer,
            audience: None,
            jwks_url: None,
            shared_secret: None,
            feed: None,
            limits: KeyLimits::default(),
            staleness: DEFAULT_STALENESS,
            clock: Arc::new(SystemClock),
        }
    }

    /// What tokens have to name in `aud`.
    pub fn audience(self, audience: &str) -> Self {
        Self { audience: Some(audience.to_owned()), ..self }
    }

    /// Where the public keys are, if not below the issuer.
    pub fn jwks_url(self, url: Url) -> Self {
        Self { jwks_url: Some(url), ..self }
    }

    /// Verifies HS256 with a secret that is shared with the issuer. No keys are fetched then. Whoever has the secret
    /// can make tokens too.
    pub fn shared_secret(self, secret: SharedSecret) -> Self {
        Self { shared_secret: Some(secret), ..self }
    }

    /// Listens to the end of sessions and to changes of roles, as a client that the issuer has in its `clients`.
    pub fn revocation_feed(self, client_id: impl Into<String>, client_secret: SecretString) -> Self {
        Self { feed: Some((client_id.into(), client_secret)), ..self }
    }

    /// How long the revocation feed may be silent before nobody is let in (503): within this time an ended session
    /// is refused, whatever fails. At least 3 seconds.
    pub fn staleness(self, staleness: Duration) -> Self {
        Self { staleness, ..self }
    }

    /// How long the last good keys serve while the issuer is down; then 503. For as long, a key that the issuer has
    /// withdrawn may be believed if the issuer cannot be reached.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.limits.max_age = max_age;
        self
    }

    /// The least time between two fetches of keys, whatever tokens are presented.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.limits.cool_down = cool_down;
        self
    }

    /// How old keys become before they are fetched again, while they go on serving. A key that the issuer has
    /// withdrawn is believed for about as long, and for twice as long where no request came in between.
    pub fn refresh_after(mut self, refresh_after: Duration) -> Self {
        self.limits.refresh_after = refresh_after;
        self
    }

    /// Another clock than the system's, for tests.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Starts the verifier in the Tokio runtime that this is called in. Keys are fetched when the first token comes;
    /// a revocation feed is asked at once, and waited for five seconds at most.
    ///
    /// # Errors
    ///
    /// [`VerifierError`] for settings that cannot be used. An issuer that is down is not an error: requests get 503
    /// until it answers.
    pub async fn start(self) -> Result<Verifier, VerifierError> {
        self.check_values()?;
        let base = issuer_url(&self.issuer)?;
        let Self { issuer, audience, jwks_url, shared_secret, feed, limits, staleness, clock } = self;
        let (ring, keys) = if let Some(secret) = shared_secret {
            (Arc::new(KeyRing::new(KeySet::from_shared_secret(&secret)?)), None)
        } else {
            let ring = Arc::new(KeyRing::new(KeySet::from_jwks(NO_KEYS)?));
            let url = jwks_url.map_or_else(|| below(&base, "/.well-known/jwks.json"), Ok)?;
            if !is_safe(&url) {
                return Err(VerifierError::InsecureKeys);
            }
            let client = client_for(&url)?;
            let keys = IssuerKeys::new(client, url, Arc::clone(&ring), Arc::clone(&clock), limits);
            (ring, Some(Arc::new(keys)))
        };
        let revocations: Arc<dyn Revocations> = Arc::new(MemoryRevocations::default());
        let staleness = feed.is_some().then_some(staleness);
        let following = match (feed, staleness) {
            (Some((client_id, client_secret)), Some(staleness)) => {
                let url = below(&base, "/api/auth/revocations")?;
                let (revocations, clock) = (Arc::clone(&revocations), Arc::clone(&clock));
                let (client, wait) = (client_for(&url)?, wait_for(staleness));
                let feed = RevocationFeed { client, url, client_id, client_secret, revocations, clock, wait };
                Some(feed.start().await)
            }
            _ => None,
        };
        let audience = audience.unwrap_or_else(|| issuer.clone());
        let settings = TokenSettings { issuer, audience, lifetime: LONGEST_TOKEN_LIFETIME };
        let verifier = Arc::new(JwtVerifier::new(ring, settings));
        let tokens = AccessTokens::new(verifier, revocations, clock, staleness, AccessTokens::REMEMBERED);
        Ok(Verifier(Arc::new(Inner { tokens, keys, _following: following })))
    }

    fn check_values(&self) -> Result<(), VerifierError> {
        if self.audience.as_ref().is_some_and(String::is_empty) {
            return Err(VerifierError::EmptyAudience);
        }
        if let Some((id, secret)) = &self.feed
            && (id.is_empty() || id.contains(':') || secret.expose_secret().is_empty())
        {
            return Err(VerifierError::InvalidClient);
        }
        for (name, value, least) in [
            ("the maximum age", self.limits.max_age, Duration::from_millis(1)),
            ("the cool-down", self.limits.cool_down, Duration::from_millis(1)),
            ("the time before a refresh", self.limits.refresh_after, Duration::from_millis(1)),
            ("the staleness", self.staleness, LEAST_STALENESS),
        ] {
            if value < least {
                return Err(VerifierError::TooShort(name));
            }
        }
        Ok(())
    }
}

fn issuer_url(text: &str) -> Result<Url, VerifierError> {
    let url = Url::parse(text).map_err(|_| VerifierError::InvalidIssuer)?;
    let has_more = url.query().is_some() || url.fragment().is_some();
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || has_more || has_user {
        return Err(VerifierError::InvalidIssuer);
    }
    if is_safe(&url) { Ok(url) } else { Err(VerifierError::InsecureIssuer) }
}

/// A path of the issuer, which may itself be nested under a prefix.
fn below(base: &Url, path: &str) -> Result<Url, VerifierError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    Url::parse(&text).map_err(|_| VerifierError::InvalidIssuer)
}

/// Three polls fit into the staleness, so that one may fail.
fn wait_for(staleness: Duration) -> Duration {
    Duration::from_secs((staleness / 3).min(LONGEST_WAIT).as_secs())
}

#[cfg(test)]
mod tests;
