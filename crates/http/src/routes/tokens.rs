//! What services ask about tokens, instead of verifying them or besides: RFC 7662 and RFC 7009.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use doorward_auth::token::CLIENT_ID;
use doorward_auth::{Auth, Introspection};
use serde_json::{Value, json};

use crate::client::ComesFrom;
use crate::client_auth::ClientForm;
use crate::config::HttpConfig;
use crate::parameters::Refused;

/// The hint at the token's type (RFC 7662 section 2.1) is not needed: a look tells the two types apart.
pub(super) async fn introspect(
    State(auth): State<Auth>,
    State(config): State<Arc<HttpConfig>>,
    ClientForm(form): ClientForm,
) -> Result<Response, Refused> {
    let token = auth.introspect(form.required("token")?).await?;
    Ok(Json(view(token.as_ref(), &config)).into_response())
}

pub(super) async fn revoke(
    State(auth): State<Auth>,
    ComesFrom(client): ComesFrom,
    ClientForm(form): ClientForm,
) -> Result<StatusCode, Refused> {
    auth.revoke(form.required("token")?, &client).await?;
    Ok(StatusCode::OK)
}

/// RFC 7662 section 2.2. Of an inactive token nothing is said but that.
fn view(token: Option<&Introspection>, config: &HttpConfig) -> Value {
    match token {
        None => json!({ "active": false }),
        Some(Introspection::AccessToken(user)) => {
            let claims = user.claims();
            json!({
                "active": true,
                "token_type": "Bearer",
                "client_id": CLIENT_ID,
                "iss": config.issuer,
                "sub": user.id().to_string(),
                "aud": config.audience,
                "exp": claims.expires_at.unix_seconds(),
                "iat": claims.issued_at.unix_seconds(),
                // Tokens are valid from the moment they are issued.
                "nbf": claims.issued_at.unix_seconds(),
                "jti": claims.token_id.to_string(),
                "sid": user.session_id().to_string(),
                "roles": user.roles(),
            })
        }
        Some(Introspection::RefreshToken(session)) => json!({
            "active": true,
            // Another type than an access token has, so that no service takes one for the other.
            "token_type": "refresh_token",
            "client_id": CLIENT_ID,
            "iss": config.issuer,
            "sub": session.user_id.to_string(),
            "aud": config.issuer,
            "exp": session.idle_expires_at.min(session.expires_at).unix_seconds(),
            "sid": session.id.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use doorward_domain::{Client, CredentialVersion, Session, SessionId, Timestamp, UserId};
    use url::Url;
    use uuid::Uuid;

    use super::*;

    fn config() -> HttpConfig {
        let config = HttpConfig::new(Url::parse("https://auth.example.com").unwrap()).unwrap();
        HttpConfig { audience: "https://api.example.com".to_owned(), ..config }
    }

    #[test]
    fn a_refresh_token_is_not_to_be_taken_for_an_access_token() {
        let at = |seconds: i64| Timestamp::from_unix_micros(seconds * 1_000_000);
        let id = Uuid::from_u128(1);
        let session = Session {
            id: SessionId::from_uuid(id),
            user_id: UserId::from_uuid(id),
            credential_version: CredentialVersion::from_uuid(id),
            authenticated_at: at(0),
            amr: Vec::new(),
            last_seen_at: at(0),
            idle_expires_at: at(100),
            expires_at: at(300),
            ended_at: None,
            client: Client::default(),
        };
        let expected = json!({
            "active": true,
            "token_type": "refresh_token",
            "client_id": "doorward",
            "iss": "https://auth.example.com",
            "sub": id.to_string(),
            "aud": "https://auth.example.com",
            "exp": 100,
            "sid": id.to_string(),
        });
        assert_eq!(view(Some(&Introspection::RefreshToken(Box::new(session))), &config()), expected);
    }

    #[test]
    fn of_an_inactive_token_nothing_is_said() {
        assert_eq!(view(None, &config()).to_string(), r#"{"active":false}"#);
    }
}
