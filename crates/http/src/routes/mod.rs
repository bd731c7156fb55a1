//! The endpoints. Each file holds those of one subject, their bodies and their answers.

pub(crate) mod account;
mod challenge;
mod events;
mod feed;
pub(crate) mod mailed;
mod service;
mod session;
pub(crate) mod sessions;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH, LOCATION, RETRY_AFTER};
use axum::routing::{delete, get, post};
use doorward_auth::Auth;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::AccessGuard;
use crate::config::HttpConfig;
use crate::middleware;
#[cfg(feature = "pages")]
use crate::pages::nothing_here;
use crate::problem::{Kind, Problem};
use crate::proof::PROOF;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    auth: Auth,
    guard: AccessGuard,
    config: Arc<HttpConfig>,
}

impl FromRef<Shared> for AccessGuard {
    fn from_ref(shared: &Shared) -> Self {
        shared.guard.clone()
    }
}

impl FromRef<Shared> for Auth {
    fn from_ref(shared: &Shared) -> Self {
        shared.auth.clone()
    }
}

impl FromRef<Shared> for Arc<HttpConfig> {
    fn from_ref(shared: &Shared) -> Self {
        Arc::clone(&shared.config)
    }
}

/// Every route of Doorward, ready to be served or to be nested under a prefix.
///
/// The client's address is known where the server gives `ConnectInfo<SocketAddr>`.
pub fn routes(auth: Auth, config: HttpConfig) -> Router {
    routes_with(auth, config, Router::new())
}

/// The same, with routes of one's own beside them. Their requests get what Doorward's get: an id, a time limit, a line in
/// the log, the headers of every answer, and the client's address behind a trusted proxy. They bring no fallback.
pub fn routes_with(auth: Auth, config: HttpConfig, own: Router) -> Router {
    let config = Arc::new(config);
    let every_request =
        axum::middleware::from_fn_with_state((auth.clone(), Arc::clone(&config)), middleware::every_request);
    let cors = cors(&config);
    let router = Router::new()
        .route("/api/auth/challenge", get(challenge::challenge))
        .route("/api/auth/register", post(session::register))
        .route("/api/auth/login", post(session::login))
        .route("/api/auth/refresh", post(session::refresh))
        .route("/api/auth/logout", post(session::logout))
        .route("/api/auth/logout-all", post(session::logout_all))
        .route("/api/auth/sessions", get(sessions::list))
        .route("/api/auth/sessions/{id}", delete(sessions::end))
        .route("/api/auth/events", get(events::list))
        .route("/api/auth/introspect", post(tokens::introspect))
        .route("/api/auth/revoke", post(tokens::revoke))
        .route("/api/auth/revocations", get(feed::revocations))
        .route("/api/auth/me", get(account::me).patch(account::change_me).delete(account::delete_me))
        .route("/api/auth/change-password", post(account::change_password))
        .route("/api/auth/change-email", post(account::change_email))
        .route("/api/auth/change-email/confirm", post(mailed::confirm_email_change))
        .route("/api/auth/change-email/undo", post(mailed::undo_email_change))
        .route("/api/auth/verify-email", post(mailed::verify_email))
        .route("/api/auth/verify-email/resend", post(mailed::resend_verification))
        .route("/api/auth/reset-password", post(mailed::request_password_reset))
        .route("/api/auth/reset-password/confirm", post(mailed::reset_password))
        .merge(own.with_state(()))
        .route("/.well-known/jwks.json", get(service::jwks))
        .route("/.well-known/oauth-authorization-server", get(service::metadata))
        .route("/healthz", get(service::alive))
        .route("/readyz", get(service::ready));
    #[cfg(feature = "pages")]
    let router = match &config.pages {
        Some(pages) => router.merge(crate::pages::routes(pages)),
        None => router,
    };
    let router = router
        .fallback(nothing_here)
        .method_not_allowed_fallback(async || Problem::from(Kind::MethodNotAllowed))
        .layer(CatchPanicLayer::custom(middleware::after_panic));
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(every_request).with_state(Shared { guard: auth.clone().into(), auth, config })
}

#[cfg(not(feature = "pages"))]
async fn nothing_here() -> Problem {
    Kind::NotFound.into()
}

/// What answers preflight requests; nothing where no other origin is configured.
fn cors(config: &HttpConfig) -> Option<CorsLayer> {
    if config.cors_origins.0.is_empty() {
        return None;
    }
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(config.cors_origins.0.iter().map(|origin| origin.header().clone())))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH, PROOF, HeaderName::from_static("x-request-id")])
        .expose_headers([ETAG, LOCATION, RETRY_AFTER, HeaderName::from_static("x-request-id")]);
    Some(layer)
}
