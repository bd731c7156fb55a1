//! What machines ask of the service itself: its keys, its metadata, its health.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use doorward_auth::Auth;

use crate::config::HttpConfig;
use crate::problem::Problem;

/// How long verifiers may keep the public keys and the metadata.
const CACHEABLE: &str = "public, max-age=300";

pub(super) async fn jwks(State(auth): State<Auth>) -> Response {
    ([(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, CACHEABLE)], auth.jwks()).into_response()
}

/// RFC 8414 section 2. There is no authorization and no token endpoint, so no response type and no grant type;
/// the lists are there because the RFC asks for them. The endpoints for clients are named where there are any.
pub(super) async fn metadata(State(config): State<Arc<HttpConfig>>) -> Response {
    let base = config.public_url.as_str().trim_end_matches('/');
    let mut metadata = serde_json::json!({
        "issuer": config.issuer,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": [],
        "grant_types_supported": [],
    });
    if !config.clients.is_empty()
        && let Some(metadata) = metadata.as_object_mut()
    {
        for (endpoint, path) in [("introspection", "introspect"), ("revocation", "revoke")] {
            let methods = serde_json::json!(["client_secret_basic", "client_secret_post"]);
            metadata.insert(format!("{endpoint}_endpoint"), format!("{base}/api/auth/{path}").into());
            metadata.insert(format!("{endpoint}_endpoint_auth_methods_supported"), methods);
        }
    }
    ([(CACHE_CONTROL, CACHEABLE)], Json(metadata)).into_response()
}

pub(super) async fn alive() -> Response {
    Json(serde_json::json!({ "status": "ok" })).into_response()
}

pub(super) async fn ready(State(auth): State<Auth>) -> Result<Response, Problem> {
    auth.ready().await?;
    Ok(Json(serde_json::json!({ "status": "ok" })).into_response())
}
