//! Tokens verify elsewhere: with PyJWT and with npm's `jose`, through the JWKS, for every algorithm that has one.
//!
//! `./test` installs both verifiers into `target/verifiers`; `DOORWARD_VERIFIERS` names another folder.

use std::path::PathBuf;
use std::process::Command;

use doorward_tests::{Client, Database, Service};

fn folder() -> PathBuf {
    let named = std::env::var_os("DOORWARD_VERIFIERS").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/verifiers"))
}

/// Runs a verifier; returns whether it accepted the token, and what it said.
fn verify(mut verifier: Command, service: &Service, token: &str) -> (bool, String) {
    let issuer = format!("http://localhost:{}", service.address.port());
    verifier.args([&format!("{}/.well-known/jwks.json", service.url()), &issuer, &issuer, token]);
    let output = verifier.output().expect("the verifiers are installed by ./test");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// One of the scripts in `verifiers` that use `PyJWT`.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(folder().join("python/bin/python"));
    command.arg(format!("{}/verifiers/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

/// One of those that use `jose`.
pub(crate) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(format!("{}/verifiers/{script}", env!("CARGO_MANIFEST_DIR")));
    command.env("VERIFIERS", folder().join("node/node_modules"));
    command
}

fn pyjwt() -> Command {
    python("verify.py")
}

fn jose() -> Command {
    node("verify.mjs")
}

/// Asserts that every verifier takes this token with the keys that the service publishes.
pub(crate) fn verifies_elsewhere(service: &Service, token: &str) {
    for (name, verifier) in [("PyJWT", pyjwt as fn() -> Command), ("jose", jose)] {
        let (accepted, said) = verify(verifier(), service, token);
        assert!(accepted, "{name}: {said}");
    }
}

#[tokio::test]
async fn pyjwt_and_jose_take_tokens_of_every_algorithm() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let service = Service::start(Database::Sqlite, &[("TOKENS__ALGORITHM", algorithm)]);
        let client = Client::new(&service.url());
        let grant = client.register("ada@example.com").await.grant();
        let (body, signature) = grant.access_token.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let mangled = format!("{body}.{first}{}", &signature[1..]);
        for (name, verifier) in [("PyJWT", pyjwt as fn() -> Command), ("jose", jose)] {
            let (accepted, said) = verify(verifier(), &service, &grant.access_token);
            assert!(accepted && said.trim() == grant.user_id, "{name}, {algorithm}: {said}");
            let (accepted, said) = verify(verifier(), &service, &mangled);
            assert!(!accepted, "{name} takes anything: {said}");
        }
    }
}
