//! Tokens that were not issued here, against the running binary: none gets in, and none makes it fetch anything.
//! (The verifier's own tests hold over a thousand more.)

use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_tests::{Client, Database, Service};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg";

/// Reading a key installs the cryptography that the forger uses in this process.
pub(crate) fn install_cryptography() {
    let secret = doorward::SharedSecret::parse(&SECRET.to_owned().into()).unwrap();
    doorward_auth::token::SigningKey::from_shared_secret(&secret).unwrap();
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub(crate) fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub(crate) fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// `value` with one of its fields set, or taken away.
pub(crate) fn with(value: &Value, field: &str, other: Option<Value>) -> Value {
    let mut changed = value.clone();
    match other {
        Some(other) => changed[field] = other,
        None => drop(changed.as_object_mut().unwrap().remove(field)),
    }
    changed
}

fn forgeries(token: &str, bait: &str) -> Vec<String> {
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    let sign = |header: &Value, claims: &Value| signed(header, claims, SECRET.as_bytes());
    assert_eq!(sign(&header, &claims).len(), token.len(), "the forger holds the right key");
    let now = claims["iat"].as_i64().unwrap();
    let mut forged = Vec::new();

    // Rightly signed, wrongly claimed.
    let names: Vec<String> = claims.as_object().unwrap().keys().cloned().collect();
    let wrong_types = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!("x"),
        json!(""),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({ "x": 1 }),
        json!([[]]),
        json!(1e300),
    ];
    for name in &names {
        forged.push(sign(&header, &with(&claims, name, None)));
        for wrong in &wrong_types {
            let same_kind = match &claims[name] {
                // A moment in the past is a moment like any other, except for the end.
                Value::Number(_) => wrong.is_i64() && name != "exp",
                Value::Bool(_) => wrong.is_boolean(),
                Value::Array(_) => wrong.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
                Value::String(_) => name == "client_id" && wrong.is_string(),
                _ => false,
            };
            if !same_kind {
                forged.push(sign(&header, &with(&claims, name, Some(wrong.clone()))));
            }
        }
        forged.push(sign(&header, &with(&claims, name, Some(json!([claims[name]])))));
    }
    for (name, wrong) in [
        ("exp", json!(now - 31)),
        ("exp", json!(0)),
        ("exp", json!((now + 600).to_string())),
        ("exp", json!(now as f64 + 600.5)),
        ("nbf", json!(now + 60)),
        ("iat", json!(now + 60)),
        ("aud", json!("https://other.example")),
        ("iss", json!("https://other.example")),
        ("iss", json!(format!("{}/", claims["iss"].as_str().unwrap()))),
        ("aud", json!([claims["aud"], "https://other.example"])),
        ("email", json!("not an address")),
        ("sub", json!("1 OR 1=1")),
        ("sid", json!("../..")),
    ] {
        forged.push(sign(&header, &with(&claims, name, Some(wrong))));
    }
    forged.push(sign(&header, &json!(names.iter().map(|name| claims[name].clone()).collect::<Vec<_>>())));

    // Rightly claimed, wrongly headed or signed.
    for alg in ["none", "None", "NONE", "nOnE", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "", "HS256 "] {
        let header = with(&header, "alg", Some(json!(alg)));
        forged.push(sign(&header, &claims));
        forged.push(format!("{}.{}.", encode(&header), parts[1]));
        forged.push(format!("{}.{}.{}", encode(&header), parts[1], parts[2]));
    }
    for typ in ["JWT", "jwt", "at+JWT", "application/at+jwt", "dpop+jwt", ""] {
        forged.push(sign(&with(&header, "typ", Some(json!(typ))), &claims));
    }
    for kid in ["", "0", "../../etc/passwd", "' OR 1=1 --", "/dev/null", "\u{0}"] {
        forged.push(sign(&with(&header, "kid", Some(json!(kid))), &claims));
    }
    for name in ["alg", "typ", "kid"] {
        forged.push(sign(&with(&header, name, None), &claims));
        for wrong in [json!(null), json!(7), json!([header[name]]), json!({})] {
            forged.push(sign(&with(&header, name, Some(wrong)), &claims));
        }
    }
    for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!(null), json!("x"), json!(["x-unknown"])] {
        forged.push(sign(&with(&header, "crit", Some(crit)), &claims));
    }
    let own_key = json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 32]), "alg": "HS256", "kid": "mine" });
    for (name, lure) in [
        ("jku", json!(format!("{bait}/jwks.json"))),
        ("x5u", json!(format!("{bait}/cert.pem"))),
        ("jwk", own_key),
        ("x5c", json!(["MIIB"])),
    ] {
        for kid in [header["kid"].clone(), json!("mine"), json!(bait)] {
            let header = with(&with(&header, name, Some(lure.clone())), "kid", Some(kid));
            forged.push(signed(&header, &claims, &[7; 32]));
        }
    }
    for secret in [&b""[..], b"secret", &[0; 32], parts[2].as_bytes(), header["kid"].as_str().unwrap().as_bytes()] {
        forged.push(signed(&header, &claims, secret));
    }

    // Mangled.
    for at in (0..token.len()).step_by(7) {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        // The last character of a part may carry bits that decode to nothing; those are refused as well.
        forged.push(format!("{}{other}{}", &token[..at], &token[at + 1..]));
        forged.push(token[..at].to_owned());
    }
    for mangled in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}.{}", parts[2]),
        token.replace('.', ".."),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        token.to_uppercase(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "x".repeat(20_000),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
    ] {
        forged.push(mangled);
    }
    forged
}

#[tokio::test]
async fn no_forged_token_gets_in_and_none_is_followed_anywhere() {
    let service = Service::start(Database::Sqlite, &[("TOKENS__ALGORITHM", "HS256"), ("TOKENS__SECRET", SECRET)]);
    install_cryptography();
    let bait = TcpListener::bind("127.0.0.1:0").unwrap();
    bait.set_nonblocking(true).unwrap();
    let bait_url = format!("http://{}", bait.local_addr().unwrap());
    let client = Client::new(&service.url());
    let token = client.register("ada@example.com").await.grant().access_token;
    let forged = forgeries(&token, &bait_url);
    let mut accepted = Vec::new();
    for forgery in &forged {
        let bearer = format!("Bearer {forgery}");
        let answer = client.send(reqwest::Method::GET, "/api/auth/me", &[("authorization", &bearer)], None).await;
        // What no header can hold never leaves the client.
        let Ok(answer) = answer else { continue };
        assert!(matches!(answer.status.as_u16(), 200 | 401 | 431), "{forgery}: {answer:?}");
        if answer.status.is_success() {
            accepted.push(forgery.clone());
        }
    }
    println!("{} forged tokens, {} accepted", forged.len(), accepted.len());
    assert!(forged.len() >= 300, "only {} forgeries", forged.len());
    assert_eq!(accepted, [""; 0]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(bait.accept().is_err(), "a token made the service fetch something");
    assert!(client.me(&token).await.status.is_success(), "the real token is refused as well");
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let service = Service::start(Database::Sqlite, &[("TOKENS__ALGORITHM", algorithm)]);
        install_cryptography();
        let client = Client::new(&service.url());
        let token = client.register("ada@example.com").await.grant().access_token;
        let jwks = client.get("/.well-known/jwks.json").await;
        let key = &jwks.json()["keys"][0];
        let (header, claims) = token.rsplit_once('.').unwrap().0.split_once('.').unwrap();
        let (header, claims) = (with(&decode(header), "alg", Some(json!("HS256"))), decode(claims));
        let field = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
        let raw = |name: &str| URL_SAFE_NO_PAD.decode(field(name)).unwrap();
        for secret in [
            jwks.text.clone().into_bytes(),
            key.to_string().into_bytes(),
            field("x").into_bytes(),
            field("n").into_bytes(),
            raw("x"),
            raw("n"),
            [raw("x"), raw("y")].concat(),
            [vec![4], raw("x"), raw("y")].concat(),
            field("kid").into_bytes(),
            Vec::new(),
        ] {
            client.me(&signed(&header, &claims, &secret)).await.refused(401, "unauthenticated");
        }
    }
}
