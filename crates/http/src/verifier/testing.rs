//! Keys, tokens and issuers for the verifier's tests.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

mod issuer;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use doorward_auth::token::{SharedSecret, SigningKey};
use doorward_domain::{Clock, Timestamp};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Verifier, VerifierBuilder};

pub(crate) use self::issuer::{Behaviour, CLIENT_ID, CLIENT_SECRET, Issuer};

pub(crate) const USER: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
const SESSION: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);

/// A clock that a test moves.
pub(crate) struct Time(AtomicI64);

impl Default for Time {
    fn default() -> Self {
        Self(AtomicI64::new(1_800_000_000_000_000))
    }
}

impl Time {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Waits until something holds that happens behind the scenes.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came about");
}

fn claims(issuer: &str, now: Timestamp, roles: &[&str]) -> Value {
    let now = now.unix_seconds();
    json!({
        "iss": issuer, "sub": USER, "aud": issuer, "client_id": "doorward",
        "exp": now + 600, "iat": now, "nbf": now, "jti": Uuid::from_u128(3), "sid": SESSION,
        "auth_time": now, "amr": ["pwd"], "roles": roles, "email": "ada@example.com", "email_verified": true,
    })
}

fn sign(algorithm: Algorithm, key_id: &str, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

/// An issuer's signing key.
pub(crate) struct TestKey {
    id: String,
    encoding: EncodingKey,
    jwk: Jwk,
}

impl TestKey {
    /// Another key for each seed.
    pub(crate) fn new(seed: u8) -> Self {
        // A provider that another test has installed does as well.
        jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default().unwrap_or_default();
        // PKCS #8 around the 32 bytes of an Ed25519 key (RFC 8410 section 7).
        let mut der =
            vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        der.extend([seed; 32]);
        let encoding = EncodingKey::from_ed_der(&der);
        let id = format!("key-{seed}");
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::EdDSA).unwrap();
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Self { id, encoding, jwk }
    }

    /// Under the name of another key.
    pub(crate) fn named(self, other: &Self) -> Self {
        Self { id: other.id.clone(), ..self }
    }
}

/// An issuer that shares a secret with its verifiers and is never asked.
pub(crate) struct SharedIssuer {
    secret: &'static str,
    time: Arc<Time>,
}

impl Default for SharedIssuer {
    fn default() -> Self {
        Self::with_secret("kq8Zt3Vw1mB7xR5nL2cY9hF4jD6sG0pA")
    }
}

impl SharedIssuer {
    pub(crate) const URL: &'static str = "https://issuer.example.com";

    pub(crate) fn with_secret(secret: &'static str) -> Self {
        Self { secret, time: Arc::default() }
    }

    pub(crate) fn secret(&self) -> SharedSecret {
        SharedSecret::parse(&self.secret.to_owned().into()).unwrap()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.time) as Arc<dyn Clock>
    }

    pub(crate) fn builder(&self) -> VerifierBuilder {
        Verifier::builder(Self::URL).shared_secret(self.secret()).clock(self.clock())
    }

    pub(crate) async fn verifier(&self) -> Verifier {
        self.builder().start().await.unwrap()
    }

    pub(crate) fn token(&self, roles: &[&str]) -> String {
        let key = SigningKey::from_shared_secret(&self.secret()).unwrap();
        let encoding = EncodingKey::from_secret(self.secret.as_bytes());
        sign(Algorithm::HS256, key.id().as_str(), &encoding, &claims(Self::URL, self.time.now(), roles))
    }
}
