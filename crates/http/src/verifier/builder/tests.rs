#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says so by panicking")]

use doorward_auth::{AuthenticationError, Unauthenticated};

use super::*;
use crate::verifier::testing::SharedIssuer;

const ISSUER: &str = "https://auth.example.com";

async fn refusal(builder: VerifierBuilder) -> VerifierError {
    match builder.start().await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn an_issuer_without_tls_is_refused_unless_it_is_on_this_machine() {
    for issuer in ["http://auth.example.com", "http://192.168.0.7:8080", "http://localhost.example.com"] {
        assert!(matches!(refusal(Verifier::builder(issuer)).await, VerifierError::InsecureIssuer), "{issuer}");
    }
    for issuer in ["http://localhost:8080", "http://127.0.0.1:8080/auth", "http://[::1]:8080"] {
        assert!(Verifier::builder(issuer).start().await.is_ok(), "{issuer}");
    }
}

#[tokio::test]
async fn an_issuer_that_doorward_could_not_be_at_is_refused() {
    for issuer in [
        "",
        "auth.example.com",
        "ftp://localhost",
        "https://a:b@example.com",
        "https://example.com?a",
        "https://example.com#a",
    ] {
        assert!(matches!(refusal(Verifier::builder(issuer)).await, VerifierError::InvalidIssuer), "{issuer:?}");
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused() {
    let plain = || Verifier::builder("http://localhost:8080");
    let url = Url::parse("http://keys.example.com/jwks.json").unwrap();
    assert!(matches!(refusal(plain().jwks_url(url)).await, VerifierError::InsecureKeys));
    assert!(matches!(refusal(plain().audience("")).await, VerifierError::EmptyAudience));
    for (id, secret) in [("", "dwc_x"), ("a:b", "dwc_x"), ("orders", "")] {
        let builder = plain().revocation_feed(id, SecretString::from(secret.to_owned()));
        assert!(matches!(refusal(builder).await, VerifierError::InvalidClient), "{id:?}");
    }
    for builder in [
        plain().max_age(Duration::ZERO),
        plain().cool_down(Duration::ZERO),
        plain().refresh_after(Duration::ZERO),
        plain().staleness(Duration::from_secs(2)),
    ] {
        assert!(matches!(refusal(builder).await, VerifierError::TooShort(_)));
    }
}

#[test]
fn paths_are_below_the_prefix_of_the_issuer() {
    for (issuer, expected) in [
        ("https://example.com", "https://example.com/.well-known/jwks.json"),
        ("https://example.com/", "https://example.com/.well-known/jwks.json"),
        ("https://example.com/auth", "https://example.com/auth/.well-known/jwks.json"),
    ] {
        let url = below(&issuer_url(issuer).unwrap(), "/.well-known/jwks.json").unwrap();
        assert_eq!(url.as_str(), expected);
    }
}

#[test]
fn three_polls_fit_into_the_staleness() {
    for (staleness, wait) in [(3, 1), (10, 3), (60, 20), (3600, 20)] {
        assert_eq!(wait_for(Duration::from_secs(staleness)), Duration::from_secs(wait));
    }
}

#[tokio::test]
async fn a_shared_secret_verifies_without_asking_anybody() {
    let issuer = SharedIssuer::default();
    let token = SecretString::from(issuer.token(&["admin"]));
    assert!(issuer.verifier().await.authenticate(&token).await.unwrap().has_role("admin"));

    let refused = Some(AuthenticationError::Unauthenticated(Unauthenticated));
    let other = SharedIssuer::with_secret("Zr6uW9aQ1nX4tB8kM3vE7yC2pL5dG0sJ");
    assert_eq!(other.verifier().await.authenticate(&token).await.err(), refused);
    let elsewhere = issuer.builder().audience("https://api.example.com");
    assert_eq!(elsewhere.start().await.unwrap().authenticate(&token).await.err(), refused);
    let foreign = Verifier::builder(ISSUER).audience(SharedIssuer::URL).shared_secret(issuer.secret());
    let foreign = foreign.clock(issuer.clock());
    assert_eq!(foreign.start().await.unwrap().authenticate(&token).await.err(), refused);
}
