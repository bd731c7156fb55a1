//! Signing keys come and go while others verify with a key set that they keep for five minutes: no valid token is
//! refused, and an old key does not stay.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use doorward_auth::RotateRefresh;
use doorward_auth::token::{JwtVerifier, KeyPolicy, KeyRing, KeySet, SigningKeys, TokenVerifier as _, key_id_of};
use doorward_domain::{Client, Clock as _, KeyAlgorithm, Timestamp};
use doorward_tests::in_process::{InProcess, InProcessOptions};
use doorward_tests::{Database, rounds};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::in_process_steps::register;
use crate::other_verifiers::{node, python};

/// How often everything is looked at.
const STEP: Duration = Duration::from_mins(1);
/// How many steps a verifier keeps a key set, as `Cache-Control` allows it to.
const KEPT_STEPS: usize = 5;
const LIFETIME: Duration = Duration::from_mins(10);
/// How old, in steps, the tokens are that are looked at: from new to about to expire.
const AGES: [usize; 3] = [0, 5, 9];
/// The overlap: the last token's lifetime, and the clocks' difference on either side.
const OVERLAP: Duration = LIFETIME.saturating_add(Duration::from_secs(60));

/// A token in front of a verifier.
struct Case {
    jwks: String,
    now: Timestamp,
    token: String,
}

/// What a verifier says to those that it refuses.
fn refused_by(mut verifier: Command, doorward: &InProcess, cases: &[Case]) -> Vec<String> {
    let mut child = verifier.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("./test installs it");
    let mut input = child.stdin.take().unwrap();
    let lines: Vec<String> = cases
        .iter()
        .map(|Case { jwks, now, token }| {
            let (issuer, audience) = (&doorward.tokens.issuer, &doorward.tokens.audience);
            let case = json!({ "jwks": jwks, "issuer": issuer, "audience": audience, "token": token,
                "now": now.unix_seconds() });
            format!("{case}\n")
        })
        .collect();
    // It answers while it is being asked; nobody must wait for the other to read.
    let asking = std::thread::spawn(move || lines.iter().for_each(|line| input.write_all(line.as_bytes()).unwrap()));
    let output = child.wait_with_output().unwrap();
    asking.join().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), cases.len(), "a verifier gave up");
    said.lines().filter(|line| *line != "ok").map(str::to_owned).collect()
}

/// The verifier that other Rust services use, with the key set of a case and nothing else.
fn refused_by_own(doorward: &InProcess, cases: &[Case]) -> usize {
    let mut verifiers: BTreeMap<&str, JwtVerifier> = BTreeMap::new();
    let refused = cases.iter().filter(|case| {
        let verifier = verifiers.entry(&case.jwks).or_insert_with(|| {
            let keys = KeyRing::new(KeySet::from_jwks(&case.jwks).unwrap());
            JwtVerifier::new(Arc::new(keys), doorward.tokens.clone())
        });
        verifier.verify(&case.token, case.now).is_err()
    });
    refused.count()
}

fn key_ids(jwks: &str) -> Vec<String> {
    let parsed: Value = serde_json::from_str(jwks).unwrap();
    parsed["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// When a key did what.
#[derive(Debug)]
struct Life {
    published: Timestamp,
    first_signed: Option<Timestamp>,
    last_signed: Option<Timestamp>,
    last_published: Timestamp,
}

/// What one node said, minute by minute.
#[derive(Default)]
struct Minutes {
    published: Vec<String>,
    tokens: Vec<String>,
}

async fn next_token(doorward: &InProcess, refresh_token: &mut SecretString) -> String {
    let request = RotateRefresh { refresh_token: refresh_token.clone() };
    let grant = doorward.auth.refresh(request, &Client::default()).await.unwrap();
    *refresh_token = grant.refresh_token.to_text();
    grant.access_token.text.expose_secret().to_owned()
}

async fn rotate_on(database: Database) {
    let rotations = rounds(3).min(50);
    let keys = KeyPolicy { algorithm: KeyAlgorithm::EdDsa, rotate_after: Duration::from_hours(2), lifetime: LIFETIME };
    let options = InProcessOptions { keys, ..InProcessOptions::default() };
    let one = InProcess::start_with(database, options).await;
    let nodes = [one.another_node().await, one];
    let mut sessions = Vec::new();
    for (n, node) in nodes.iter().enumerate() {
        sessions.push(register(node, &format!("ada{n}@example.com")).await.refresh_token.to_text());
    }
    let mut minutes: [Minutes; 2] = Default::default();
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    let mut cases = Vec::new();
    let mut steps_left = usize::MAX;
    while steps_left > 0 {
        nodes[0].clock.advance(STEP);
        let now = nodes[0].clock.now();
        let (first, second) = tokio::join!(nodes[0].keys.maintain(), nodes[1].keys.maintain());
        first.unwrap();
        second.unwrap();
        for (n, node) in nodes.iter().enumerate() {
            let jwks = node.auth.jwks();
            let ids = key_ids(&jwks);
            assert!(ids.len() <= 2, "two nodes made a key each: {ids:?}");
            for id in ids {
                let fresh = Life { published: now, first_signed: None, last_signed: None, last_published: now };
                lives.entry(id).or_insert(fresh).last_published = now;
            }
            let token = next_token(node, &mut sessions[n]).await;
            let life = lives.get_mut(&key_id_of(&token).unwrap()).expect("a key signs that nobody has seen");
            life.first_signed.get_or_insert(now);
            life.last_signed = Some(now);
            minutes[n].published.push(jwks);
            minutes[n].tokens.push(token);
        }
        let minute = minutes[0].tokens.len() - 1;
        // Whoever fetched a key set from either node five minutes ago gets the tokens of both.
        for fetched in &minutes {
            let jwks = &fetched.published[minute.saturating_sub(KEPT_STEPS)];
            for issued in &minutes {
                for token in AGES.iter().filter_map(|age| issued.tokens.get(minute.checked_sub(*age)?)) {
                    cases.push(Case { jwks: jwks.clone(), now, token: token.clone() });
                }
            }
        }
        let is_enough = lives.values().filter(|life| life.first_signed.is_some()).count() > rotations;
        // Long enough for the last key that was replaced to go.
        steps_left = if is_enough && steps_left > 30 { 30 } else { steps_left - 1 };
    }

    let began = lives.values().map(|life| life.published).min().unwrap();
    let last_minute = nodes[0].clock.now();
    let mut retired = 0;
    for (id, life) in &lives {
        let (Some(first), Some(last)) = (life.first_signed, life.last_signed) else { continue };
        if life.published != began {
            let lead = first.since(life.published);
            assert!(lead + STEP >= SigningKeys::LEAD, "{database:?}: {id} was known for {lead:?} before it signed");
        }
        if life.last_published < last_minute {
            let stayed = life.last_published.since(last);
            assert!(stayed <= OVERLAP + 2 * STEP, "{database:?}: {id} stayed for {stayed:?}");
            retired += 1;
        }
    }
    assert!(retired >= rotations, "{database:?}: only {retired} keys are gone: {lives:#?}");
    for (name, refused) in [
        ("PyJWT", refused_by(python("batch.py"), &nodes[0], &cases)),
        ("jose", refused_by(node("batch.mjs"), &nodes[0], &cases)),
    ] {
        assert!(refused.is_empty(), "{database:?}: {name} refused {} of {}: {refused:?}", refused.len(), cases.len());
    }
    assert_eq!(refused_by_own(&nodes[0], &cases), 0, "{database:?}: the verifier of this house refused some");
    println!("{database:?}: {retired} keys replaced, {} valid tokens shown to each verifier, 0 refused", cases.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_refuses_no_valid_token_on_sqlite() {
    rotate_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotation_refuses_no_valid_token_on_postgres() {
    rotate_on(Database::Postgres).await;
}
