//! Taking Doorward's access tokens in another service.
//!
//! A [`Verifier`] needs the issuer's URL and nothing else. It fetches the public keys, refreshes them, and goes on
//! with the last good ones while the issuer is down. With [`revocation_feed`](VerifierBuilder::revocation_feed) it
//! also hears within a second or two of sessions that end and roles that change; without it, both show when the token expires.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use doorward_http::verifier::{Verifier, VerifierError};
//! use doorward_http::{AccessGuard, CurrentUser};
//!
//! async fn hello(user: CurrentUser) -> String {
//!     format!("hello, {}", user.id())
//! }
//!
//! async fn router() -> Result<Router, VerifierError> {
//!     let verifier = Verifier::builder("https://auth.example.com").start().await?;
//!     Ok(Router::new().route("/hello", get(hello)).with_state(AccessGuard::from(verifier)))
//! }
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what can be set, and what is refused at the start | [`VerifierBuilder`], [`VerifierError`] |
//! | when keys are fetched, and how often at most | `verifier/keys.rs` |
//! | how the end of a session arrives | `verifier/feed.rs` |
//! | what protects a service without axum handlers | [`VerifierLayer`] |

mod builder;
mod clock;
mod feed;
mod fetch;
mod keys;
mod layer;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_auth::token::key_id_of;
use doorward_auth::{AccessTokens, AuthenticationError, CurrentUser};
use secrecy::ExposeSecret;

use self::feed::Following;
use self::keys::{IssuerKeys, NoKeys};
use crate::Authenticate;

pub use builder::{VerifierBuilder, VerifierError};
#[doc(no_inline)]
pub use doorward_auth::token::{InvalidSharedSecret, SharedSecret};
#[doc(no_inline)]
pub use doorward_domain::Clock;
pub use layer::{VerifierLayer, VerifierService};
#[doc(no_inline)]
pub use secrecy::SecretString;
#[doc(no_inline)]
pub use url::Url;

/// Verifies the access tokens of a Doorward that runs elsewhere. Cheap to clone; its background work ends with the
/// last clone. It lives in a Tokio runtime.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    tokens: AccessTokens,
    /// None where a shared secret verifies.
    keys: Option<Arc<IssuerKeys>>,
    /// Held for its end.
    _following: Option<Following>,
}

impl Verifier {
    /// Begins a verifier for the tokens of `issuer`, which is the service's public URL exactly as tokens name it in
    /// `iss` (Doorward writes it without a slash at the end).
    pub fn builder(issuer: impl Into<String>) -> VerifierBuilder {
        VerifierBuilder::new(issuer.into())
    }

    /// The user that an access token names.
    ///
    /// Asks the network only while there are no keys, and at most once in a cool-down for a token whose key is not
    /// known.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError::Unauthenticated`] without a reason. [`AuthenticationError::Stale`] while no keys can be
    /// had, or the revocation feed has been silent for too long.
    pub async fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        let Inner { tokens, keys, .. } = &*self.0;
        let Some(keys) = keys else { return tokens.check(token) };
        let known = keys.current().await.map_err(|NoKeys| AuthenticationError::Stale)?;
        let outcome = tokens.check(token);
        // A key that was made since the last fetch is the one reason to ask again; a token that names a known key,
        // or none, is refused for what it is.
        if matches!(outcome, Err(AuthenticationError::Unauthenticated(_)))
            && let Some(key_id) = key_id_of(token.expose_secret())
            && !known.knows(&key_id)
            && keys.learn(&key_id).await
        {
            return tokens.check(token);
        }
        outcome
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

#[async_trait]
impl Authenticate for Verifier {
    async fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        // The method of the type itself.
        Verifier::authenticate(self, token).await
    }
}
