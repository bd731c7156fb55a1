//! Challenges for proofs of work, ahead of the request that needs one.

use axum::Json;
use axum::extract::State;
use doorward_auth::{Auth, Challenge, ProofPurpose};
use serde::Serialize;

use crate::body::{Fields, FromFields, Query};
use crate::problem::{FieldError, Kind, Problem};

pub(super) struct ChallengeQuery(ProofPurpose);

impl FromFields for ChallengeQuery {
    fn from_fields(fields: &mut Fields) -> Option<Self> {
        let name = fields.text("purpose")?;
        let unknown =
            || FieldError::new("purpose", "invalid_choice", "must be `register`, `reset_password` or `login`");
        fields.noting(ProofPurpose::from_name(&name).ok_or_else(unknown)).map(Self)
    }
}

#[derive(Serialize)]
pub(super) struct ChallengeView {
    challenge: String,
    difficulty: u8,
    expires_in: u64,
}

/// There is none where no proof is asked for.
pub(super) async fn challenge(
    State(auth): State<Auth>,
    Query(ChallengeQuery(purpose)): Query<ChallengeQuery>,
) -> Result<Json<ChallengeView>, Problem> {
    let challenge = auth.challenge(purpose)?.ok_or(Kind::NotFound)?;
    Ok(Json(ChallengeView {
        challenge: challenge.text().to_owned(),
        difficulty: challenge.difficulty().bits(),
        expires_in: Challenge::LIFETIME.as_secs(),
    }))
}
