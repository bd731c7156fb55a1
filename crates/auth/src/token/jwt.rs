use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{Clock, EmailAddress, Entropy, Session, SessionId, Timestamp, User, UserId};
use jsonwebtoken::Header;
use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::key_ring::KeyRing;
use super::keys::to_jwa;
use super::{
    AccessClaims, AccessToken, CLOCK_SKEW, TokenError, TokenIssuer, TokenRefused, TokenSettings, TokenVerifier,
};

/// RFC 9068 section 2.1: keeps an access token from being taken for an ID token, and the other way round.
const TYPE: &str = "at+jwt";
/// The `client_id` of every access token. RFC 9068 section 2.2 asks for one; sessions that were opened at the service
/// itself have this one.
pub const CLIENT_ID: &str = "doorward";
/// Far above any token issued here; keeps a megabyte from being decoded.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The claims on the wire. All of them are required, with these types: whatever a token lacks or has
/// differently, it was not issued here.
#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    sub: Uuid,
    aud: String,
    client_id: String,
    exp: i64,
    iat: i64,
    nbf: i64,
    jti: Uuid,
    sid: Uuid,
    auth_time: i64,
    amr: Vec<String>,
    roles: Vec<String>,
    email: String,
    email_verified: bool,
}

/// The parts of a token's header that decide something. `jku`, `x5u`, `jwk` and `x5c` are not among them: a key
/// is only ever found by its `kid` among the keys that are already known.
#[derive(Deserialize)]
struct WireHeader {
    alg: String,
    typ: String,
    kid: String,
    /// Whether there is a `crit`, whatever its value.
    #[serde(default, rename = "crit", deserialize_with = "present")]
    has_critical: bool,
}

/// Signs access tokens with the key of a [`KeyRing`] that signs at the moment.
pub struct JwtIssuer {
    keys: Arc<KeyRing>,
    settings: TokenSettings,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl JwtIssuer {
    /// An issuer for these keys and settings.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, settings: TokenSettings, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { keys, settings, clock, entropy }
    }
}

impl TokenIssuer for JwtIssuer {
    fn issue(&self, session: &Session, user: &User, now: Timestamp) -> Result<AccessToken, TokenError> {
        let keys = self.keys.current();
        let key = keys.signing(now).ok_or(TokenError::MissingKey)?;
        let ends = now.plus(self.settings.lifetime).min(session.expires_at);
        let (iat, exp) = (now.unix_seconds(), ends.unix_seconds());
        let claims = WireClaims {
            iss: self.settings.issuer.clone(),
            sub: user.id.uuid(),
            aud: self.settings.audience.clone(),
            client_id: CLIENT_ID.to_owned(),
            exp,
            iat,
            nbf: iat,
            jti: SessionId::new(&*self.clock, &*self.entropy)?.uuid(),
            sid: session.id.uuid(),
            auth_time: session.authenticated_at.unix_seconds(),
            amr: session.amr.clone(),
            roles: user.roles.clone(),
            email: user.email.as_str().to_owned(),
            email_verified: user.email_verified(),
        };
        let mut header = Header::new(to_jwa(key.algorithm));
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id.as_str().to_owned());
        let text = jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(TokenError::Signing)?;
        let expires_in = Duration::from_secs(u64::try_from(exp - iat).unwrap_or(0));
        Ok(AccessToken { text: SecretString::from(text), expires_in })
    }
}

impl fmt::Debug for JwtIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtIssuer").field("keys", &self.keys).field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Verifies access tokens against the keys of a [`KeyRing`].
///
/// Takes from `jsonwebtoken` the signature alone. That crate's own validation accepts a missing or numeric
/// `aud` and an array as `iss`, and reads the system clock; here the header and every claim are read strictly.
#[derive(Debug)]
pub struct JwtVerifier {
    keys: Arc<KeyRing>,
    settings: TokenSettings,
}

impl JwtVerifier {
    /// A verifier for these keys and settings.
    #[must_use]
    pub fn new(keys: Arc<KeyRing>, settings: TokenSettings) -> Self {
        Self { keys, settings }
    }
}

impl TokenVerifier for JwtVerifier {
    fn verify(&self, token: &str, now: Timestamp) -> Result<AccessClaims, TokenRefused> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenRefused);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenRefused)?;
        let (header, claims) = message.split_once('.').ok_or(TokenRefused)?;

        let header: WireHeader = decode(header)?;
        // No extension is understood here, so every `crit` names an unknown one (RFC 7515 section 4.1.11).
        if header.typ != TYPE || header.has_critical {
            return Err(TokenRefused);
        }
        let keys = self.keys.current();
        let key = keys.verifying.get(&header.kid).ok_or(TokenRefused)?;
        if header.alg != key.algorithm.as_str() {
            return Err(TokenRefused);
        }
        let algorithm = to_jwa(key.algorithm);
        match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, algorithm) {
            Ok(true) => self.check(decode(claims)?, now),
            Ok(false) | Err(_) => Err(TokenRefused),
        }
    }

    fn jwks(&self) -> String {
        self.keys.current().jwks.clone()
    }

    fn generation(&self) -> u64 {
        self.keys.generation()
    }
}

impl JwtVerifier {
    fn check(&self, claims: WireClaims, now: Timestamp) -> Result<AccessClaims, TokenRefused> {
        let skew = i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0);
        let now = now.unix_seconds();
        // No token lasts longer than tokens do now, whatever it says: ended sessions are remembered for just as
        // long, and a shorter lifetime in the configuration would bring them back otherwise.
        let lifetime = i64::try_from(self.settings.lifetime.as_secs()).unwrap_or(i64::MAX);
        let ends = claims.exp.min(claims.iat.saturating_add(lifetime));
        let valid = claims.iss == self.settings.issuer
            && claims.aud == self.settings.audience
            && ends.saturating_add(skew) > now
            && claims.iat.saturating_sub(skew) <= now
            && claims.nbf.saturating_sub(skew) <= now;
        if !valid {
            return Err(TokenRefused);
        }
        Ok(AccessClaims {
            user_id: UserId::from_uuid(claims.sub),
            session_id: SessionId::from_uuid(claims.sid),
            token_id: claims.jti,
            issued_at: from_seconds(claims.iat),
            expires_at: from_seconds(ends),
            authenticated_at: from_seconds(claims.auth_time),
            amr: claims.amr,
            roles: claims.roles,
            email: EmailAddress::parse(&claims.email).map_err(|_| TokenRefused)?,
            email_verified: claims.email_verified,
        })
    }
}

/// The `kid` that a token's header names, whatever it is worth: nothing has been verified.
#[must_use]
pub fn key_id_of(token: &str) -> Option<String> {
    if token.len() > LONGEST_TOKEN {
        return None;
    }
    let (header, _) = token.split_once('.')?;
    decode::<WireHeader>(header).ok().map(|header| header.kid)
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, TokenRefused> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefused)?;
    // A derived reader takes an array of the fields' values as well; both parts have to be objects (RFC 7519
    // section 7.2).
    if json.first() != Some(&b'{') {
        return Err(TokenRefused);
    }
    serde_json::from_slice(&json).map_err(|_| TokenRefused)
}

const fn from_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000))
}

#[cfg(test)]
#[cfg(any(feature = "aws_lc_rs", feature = "rust_crypto"))]
mod tests;
