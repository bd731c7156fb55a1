use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_auth::{Auth, AuthenticationError, CurrentUser, Fault};
use doorward_domain::{Client, EventReason};
use secrecy::SecretString;

/// The port that tells whose access token it is: Doorward itself ([`Auth`]) where it is embedded, or a
/// [`Verifier`](crate::verifier::Verifier) in another service.
#[async_trait]
pub trait Authenticate: Send + Sync {
    /// The user that an access token names.
    ///
    /// # Errors
    ///
    /// [`AuthenticationError::Unauthenticated`] without a reason; [`AuthenticationError::Stale`] when too little is
    /// known at the moment to tell.
    async fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError>;

    /// Notes that a user asked for what is not theirs to reach, with [`EventReason::OtherOwner`],
    /// [`EventReason::UnknownResource`] or [`EventReason::MissingRole`]: in the security log where there is one, else in the log of the process.
    ///
    /// # Errors
    ///
    /// [`Fault`]; the request is answered as one that failed then.
    async fn note_refused_access(&self, user: &CurrentUser, reason: EventReason, client: &Client) -> Result<(), Fault> {
        tracing::warn!(
            user = %user.id(),
            session = %user.session_id(),
            reason = reason.as_str(),
            ip = client.ip.map(tracing::field::display),
            "access to a resource was refused"
        );
        Ok(())
    }
}

#[async_trait]
impl Authenticate for Auth {
    async fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        // The method of the type itself, which asks no database and so has nothing to wait for.
        Auth::authenticate(self, token)
    }

    async fn note_refused_access(&self, user: &CurrentUser, reason: EventReason, client: &Client) -> Result<(), Fault> {
        self.record_refused_access(user, reason, client).await
    }
}

/// What the extractors [`CurrentUser`](crate::CurrentUser), [`OptionalUser`](crate::OptionalUser) and
/// [`RequireRole`](crate::RequireRole) ask. Cheap to clone.
///
/// It is made `from` an [`Auth`] or a [`Verifier`](crate::verifier::Verifier), each of which may also be a router's
/// whole state.
#[derive(Clone)]
pub struct AccessGuard(Arc<dyn Authenticate>);

impl AccessGuard {
    /// A guard that asks `authenticate`.
    #[must_use]
    pub fn new(authenticate: impl Authenticate + 'static) -> Self {
        Self(Arc::new(authenticate))
    }

    pub(crate) async fn authenticate(&self, token: &SecretString) -> Result<CurrentUser, AuthenticationError> {
        self.0.authenticate(token).await
    }

    pub(crate) async fn note_refused_access(
        &self,
        user: &CurrentUser,
        reason: EventReason,
        client: &Client,
    ) -> Result<(), Fault> {
        self.0.note_refused_access(user, reason, client).await
    }
}

impl fmt::Debug for AccessGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessGuard(..)")
    }
}

impl From<Auth> for AccessGuard {
    fn from(auth: Auth) -> Self {
        Self::new(auth)
    }
}

impl axum::extract::FromRef<Auth> for AccessGuard {
    fn from_ref(auth: &Auth) -> Self {
        auth.clone().into()
    }
}

#[cfg(feature = "verifier")]
impl From<crate::verifier::Verifier> for AccessGuard {
    fn from(verifier: crate::verifier::Verifier) -> Self {
        Self::new(verifier)
    }
}

#[cfg(feature = "verifier")]
impl axum::extract::FromRef<crate::verifier::Verifier> for AccessGuard {
    fn from_ref(verifier: &crate::verifier::Verifier) -> Self {
        verifier.clone().into()
    }
}
