//! Forged, mangled and mistyped tokens, for every algorithm.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

mod forger;

use base64::engine::general_purpose::STANDARD;
use doorward_domain::KeyAlgorithm;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use self::forger::{Forger, brought_along};
use super::*;
use crate::testing::{CountingEntropy, NOW, SECOND, SESSION_ID, Time, USER_ID, session, user};
use crate::token::generate::private_key;
use crate::token::{KeySet, ScheduledKey, SharedSecret, SigningKey};

const ALGORITHMS: [KeyAlgorithm; 4] =
    [KeyAlgorithm::EdDsa, KeyAlgorithm::Es256, KeyAlgorithm::Rs256, KeyAlgorithm::Hs256];
const ISSUER: &str = "https://auth.example.com";
const AUDIENCE: &str = "https://api.example.com";

fn settings() -> TokenSettings {
    TokenSettings {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        lifetime: TokenSettings::DEFAULT_LIFETIME,
    }
}

/// A real key; another one for each seed.
fn signing_key(algorithm: KeyAlgorithm, seed: u64) -> SigningKey {
    if algorithm == KeyAlgorithm::Hs256 {
        let text = format!("a shared text of more than thirty-two bytes, number {seed}");
        return SigningKey::from_shared_secret(&SharedSecret::parse(&SecretString::from(text)).unwrap()).unwrap();
    }
    let der = private_key(algorithm, &CountingEntropy::starting_at(seed)).unwrap();
    SigningKey::from_private_der(algorithm, &der).unwrap()
}

fn key_set(algorithm: KeyAlgorithm, seed: u64) -> Arc<KeySet> {
    Arc::new(KeySet::single(signing_key(algorithm, seed)))
}

fn ring(keys: &Arc<KeySet>) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(Arc::clone(keys)))
}

fn issuer(keys: &Arc<KeySet>) -> JwtIssuer {
    let clock = Arc::new(Time::at(NOW).clock());
    JwtIssuer::new(ring(keys), settings(), clock, Arc::new(CountingEntropy::default()))
}

fn verifier(keys: &Arc<KeySet>) -> JwtVerifier {
    JwtVerifier::new(ring(keys), settings())
}

/// The header and the claims of a token that is accepted with this key.
fn good_header(key: &SigningKey) -> Value {
    json!({"alg": key.algorithm.as_str(), "typ": "at+jwt", "kid": key.id.as_str()})
}

fn good_claims() -> Value {
    let now = NOW.unix_seconds();
    json!({
        "iss": ISSUER, "sub": USER_ID.to_string(), "aud": AUDIENCE, "client_id": "doorward",
        "exp": now + 600, "iat": now, "nbf": now, "jti": Uuid::from_u128(4).to_string(),
        "sid": SESSION_ID.to_string(), "auth_time": now, "amr": ["pwd"], "roles": [],
        "email": "ada@example.com", "email_verified": true,
    })
}

/// The object with one member set to another value.
fn with(object: &Value, member: &str, value: Value) -> Value {
    let mut changed = object.clone();
    changed[member] = value;
    changed
}

fn without(object: &Value, member: &str) -> Value {
    let mut changed = object.clone();
    changed.as_object_mut().unwrap().remove(member).unwrap();
    changed
}

/// The part of a token that is signed.
fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn sign(message: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn sign_with(key: &SigningKey, header: &str, claims: &str) -> String {
    sign(&message(header, claims), &key.encoding, to_jwa(key.algorithm))
}

#[test]
fn a_token_of_each_algorithm_says_what_went_into_it() {
    for algorithm in ALGORITHMS {
        let keys = key_set(algorithm, 1);
        let user = User { roles: vec!["admin".to_owned()], ..user() };
        let token = issuer(&keys).issue(&session(), &user, NOW).unwrap();
        assert_eq!(token.expires_in, Duration::from_mins(10));

        let text = token.text.expose_secret();
        let header: Value = decode(text.split_once('.').unwrap().0).unwrap();
        assert_eq!(header, good_header(keys.signing(NOW).unwrap()), "{algorithm}");

        let claims = verifier(&keys).verify(text, NOW).unwrap();
        assert_eq!((claims.user_id, claims.session_id), (USER_ID, SESSION_ID));
        assert_eq!((claims.issued_at, claims.expires_at), (NOW, NOW.plus(Duration::from_mins(10))));
        assert_eq!(claims.authenticated_at, session().authenticated_at);
        assert_eq!((claims.amr, claims.roles), (session().amr, user.roles));
        assert_eq!((claims.email, claims.email_verified), (user.email, true));
    }
}

#[test]
fn each_token_has_an_id_of_its_own() {
    let keys = key_set(KeyAlgorithm::EdDsa, 1);
    let issuer = issuer(&keys);
    let id = || {
        let token = issuer.issue(&session(), &user(), NOW).unwrap();
        verifier(&keys).verify(token.text.expose_secret(), NOW).unwrap().token_id
    };
    assert_ne!(id(), id());
}

#[test]
fn a_token_never_outlives_its_session() {
    let keys = key_set(KeyAlgorithm::EdDsa, 1);
    for (left, expires_in) in [
        (Duration::from_secs(60), 60),
        (Duration::from_millis(60_900), 60),
        (Duration::from_mins(10), 600),
        (Duration::from_hours(1), 600),
    ] {
        let ending = Session { expires_at: NOW.plus(left), ..session() };
        let token = issuer(&keys).issue(&ending, &user(), NOW).unwrap();
        assert_eq!(token.expires_in, Duration::from_secs(expires_in), "{left:?}");
        let claims = verifier(&keys).verify(token.text.expose_secret(), NOW).unwrap();
        assert!(claims.expires_at <= ending.expires_at);
    }
}

#[test]
fn clocks_may_differ_by_30_seconds_and_no_more() {
    let keys = key_set(KeyAlgorithm::EdDsa, 1);
    let verifier = verifier(&keys);
    let token = issuer(&keys).issue(&session(), &user(), NOW).unwrap();
    let ends = NOW.plus(TokenSettings::DEFAULT_LIFETIME);
    for (now, accepted) in [
        (NOW, true),
        (NOW.minus(30 * SECOND), true),
        (NOW.minus(31 * SECOND), false),
        (ends, true),
        (ends.plus(29 * SECOND), true),
        (ends.plus(30 * SECOND), false),
        (ends.plus(31 * SECOND), false),
    ] {
        assert_eq!(verifier.verify(token.text.expose_secret(), now).is_ok(), accepted, "{}", now.to_rfc3339());
    }
}

#[test]
fn a_former_key_goes_on_verifying_its_own_algorithm() {
    let old = signing_key(KeyAlgorithm::Es256, 1);
    let token = sign_with(&old, &good_header(&old).to_string(), &good_claims().to_string());
    let scheduled = |key| ScheduledKey { key: Arc::new(key), signs_from: NOW.minus(SECOND) };
    let both = vec![scheduled(old), scheduled(signing_key(KeyAlgorithm::EdDsa, 2))];
    let keys = Arc::new(KeySet::new(KeyAlgorithm::EdDsa, both));
    assert!(verifier(&keys).verify(&token, NOW).is_ok());

    // The signing key under the name of the former one, and the other way round.
    let (old, new) = (&*keys.scheduled[0].key, keys.signing(NOW).unwrap());
    assert_eq!(new.algorithm, KeyAlgorithm::EdDsa);
    for (key, named) in [(new, old), (old, new)] {
        for header in [good_header(named), with(&good_header(key), "kid", json!(named.id.as_str()))] {
            let token = sign_with(key, &header.to_string(), &good_claims().to_string());
            assert_eq!(verifier(&keys).verify(&token, NOW), Err(TokenRefused), "{header}");
        }
    }
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let (own, foreign) = (key_set(KeyAlgorithm::EdDsa, 1), key_set(KeyAlgorithm::EdDsa, 2));
    for (member, value) in brought_along(&foreign) {
        let header = with(&good_header(own.signing(NOW).unwrap()), member, value).to_string();
        let token = sign_with(own.signing(NOW).unwrap(), &header, &good_claims().to_string());
        assert!(verifier(&own).verify(&token, NOW).is_ok(), "{member} made a difference");
    }
}

#[test]
fn claims_that_are_no_json_object_are_refused() {
    // RFC 7519 section 7.2, step 10. A derived `Deserialize` takes an array of the members in their order.
    let own = key_set(KeyAlgorithm::EdDsa, 1);
    let claims = good_claims();
    let order = [
        "iss",
        "sub",
        "aud",
        "client_id",
        "exp",
        "iat",
        "nbf",
        "jti",
        "sid",
        "auth_time",
        "amr",
        "roles",
        "email",
        "email_verified",
    ];
    let array: Vec<&Value> = order.iter().map(|member| &claims[*member]).collect();
    let header = good_header(own.signing(NOW).unwrap()).to_string();
    let token = sign_with(own.signing(NOW).unwrap(), &header, &json!(array).to_string());
    assert_eq!(verifier(&own).verify(&token, NOW), Err(TokenRefused));
}

#[test]
fn no_forged_token_is_accepted() {
    let foreign = ALGORITHMS.map(|algorithm| key_set(algorithm, 9_000));
    let mut made = 0;
    let mut accepted = Vec::new();
    for algorithm in ALGORITHMS {
        let own = key_set(algorithm, 1);
        let verifier = verifier(&own);
        let forger = Forger::new(&own);
        // Without this, a forgery might be refused for another reason than the one it is made for.
        assert!(verifier.verify(&forger.genuine, NOW).is_ok(), "{algorithm}");

        for (name, token) in forger.forge(&foreign) {
            assert_ne!(token, forger.genuine, "{name}");
            made += 1;
            if verifier.verify(&token, NOW).is_ok() {
                accepted.push(format!("{algorithm}: {name}: {token}"));
            }
        }
    }
    assert!(made >= 300, "only {made}");
    assert_eq!(accepted, Vec::<String>::new(), "of {made}");
}

#[test]
fn a_shorter_lifetime_shortens_tokens_that_are_out_already() {
    let keys = key_set(KeyAlgorithm::EdDsa, 1);
    let token = issuer(&keys).issue(&session(), &user(), NOW).unwrap();
    let shorter = TokenSettings { lifetime: Duration::from_secs(60), ..settings() };
    let verifier = JwtVerifier::new(ring(&keys), shorter);
    let verify = |seconds| verifier.verify(token.text.expose_secret(), NOW.plus(Duration::from_secs(seconds)));
    assert!(verify(60 + 29).is_ok());
    assert_eq!(verify(60 + 31), Err(TokenRefused));
}
