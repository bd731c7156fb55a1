//! How a proof of work comes in, and how a challenge goes out where there is no JSON.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use doorward_auth::Proof;

/// The header of a request that brings the solution of a challenge.
pub(crate) const PROOF: HeaderName = HeaderName::from_static("doorward-proof");

/// The proof of work that a request brings, good or not.
pub(crate) struct Presented(pub(crate) Option<Proof>);

impl<S: Send + Sync> FromRequestParts<S> for Presented {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts.headers.get(PROOF).and_then(|value| value.to_str().ok());
        Ok(Self(header.map(Proof::new)))
    }
}
