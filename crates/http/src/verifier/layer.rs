use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::Request;
use axum::response::{IntoResponse, Response};
use tower::{Layer, Service};

use crate::problem::Problem;
use crate::{AccessGuard, CurrentUser};

/// Lets through requests with a valid access token alone, and leaves their [`CurrentUser`] in the request's
/// extensions. For services that are not made of axum handlers, and for whole routers.
///
/// ```
/// use axum::{Extension, Router, routing::get};
/// use doorward_http::CurrentUser;
/// use doorward_http::verifier::{Verifier, VerifierLayer};
///
/// async fn hello(Extension(user): Extension<CurrentUser>) -> String {
///     format!("hello, {}", user.id())
/// }
///
/// fn router(verifier: Verifier) -> Router {
///     Router::new().route("/hello", get(hello)).layer(VerifierLayer::new(verifier))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct VerifierLayer(AccessGuard);

/// The service that [`VerifierLayer`] makes of another.
#[derive(Clone, Debug)]
pub struct VerifierService<S> {
    inner: S,
    guard: AccessGuard,
}

impl VerifierLayer {
    /// A layer that asks a [`Verifier`](super::Verifier), or any other guard.
    #[must_use]
    pub fn new(guard: impl Into<AccessGuard>) -> Self {
        Self(guard.into())
    }
}

impl<S> Layer<S> for VerifierLayer {
    type Service = VerifierService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        VerifierService { inner, guard: self.0.clone() }
    }
}

impl<S, B> Service<Request<B>> for VerifierService<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was found ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let guard = self.guard.clone();
        Box::pin(async move {
            // Apart from the body, which may not be shared between threads while the guard is asked.
            let (mut parts, body) = request.into_parts();
            let problem = match CurrentUser::of(&parts.headers, &guard).await {
                Ok(Some(user)) => {
                    parts.extensions.insert(user);
                    return inner.call(Request::from_parts(parts, body)).await.map(IntoResponse::into_response);
                }
                Ok(None) => Problem::unauthenticated(false),
                Err(problem) => problem,
            };
            Ok(problem.into_response())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::StatusCode;
    use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
    use tower::{ServiceExt as _, service_fn};

    use super::*;
    use crate::verifier::testing::SharedIssuer;

    /// Knows nothing of axum, and takes a body of a type of its own.
    async fn name(request: Request<u8>) -> Result<String, Infallible> {
        assert_eq!(*request.body(), 7);
        Ok(request.extensions().get::<CurrentUser>().unwrap().id().to_string())
    }

    #[tokio::test]
    async fn a_request_with_a_token_arrives_with_its_user_and_no_other_arrives() {
        let issuer = SharedIssuer::default();
        let service = VerifierLayer::new(issuer.verifier().await).layer(service_fn(name));
        for (header, status, challenge) in [
            (None, StatusCode::UNAUTHORIZED, Some("Bearer")),
            (Some("Bearer forged".to_owned()), StatusCode::UNAUTHORIZED, Some(r#"Bearer error="invalid_token""#)),
            (Some(format!("Bearer {}", issuer.token(&[]))), StatusCode::OK, None),
        ] {
            let mut request = Request::builder();
            if let Some(header) = header {
                request = request.header(AUTHORIZATION, header);
            }
            let response = service.clone().oneshot(request.body(7_u8).unwrap()).await.unwrap();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap()), challenge);
        }
    }
}
