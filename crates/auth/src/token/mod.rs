//! Access tokens: what they hold, the ports that make and check them, and the JSON Web Token adapters.
//!
//! An access token is a JWT in the shape of RFC 9068. [`JwtIssuer`] signs with one key and one algorithm;
//! [`JwtVerifier`] takes exactly one algorithm for each key that it knows and is strict about every claim.

mod generate;
mod jwks;
mod jwt;
mod key_ring;
mod keys;
mod maintenance;
mod reseal;
mod signing_keys;

use std::fmt;
use std::time::Duration;

use doorward_domain::{EmailAddress, EntropyUnavailable, KeyAlgorithm, Session, SessionId, Timestamp, User, UserId};
use secrecy::SecretString;
use thiserror::Error;
use uuid::Uuid;

use crate::SealError;

pub use jwks::InvalidJwks;
pub use jwt::{CLIENT_ID, JwtIssuer, JwtVerifier, key_id_of};
pub use key_ring::KeyRing;
pub use keys::{InvalidSharedSecret, KeySet, ScheduledKey, SharedSecret, SigningKey};
pub use maintenance::Maintained;
pub use reseal::reseal;
pub use signing_keys::{KeyInfo, KeyPolicy, KeyState, SigningKeys};

/// The port that makes access tokens.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait TokenIssuer: Send + Sync {
    /// Makes a token for a session and its user. It never outlives the session.
    ///
    /// # Errors
    ///
    /// [`TokenError`] when it cannot be signed.
    fn issue(&self, session: &Session, user: &User, now: Timestamp) -> Result<AccessToken, TokenError>;
}

/// The port that checks access tokens.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
pub trait TokenVerifier: Send + Sync {
    /// What a token says, provided that it was issued here, for here, and is valid at `now`.
    ///
    /// # Errors
    ///
    /// [`TokenRefused`] without a reason: whoever presents a bad token learns nothing from it.
    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, TokenRefused>;

    /// The public keys as a JWK Set (RFC 7517 section 5), in JSON. Never holds a shared secret.
    fn jwks(&self) -> String;

    /// A number that is another one whenever the keys have changed: what was verified before counts no longer then.
    fn generation(&self) -> u64;
}

/// What access tokens say of their origin, and how long they last.
///
/// # Defaults
///
/// 10 minutes (`api.md`); issuer and audience have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The `iss` claim: the URL of this service.
    pub issuer: String,
    /// The `aud` claim: the service or services that take the token.
    pub audience: String,
    /// How long a token is valid, in whole seconds.
    pub lifetime: Duration,
}

impl TokenSettings {
    /// How long a token is valid unless the configuration says otherwise.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_mins(10);
}

/// How far the clocks of issuer and verifier may differ.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// A signed access token.
///
/// It does not print, does not serialise and is wiped when dropped.
#[derive(Clone)]
pub struct AccessToken {
    /// The JWT in compact form.
    pub text: SecretString,
    /// How long it is valid.
    pub expires_in: Duration,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// What a verified access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose token it is (`sub`).
    pub user_id: UserId,
    /// The session that it belongs to (`sid`).
    pub session_id: SessionId,
    /// Names the token (`jti`).
    pub token_id: Uuid,
    /// When it was issued (`iat`).
    pub issued_at: Timestamp,
    /// When it ends: `exp`, and no later than tokens last by configuration.
    pub expires_at: Timestamp,
    /// When the user proved who they are (`auth_time`).
    pub authenticated_at: Timestamp,
    /// How the user proved it (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// What the user may do beyond reaching their own data (`roles`).
    pub roles: Vec<String>,
    /// The user's address when the token was issued (`email`).
    pub email: EmailAddress,
    /// Whether the user had proved to read mail there (`email_verified`).
    pub email_verified: bool,
}

/// The token is not one to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the access token is not valid")]
pub struct TokenRefused;

/// Why tokens cannot be made.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The cryptographic back end refused.
    #[error("the token could not be signed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// The key cannot be used with the algorithm that it is kept for.
    #[error("the {algorithm} key {id} cannot be used")]
    UnusableKey {
        /// The `kid`.
        id: String,
        /// What it should be for.
        algorithm: KeyAlgorithm,
        /// What the back end says.
        #[source]
        source: Option<jsonwebtoken::errors::Error>,
    },
    /// The sealed key does not open, for one because the master key is another one than when it was made.
    #[error("the signing key {id} does not open with this master key")]
    SealedKey {
        /// The `kid`.
        id: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// A sealed secret does not open, for one because the master key is another one than when it was made.
    #[error("the secret {name} does not open with this master key")]
    SealedSecret {
        /// Which one.
        name: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// The root secret is not in the database, or not what Doorward wrote.
    #[error("there is no readable root secret in the database")]
    MissingRootSecret,
    /// There is no key that could sign.
    #[error("there is no signing key")]
    MissingKey,
    /// A new key could not be sealed.
    #[error("a new signing key could not be sealed")]
    Seal(#[source] SealError),
    /// No key of the algorithm could be made.
    #[error("no {0} key could be made")]
    KeyGeneration(KeyAlgorithm),
    /// The algorithm needs a secret that the configuration does not give.
    #[error("HS256 needs a shared secret")]
    MissingSecret,
    /// `jsonwebtoken` has no cryptographic back end: the crate was built without the features `aws_lc_rs` and
    /// `rust_crypto`, and the host installed none.
    #[error("no cryptographic back end for JSON Web Tokens is installed")]
    NoProvider,
    /// There was no randomness.
    #[error(transparent)]
    Entropy(#[from] EntropyUnavailable),
}
