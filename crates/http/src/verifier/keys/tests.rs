//! How often the issuer is asked, and what holds while it does not answer.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says so by panicking")]

use std::time::Duration;

use doorward_auth::{AuthenticationError, Unauthenticated};
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::verifier::Verifier;
use crate::verifier::testing::{Behaviour, Issuer, TestKey, eventually};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const REFUSED: Option<AuthenticationError> = Some(AuthenticationError::Unauthenticated(Unauthenticated));
const STALE: Option<AuthenticationError> = Some(AuthenticationError::Stale);

async fn setup() -> (Issuer, TestKey, Verifier) {
    let (issuer, key) = (Issuer::start().await, TestKey::new(1));
    issuer.publish(&[&key]);
    let verifier = issuer.verifier().start().await.unwrap();
    (issuer, key, verifier)
}

async fn outcome(verifier: &Verifier, token: &SecretString) -> Option<AuthenticationError> {
    verifier.authenticate(token).await.err()
}

/// How all of them end when they come at once.
async fn outcomes(verifier: &Verifier, tokens: Vec<SecretString>) -> Vec<Option<AuthenticationError>> {
    let mut requests = JoinSet::new();
    for token in tokens {
        let verifier = verifier.clone();
        requests.spawn(async move { outcome(&verifier, &token).await });
    }
    requests.join_all().await
}

fn forged(issuer: &Issuer) -> Vec<SecretString> {
    // Keys that the issuer has never had, each of another name.
    (100..150).map(|seed| issuer.token(&TestKey::new(seed))).collect()
}

#[tokio::test]
async fn nothing_is_fetched_before_a_token_comes_and_those_that_come_at_once_share_a_fetch() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(issuer.fetches(), 0);
    let tokens = (0..50).map(|_| issuer.token(&key)).collect();
    assert!(outcomes(&verifier, tokens).await.iter().all(Option::is_none));
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_a_cool_down_and_hold_up_nobody() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    // The fetch that has just been counts as well.
    assert!(outcomes(&verifier, forged(&issuer)).await.iter().all(|outcome| *outcome == REFUSED));
    assert_eq!(issuer.fetches(), 1);

    for fetches in 2..4 {
        issuer.time.advance(30 * SECOND);
        let valid: Vec<_> = (0..50).map(|_| issuer.token(&key)).collect();
        let (forged, valid) = tokio::join!(outcomes(&verifier, forged(&issuer)), outcomes(&verifier, valid));
        assert!(forged.iter().all(|outcome| *outcome == REFUSED));
        assert!(valid.iter().all(Option::is_none));
        assert_eq!(issuer.fetches(), fetches);
    }
}

#[tokio::test]
async fn a_token_of_a_known_key_or_of_none_causes_no_fetch() {
    let (issuer, key, verifier) = setup().await;
    let expired = issuer.token(&key);
    issuer.time.advance(HOUR);
    assert_eq!(outcome(&verifier, &expired).await, REFUSED);
    issuer.time.advance(31 * SECOND);
    let own_key = TestKey::new(2).named(&key);
    for token in [expired, issuer.token(&own_key), "forged".to_owned().into(), "a.b.c".to_owned().into()] {
        assert_eq!(outcome(&verifier, &token).await, REFUSED);
    }
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn a_new_key_is_learnt_with_its_first_token() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    let new = TestKey::new(2);
    issuer.publish(&[&new, &key]);
    issuer.time.advance(30 * SECOND);
    assert_eq!(outcome(&verifier, &issuer.token(&new)).await, None);
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn keys_that_are_due_are_refreshed_while_they_serve() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    issuer.publish(&[&TestKey::new(2)]);
    issuer.time.advance(299 * SECOND);
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    assert_eq!(issuer.fetches(), 1);

    issuer.time.advance(SECOND);
    let token = issuer.token(&key);
    assert_eq!(outcome(&verifier, &token).await, None, "had to wait for the refresh");
    eventually(async || outcome(&verifier, &token).await == REFUSED).await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn after_a_time_without_requests_the_first_ones_wait_for_the_keys_of_now() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    issuer.publish(&[&TestKey::new(2)]);
    issuer.time.advance(600 * SECOND);
    let tokens = (0..20).map(|_| issuer.token(&key)).collect();
    assert!(outcomes(&verifier, tokens).await.iter().all(|outcome| *outcome == REFUSED));
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn the_last_good_keys_serve_until_their_maximum_age() {
    let (issuer, key, verifier) = setup().await;
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    for behaviour in [Behaviour::Fail, Behaviour::Garbage] {
        issuer.behave(behaviour);
        for _ in 0..10 {
            issuer.time.advance(HOUR);
            assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
        }
    }
    issuer.time.advance(4 * HOUR);
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, STALE);

    issuer.behave(Behaviour::Serve);
    issuer.time.advance(SECOND);
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
}

#[tokio::test]
async fn an_issuer_that_is_down_from_the_start_is_asked_once_a_second() {
    let (issuer, key, verifier) = setup().await;
    issuer.behave(Behaviour::Fail);
    let tokens = |count: usize| -> Vec<SecretString> { (0..count).map(|_| issuer.token(&key)).collect() };
    assert!(outcomes(&verifier, tokens(50)).await.iter().all(|outcome| *outcome == STALE));
    assert_eq!(issuer.fetches(), 1);
    issuer.behave(Behaviour::Serve);
    assert_eq!(outcomes(&verifier, tokens(1)).await, [STALE]);
    issuer.time.advance(SECOND);
    assert_eq!(outcomes(&verifier, tokens(1)).await, [None]);
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_no_reason_not_to_start() {
    // The discard port, where nobody listens.
    let verifier = Verifier::builder("http://127.0.0.1:9").start().await.unwrap();
    let token = Issuer::start().await.token(&TestKey::new(1));
    assert_eq!(outcome(&verifier, &token).await, STALE);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_no_long_answer_is_read() {
    for behaviour in [Behaviour::Redirect, Behaviour::TooLong, Behaviour::TooLongUnannounced] {
        let (issuer, key, verifier) = setup().await;
        issuer.behave(behaviour);
        assert_eq!(outcome(&verifier, &issuer.token(&key)).await, STALE, "{behaviour:?}");
        assert_eq!((issuer.fetches(), issuer.redirected()), (1, 0), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_end_the_fetch() {
    let (issuer, key, verifier) = setup().await;
    let hasty = {
        let (verifier, token) = (verifier.clone(), issuer.token(&key));
        tokio::spawn(async move { outcome(&verifier, &token).await })
    };
    eventually(async || issuer.fetches() == 1).await;
    hasty.abort();
    assert_eq!(outcome(&verifier, &issuer.token(&key)).await, None);
    assert_eq!(issuer.fetches(), 1);
}
