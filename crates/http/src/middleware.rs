//! What happens to every request: it gets an id, a time limit, a line in the log, and its answer gets the headers
//! that every answer has.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use doorward_auth::Auth;
use doorward_domain::{Client, EventReason, RequestId};
use tokio::runtime::Handle;
use tracing::Instrument;

use crate::client::ComesFrom;
use crate::config::HttpConfig;
use crate::problem::{Kind, Problem, chain};

/// What machines ask all the time, many of them from one address, and what costs next to nothing.
const UNLIMITED: [&str; 5] =
    ["/healthz", "/readyz", "/api/auth/introspect", "/api/auth/revoke", "/api/auth/revocations"];

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn every_request(
    State((auth, config)): State<(Auth, Arc<HttpConfig>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request_id(request.headers(), &auth);
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(Arc::clone(&config));
    #[cfg(feature = "pages")]
    let looks = crate::pages::Looks::at(&mut request);
    let method = request.method().clone();
    // The route's pattern and not the path: a path may hold anything.
    let route = request.extensions().get::<MatchedPath>().map_or("-".into(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", id = id.as_str());
    let (parts, body) = request.into_parts();
    let ComesFrom(client) = ComesFrom::of(&parts);
    let limited = !UNLIMITED.iter().any(|path| route.ends_with(path));
    let request = Request::from_parts(parts, body);

    let answer = async {
        let work = async {
            if limited && let Err(refused) = auth.pass_request(&client) {
                record(&auth, EventReason::ClientLimit, &client).await;
                return Problem::from(refused).into_response();
            }
            let mut unanswered =
                Unanswered { auth: auth.clone(), client: client.clone(), is_answered: method.is_safe() };
            let response = next.run(request).await;
            unanswered.is_answered = true;
            response
        };
        let answering = tokio::time::timeout(config.limits.request_timeout, work);
        let response = answering.await.unwrap_or_else(|_| {
            tracing::error!(%method, route, "request timed out");
            Problem::from(Kind::Unavailable).into_response()
        });
        if let Some(reason) = response.extensions().get().and_then(unseen) {
            record(&auth, reason, &client).await;
        }
        tracing::info!(
            %method,
            route,
            status = response.status().as_u16(),
            micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "request"
        );
        response
    };
    let response = answer.instrument(span).await;
    #[cfg(feature = "pages")]
    let response = looks.finish(response, &config, &id);
    let mut response = name_request(response, &id);
    add_headers(response.headers_mut(), &id, &config);
    response
}

/// A request that has not been answered yet. Who hangs up, or takes too long, has been at work all the same: a password
/// that was counted must not go without an entry.
struct Unanswered {
    auth: Auth,
    client: Client,
    is_answered: bool,
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.is_answered {
            return;
        }
        let (auth, client) = (self.auth.clone(), self.client.clone());
        tracing::info!("request abandoned");
        runtime.spawn(async move { record(&auth, EventReason::Abandoned, &client).await }.in_current_span());
    }
}

/// Why a request was refused, or failed, where no use case has seen it (ASVS 16.3).
fn unseen(problem: &Problem) -> Option<EventReason> {
    match problem {
        problem if problem.is(Kind::CsrfRejected) => Some(EventReason::OtherOrigin),
        problem if problem.is(Kind::Internal) => Some(EventReason::UnexpectedError),
        _ => None,
    }
}

/// The answer stands, whether or not it can be put on record why.
async fn record(auth: &Auth, reason: EventReason, client: &Client) {
    if let Err(fault) = auth.record_refused_request(reason, client).await {
        tracing::warn!(error = %chain(&fault), "a refusal could not be put on record");
    }
}

fn request_id(headers: &HeaderMap, auth: &Auth) -> RequestId {
    let own = headers.get(X_REQUEST_ID).and_then(|value| RequestId::parse(value.to_str().ok()?));
    own.unwrap_or_else(|| auth.new_request_id())
}

/// Has a problem response name its request.
fn name_request(mut response: Response, id: &RequestId) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let (parts, _) = response.into_parts();
    let mut named = problem.into_response_for(Some(id.as_str()));
    // Headers from in between, such as `Allow`, stay.
    for (name, value) in &parts.headers {
        if !named.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            named.headers_mut().append(name, value.clone());
        }
    }
    named
}

fn add_headers(headers: &mut HeaderMap, id: &RequestId, config: &HttpConfig) {
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if config.is_https() {
        // Two years. Subdomains are the host's to decide about.
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}

/// A panic costs its request and says nothing of itself to the client.
#[allow(clippy::needless_pass_by_value, reason = "the signature is the layer's")]
pub(crate) fn after_panic(panic: Box<dyn Any + Send>) -> Response<Body> {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(panic = message, "request panicked");
    Problem::from(Kind::Internal).into_response()
}
