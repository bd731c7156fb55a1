//! Forged, mangled and mistyped tokens, for every algorithm.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

use base64::engine::general_purpose::STANDARD;
use doorward_domain::KeyAlgorithm;
use jsonwebtoken::{Algorithm, EncodingKey};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

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

type Forgeries = Vec<(String, String)>;

/// Makes tokens that none may take, for an installation whose keys it has in order to sign properly what is
/// wrong in one place only.
struct Forger<'a> {
    keys: &'a KeySet,
    header: Value,
    claims: Value,
    genuine: String,
}

impl<'a> Forger<'a> {
    fn new(keys: &'a KeySet) -> Self {
        let (header, claims) = (good_header(keys.signing(NOW).unwrap()), good_claims());
        let genuine = sign_with(keys.signing(NOW).unwrap(), &header.to_string(), &claims.to_string());
        Self { keys, header, claims, genuine }
    }

    fn forge(&self, foreign: &[Arc<KeySet>]) -> Forgeries {
        [
            self.unsigned(),
            self.misnamed_algorithms(),
            self.confused_keys(),
            self.foreign_keys(foreign),
            self.key_ids(),
            self.headers(),
            self.claims_missing_or_of_another_type(),
            self.claims_out_of_place(),
            self.doubled_members(),
            self.damaged(),
            self.transplanted(),
        ]
        .concat()
    }

    /// Signed with the right key.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        sign_with(self.keys.signing(NOW).unwrap(), &header.to_string(), &claims.to_string())
    }

    fn with_header(&self, member: &str, value: &Value) -> (String, String) {
        let header = with(&self.header, member, value.clone());
        (format!("header {header}"), self.signed(&header, &self.claims))
    }

    fn with_claim(&self, member: &str, value: &Value) -> (String, String) {
        let claims = with(&self.claims, member, value.clone());
        (format!("claim {member}: {value}"), self.signed(&self.header, &claims))
    }

    fn unsigned(&self) -> Forgeries {
        let genuine_signature = self.genuine.rsplit_once('.').unwrap().1;
        let mut forgeries = Vec::new();
        for name in ["none", "None", "NONE", "nOnE", "noNe", "none ", " none", "", "null", "NoNe\u{0}"] {
            let header = with(&self.header, "alg", json!(name));
            let message = message(&header.to_string(), &self.claims.to_string());
            for signature in ["", "AA", genuine_signature] {
                forgeries.push((format!("alg {name:?}, signature {signature:?}"), format!("{message}.{signature}")));
            }
            let anonymous = without(&header, "kid").to_string();
            forgeries.push((format!("alg {name:?}, no kid"), self::message(&anonymous, "{}") + "."));
        }
        forgeries
    }

    fn misnamed_algorithms(&self) -> Forgeries {
        let own = self.keys.signing(NOW).unwrap().algorithm.as_str();
        let (lower, upper) = (own.to_lowercase(), own.to_uppercase());
        let names = [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
            "ES256K", "EdDSA", "Ed25519", "Ed448", "RSA1_5", "A128KW", "dir", &lower, &upper,
        ];
        let others = names.iter().filter(|name| **name != own).map(|name| json!(name));
        let others = others.chain([Value::Null, json!(0), json!(true), json!([own]), json!({"alg": own})]);
        let mut forgeries: Forgeries = others.map(|name| self.with_header("alg", &name)).collect();
        forgeries.push(("no alg".to_owned(), self.signed(&without(&self.header, "alg"), &self.claims)));
        forgeries
    }

    /// What is public, or easily guessed, used as the secret of an HMAC.
    fn confused_keys(&self) -> Forgeries {
        let id = self.keys.signing(NOW).unwrap().id.as_str();
        let guesses = [b"\0".as_slice(), b"secret", b"changeme", b"doorward", ISSUER.as_bytes(), id.as_bytes()];
        let secrets = public_forms(self.keys).into_iter().chain(guesses.map(<[u8]>::to_vec));
        let mut forgeries = Vec::new();
        for (n, secret) in secrets.enumerate() {
            let key = EncodingKey::from_secret(&secret);
            for (name, algorithm) in
                [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)]
            {
                for claimed in [name, self.keys.signing(NOW).unwrap().algorithm.as_str()] {
                    let header = with(&self.header, "alg", json!(claimed));
                    let message = message(&header.to_string(), &self.claims.to_string());
                    forgeries.push((format!("alg {claimed}, {name} with secret {n}"), sign(&message, &key, algorithm)));
                }
            }
        }
        forgeries
    }

    /// An attacker's own keys, under any name and brought along in any way.
    fn foreign_keys(&self, foreign: &[Arc<KeySet>]) -> Forgeries {
        let claims = self.claims.to_string();
        let mut forgeries = Vec::new();
        for keys in foreign {
            let key = keys.signing(NOW).unwrap();
            let named_own = with(&good_header(key), "kid", json!(self.keys.signing(NOW).unwrap().id.as_str()));
            let mut headers = vec![good_header(key), named_own, self.header.clone()];
            headers.push(without(&self.header, "kid"));
            headers.push(without(&good_header(key), "kid"));
            for base in headers.clone() {
                headers.extend(brought_along(keys).into_iter().map(|(member, value)| with(&base, member, value)));
            }
            for header in headers {
                let header = header.to_string();
                forgeries.push((format!("foreign {header}"), sign_with(key, &header, &claims)));
            }
        }
        forgeries
    }

    fn key_ids(&self) -> Forgeries {
        let own = self.keys.signing(NOW).unwrap().id.as_str();
        let near = [
            format!("{own} "),
            format!(" {own}"),
            format!("{own}\0"),
            format!("{own}="),
            format!("./{own}"),
            own.to_uppercase(),
            own.to_lowercase() + "x",
            own[1..].to_owned(),
        ];
        let tricks = [
            "",
            " ",
            "0",
            "default",
            "null",
            "undefined",
            "*",
            ".*",
            "%",
            "../../../../../../dev/null",
            "/dev/null",
            "file:///etc/passwd",
            "https://evil.example/jwks.json",
            "' OR '1'='1",
            "x' UNION SELECT 'secret",
            "1; DROP TABLE signing_keys; --",
            "|| whoami",
            "$(id)",
            "${jndi:ldap://evil.example}",
            "\u{0}",
        ];
        let texts = near.iter().map(String::as_str).chain(tricks).map(|kid| json!(kid));
        let others = [Value::Null, json!(0), json!(1.5), json!(false), json!([]), json!([own]), json!({"kid": own})];
        let mut forgeries: Forgeries = texts.chain(others).map(|kid| self.with_header("kid", &kid)).collect();
        forgeries.push(("no kid".to_owned(), self.signed(&without(&self.header, "kid"), &self.claims)));
        forgeries
    }

    /// Of another type of token, or with an extension that must be understood.
    fn headers(&self) -> Forgeries {
        let types = [
            "JWT",
            "jwt",
            "at+JWT",
            "AT+JWT",
            "At+Jwt",
            "application/at+jwt",
            "id+jwt",
            "dpop+jwt",
            "logout+jwt",
            "",
            " at+jwt",
            "at+jwt ",
            "at jwt",
        ];
        let types = types.iter().map(|typ| json!(typ));
        let types = types.chain([Value::Null, json!(1), json!(true), json!(["at+jwt"]), json!({})]);
        let mut forgeries: Forgeries = types.map(|typ| self.with_header("typ", &typ)).collect();
        forgeries.push(("no typ".to_owned(), self.signed(&without(&self.header, "typ"), &self.claims)));
        for crit in [json!(["exp"]), json!(["b64"]), json!(["urn:x"]), json!([]), Value::Null, json!("exp"), json!({})]
        {
            forgeries.push(self.with_header("crit", &crit));
        }
        let unencoded = with(&with(&self.header, "crit", json!(["b64"])), "b64", json!(false));
        forgeries.push(("b64".to_owned(), self.signed(&unencoded, &self.claims)));
        for header in ["", "{}", "[]", "null", "\"at+jwt\"", "0", "{", "\u{feff}{}"] {
            let token = sign_with(self.keys.signing(NOW).unwrap(), header, &self.claims.to_string());
            forgeries.push((format!("header {header:?}"), token));
        }
        let trailing = format!("{}{}", self.header, "{}");
        let token = sign_with(self.keys.signing(NOW).unwrap(), &trailing, &self.claims.to_string());
        forgeries.push(("something after the header".to_owned(), token));
        forgeries
    }

    fn claims_missing_or_of_another_type(&self) -> Forgeries {
        let mut forgeries = Vec::new();
        for (member, value) in self.claims.as_object().unwrap() {
            forgeries.push((format!("no {member}"), self.signed(&self.header, &without(&self.claims, member))));
            let mut others = vec![Value::Null, json!(1.5), json!([value]), json!({"value": value})];
            match value {
                Value::String(_) => others.extend([json!(true), json!(12), json!([])]),
                Value::Number(_) => {
                    let moment = value.as_i64().unwrap();
                    others.extend([json!(true), json!(""), json!(moment.to_string()), json!(u64::MAX)]);
                    others.extend([json!(NOW.plus(600 * SECOND).to_rfc3339()), serde_json::from_str("1.8e9").unwrap()]);
                }
                Value::Bool(_) => others.extend([json!(0), json!(1), json!("true"), json!("")]),
                _ => others.extend([json!(true), json!(12), json!("pwd"), json!([1]), json!([null]), json!([["pwd"]])]),
            }
            if ["sub", "jti", "sid"].contains(&member.as_str()) {
                others.extend([json!(""), json!("me"), json!("ada@example.com"), json!(vec![0; 16])]);
            }
            forgeries.extend(others.iter().map(|other| self.with_claim(member, other)));
        }
        for claims in ["", "{}", "[]", "null", "{", "\"\"", "\u{feff}{}"] {
            let token = sign_with(self.keys.signing(NOW).unwrap(), &self.header.to_string(), claims);
            forgeries.push((format!("claims {claims:?}"), token));
        }
        let trailing = format!("{}{}", self.claims, "{}");
        let token = sign_with(self.keys.signing(NOW).unwrap(), &self.header.to_string(), &trailing);
        forgeries.push(("something after the claims".to_owned(), token));
        forgeries
    }

    /// For another time or another place.
    fn claims_out_of_place(&self) -> Forgeries {
        let now = NOW.unix_seconds();
        let cases = [
            ("exp", vec![json!(now - 30), json!(now - 31), json!(now - 86_400), json!(0), json!(-1), json!(i64::MIN)]),
            ("iat", vec![json!(now + 31), json!(now + 3_600), json!(i64::MAX)]),
            ("nbf", vec![json!(now + 31), json!(now + 3_600), json!(i64::MAX)]),
            ("iss", foreign_urls(ISSUER)),
            ("aud", foreign_urls(AUDIENCE)),
            ("aud", vec![json!([AUDIENCE, "https://evil.example"]), json!({AUDIENCE: true})]),
            ("iss", vec![json!([ISSUER, "https://evil.example"])]),
            ("email", vec![json!(""), json!("ada"), json!("ada@example.com\r\nBcc: eve@evil.example")]),
        ];
        let cases = cases.iter().flat_map(|(member, values)| values.iter().map(move |value| (*member, value)));
        cases.map(|(member, value)| self.with_claim(member, value)).collect()
    }

    /// RFC 8725 section 2.7: two parsers that disagree on which of two members counts.
    fn doubled_members(&self) -> Forgeries {
        let mut forgeries = Vec::new();
        for (member, value) in self.header.as_object().unwrap() {
            for other in [value.clone(), json!("none"), Value::Null] {
                for header in doubled(&self.header, member, &other) {
                    let token = sign_with(self.keys.signing(NOW).unwrap(), &header, &self.claims.to_string());
                    forgeries.push((format!("header {header}"), token));
                }
            }
        }
        for (member, value) in self.claims.as_object().unwrap() {
            for claims in doubled(&self.claims, member, value) {
                let token = sign_with(self.keys.signing(NOW).unwrap(), &self.header.to_string(), &claims);
                forgeries.push((format!("{member} twice"), token));
            }
        }
        forgeries
    }

    /// The genuine token, cut, stretched or changed.
    fn damaged(&self) -> Forgeries {
        let genuine = self.genuine.as_str();
        let parts: Vec<&str> = genuine.split('.').collect();
        let (header, claims, signature) = (parts[0], parts[1], parts[2]);
        let zeros = URL_SAFE_NO_PAD.encode(vec![0_u8; URL_SAFE_NO_PAD.decode(signature).unwrap().len()]);
        let mut tokens: Vec<String> = ["", ".", "..", "...", "a.b.c", "null", "{}"].map(str::to_owned).into();
        tokens.extend([
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.{zeros}"),
            format!("{header}.{claims}.{signature}{signature}"),
            format!("{header}..{signature}"),
            format!(".{claims}.{signature}"),
            format!("..{signature}"),
            format!("{claims}.{header}.{signature}"),
            format!("{signature}.{claims}.{header}"),
            format!("{header}=.{claims}.{signature}"),
            format!("{header}.{claims}=.{signature}"),
            format!("{header}.{claims}=={signature}"),
            format!("{header} .{claims}.{signature}"),
            format!("{header}.\n{claims}.{signature}"),
            format!("{header}%2e{claims}%2e{signature}"),
            format!("{{\"protected\":\"{header}\",\"payload\":\"{claims}\",\"signature\":\"{signature}\"}}"),
            format!("Bearer {genuine}"),
            format!("{genuine}.{signature}"),
            format!("{genuine}.{claims}.{signature}"),
            genuine.to_lowercase(),
            genuine.replace('.', ","),
            format!("{genuine}{}", "A".repeat(LONGEST_TOKEN)),
        ]);
        for edge in [".", "=", "==", " ", "\n", "\r\n", "\t", "\u{0}", "\u{feff}", "!", "+", "/", "é", "%", "A", "AA"]
        {
            tokens.push(format!("{genuine}{edge}"));
            tokens.push(format!("{edge}{genuine}"));
        }
        tokens.extend((1..=8).map(|cut| genuine[..genuine.len() - cut].to_owned()));
        tokens.extend((1..genuine.len()).step_by(37).map(|end| genuine[..end].to_owned()));
        for at in (0..genuine.len()).step_by(29).chain([genuine.len() - 1]) {
            let replacement = if genuine[at..].starts_with('B') { "C" } else { "B" };
            tokens.push(format!("{}{replacement}{}", &genuine[..at], &genuine[at + 1..]));
        }
        tokens.into_iter().map(|token| ("damaged".to_owned(), token)).collect()
    }

    /// Parts of genuine tokens put together anew.
    fn transplanted(&self) -> Forgeries {
        let (genuine_message, signature) = self.genuine.rsplit_once('.').unwrap();
        let mut forgeries = Vec::new();
        for (member, value) in [
            ("roles", json!(["admin"])),
            ("sub", json!(Uuid::from_u128(9).to_string())),
            ("sid", json!(Uuid::from_u128(9).to_string())),
            ("jti", json!(Uuid::from_u128(9).to_string())),
            ("exp", json!(NOW.unix_seconds() + 86_400)),
            ("email", json!("eve@evil.example")),
            ("email_verified", json!(false)),
        ] {
            let changed = with(&self.claims, member, value);
            let message = message(&self.header.to_string(), &changed.to_string());
            forgeries.push((format!("another {member}"), format!("{message}.{signature}")));
            let other = self.signed(&self.header, &changed);
            let other_signature = other.rsplit_once('.').unwrap().1;
            forgeries.push((format!("signature of another {member}"), format!("{genuine_message}.{other_signature}")));
        }
        forgeries
    }
}

/// The ways in which a token can bring a key along or point at one.
fn brought_along(keys: &KeySet) -> Vec<(&'static str, Value)> {
    let set: Value = serde_json::from_str(&keys.jwks).unwrap();
    let jwk = set["keys"].get(0).cloned().unwrap_or_else(|| json!({"kty": "oct", "k": "c2VjcmV0"}));
    vec![
        ("jwk", jwk),
        ("jku", json!("https://evil.example/.well-known/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIBszCCAVmgAwIBAgIUQ0FGRUJBQkU="])),
    ]
}

/// What an address of this service might be mistaken for.
fn foreign_urls(own: &str) -> Vec<Value> {
    let near = [
        format!("{own}/"),
        format!("{own}.evil.example"),
        format!("{own}@evil.example"),
        format!(" {own}"),
        format!("{own}\0"),
        own.to_uppercase(),
        own.replace("https", "http"),
        own[..own.len() - 1].to_owned(),
    ];
    near.iter().map(String::as_str).chain(["", "*", "https://evil.example", "doorward"]).map(|url| json!(url)).collect()
}

/// The object with a member twice: once as it is, and before or after it with this value.
fn doubled(object: &Value, member: &str, value: &Value) -> [String; 2] {
    let text = object.to_string();
    let inner = &text[1..text.len() - 1];
    [format!("{{\"{member}\":{value},{inner}}}"), format!("{{{inner},\"{member}\":{value}}}")]
}

/// The public key in the forms that people put into files: raw, DER, PEM, JWK. None for a shared secret.
fn public_forms(keys: &KeySet) -> Vec<Vec<u8>> {
    const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    const P256: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
        0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
    ];
    const RSA_3072: &[u8] = &[
        0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
        0x00, 0x03, 0x82, 0x01, 0x8f, 0x00, 0x30, 0x82, 0x01, 0x8a, 0x02, 0x82, 0x01, 0x81, 0x00,
    ];
    const RSA_3072_END: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];

    let set: Value = serde_json::from_str(&keys.jwks).unwrap();
    let Some(jwk) = set["keys"].get(0) else { return Vec::new() };
    let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let (raw, der) = match jwk["kty"].as_str().unwrap() {
        "OKP" => (member("x"), [ED25519, &member("x")].concat()),
        "EC" => (member("x"), [P256, &member("x"), &member("y")].concat()),
        "RSA" => (member("n"), [RSA_3072, &member("n"), RSA_3072_END].concat()),
        other => panic!("{other} is not published"),
    };
    let lines: Vec<String> =
        STANDARD.encode(&der).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", lines.join("\n"));
    let texts = [pem.clone() + "\n", pem.replace('\n', "\r\n"), pem, jwk.to_string(), keys.jwks.clone()];
    let encoded = [STANDARD.encode(&der), URL_SAFE_NO_PAD.encode(&raw)];
    [raw, der].into_iter().chain(texts.into_iter().chain(encoded).map(String::into_bytes)).collect()
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
