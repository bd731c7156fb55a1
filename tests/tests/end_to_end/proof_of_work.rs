//! Where a proof of work is asked for, nothing is done without one, and each is good once, for what it was made for.

use std::time::Duration;

use doorward_auth::{Challenge, Difficulty, Proof, ProofError, ProofPurpose, ProofRules, RequestPasswordReset};
use doorward_tests::in_process::{InProcess, InProcessOptions};
use doorward_tests::{Answer, Client, Database, PASSWORD, Service};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::in_process_steps::email;

const CROWD: usize = 50;

const REGISTER: &str = "/api/auth/register";
const RESET: &str = "/api/auth/reset-password";
const RESEND: &str = "/api/auth/verify-email/resend";
const LOG_IN: &str = "/api/auth/login";

/// With how many zero bits the digest of a text begins; 32 at most.
fn zeros(text: &str) -> u32 {
    u32::from_be_bytes(Sha256::digest(text).first_chunk().copied().unwrap()).leading_zeros()
}

/// A text with this challenge and a number whose zeros are as wanted.
fn search(challenge: &str, wanted: impl Fn(u32) -> bool) -> String {
    let tries = (0..u64::from(u32::MAX)).map(|number| format!("{challenge}.{number}"));
    tries.into_iter().find(|text| wanted(zeros(text))).unwrap()
}

/// What the service asked for, by its problem or by its route for challenges.
struct Asked {
    challenge: String,
    difficulty: u32,
}

impl Asked {
    fn by(answer: &Value) -> Self {
        let challenge = answer["challenge"].as_str().unwrap().to_owned();
        assert!(challenge.starts_with("dwp_"), "{challenge}");
        Self { challenge, difficulty: answer["difficulty"].as_u64().unwrap().try_into().unwrap() }
    }

    /// A number that does the work and no more, so that it never happens to be good for a harder one.
    fn solved(&self) -> String {
        search(&self.challenge, |zeros| zeros == self.difficulty)
    }

    /// A number that does almost as much work.
    fn almost(&self) -> String {
        search(&self.challenge, |zeros| zeros < self.difficulty)
    }
}

/// Sends a request with this proof, or none.
async fn post(client: &Client, path: &str, body: &Value, proof: Option<&str>) -> Answer {
    let headers: Vec<_> = proof.iter().map(|proof| ("doorward-proof", *proof)).collect();
    client.send(Method::POST, path, &headers, Some(body)).await.unwrap()
}

/// What has to be solved, for this answer has to be the refusal that says so.
fn asked(answer: &Answer) -> Asked {
    answer.refused(428, "proof_required");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    Asked::by(&answer.json())
}

/// A solution for the purpose, made ahead.
async fn solution(client: &Client, purpose: &str) -> String {
    let answer = client.get(&format!("/api/auth/challenge?purpose={purpose}")).await;
    answer.answered(200);
    assert_eq!(answer.json()["expires_in"], 300);
    Asked::by(&answer.json()).solved()
}

fn registration(name: &str) -> Value {
    json!({ "email": format!("{name}@example.com"), "password": PASSWORD })
}

fn start(database: Database, settings: &[(&str, &str)]) -> (Service, Client) {
    let service = Service::start(database, &[&[("PROOF_OF_WORK__DIFFICULTY", "8")], settings].concat());
    let client = Client::new(&service.url());
    (service, client)
}

#[tokio::test]
async fn nothing_is_done_without_a_proof_that_is_good() {
    for database in Database::BOTH {
        let (_service, client) = start(database, &[]);
        let address = json!({ "email": "ada@example.com" });
        for (path, body, purpose, other, done) in [
            (REGISTER, registration("ada"), "register", "reset_password", 201),
            (RESET, address.clone(), "reset_password", "login", 202),
            (RESEND, address, "reset_password", "register", 202),
        ] {
            let first = asked(&post(&client, path, &body, None).await);
            assert_eq!(first.difficulty, 8, "{path}");
            let (good, almost) = (first.solved(), first.almost());
            let foreign = solution(&client, other).await;
            for wrong in ["", "x", &first.challenge, &almost, &foreign, &good[1..], &format!("{good}.1")] {
                let next = asked(&post(&client, path, &body, Some(wrong)).await);
                assert_ne!(next.challenge, first.challenge, "{path}: {wrong:?}");
            }
            // What was refused has spent nothing.
            post(&client, path, &body, Some(&good)).await.answered(done);
            asked(&post(&client, path, &body, Some(&good)).await);
            let ahead = solution(&client, purpose).await;
            let again = post(&client, path, &body, Some(&ahead)).await;
            if path == REGISTER {
                again.refused(409, "email_taken");
                // A refusal for another reason has spent it as well.
                asked(&post(&client, path, &registration("bob"), Some(&ahead)).await);
            } else {
                again.answered(done);
            }
        }
    }
}

#[tokio::test]
async fn a_proof_is_good_once_over_all_nodes_whoever_comes_at_the_same_moment() {
    let (service, client) = start(Database::Postgres, &[]);
    let second = service.another_node();
    let other = Client::new(&second.url());

    // A challenge of one node is one of the other, and what is spent here is spent there.
    let proof = solution(&client, "reset_password").await;
    let body = json!({ "email": "ada@example.com" });
    post(&other, RESET, &body, Some(&proof)).await.answered(202);
    asked(&post(&client, RESET, &body, Some(&proof)).await);
    asked(&post(&other, RESEND, &body, Some(&proof)).await);

    let proof = solution(&client, "register").await;
    let attempts = (0..CROWD).map(|n| {
        let (client, proof) = (if n % 2 == 0 { client.clone() } else { other.clone() }, proof.clone());
        tokio::spawn(async move { post(&client, REGISTER, &registration(&format!("ada{n}")), Some(&proof)).await })
    });
    let mut done = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        let answer = attempt.await.unwrap();
        if answer.status.is_success() {
            done += 1;
        } else {
            asked(&answer);
        }
    }
    assert_eq!(done, 1, "one proof registered {done} of {CROWD}");
}

#[tokio::test]
async fn what_was_easy_enough_before_is_not_when_more_is_asked_for() {
    let (mut service, client) = start(Database::Sqlite, &[]);
    let easy = solution(&client, "register").await;
    service.terminate();
    service.set("PROOF_OF_WORK__DIFFICULTY", "11");
    service.start_again();
    // The connections of the other one have ended with it.
    let client = Client::new(&service.url());
    let harder = asked(&post(&client, REGISTER, &registration("ada"), Some(&easy)).await);
    assert_eq!(harder.difficulty, 11);
    let hard = harder.solved();
    service.terminate();
    service.set("PROOF_OF_WORK__DIFFICULTY", "8");
    service.start_again();
    let client = Client::new(&service.url());
    post(&client, REGISTER, &registration("ada"), Some(&hard)).await.answered(201);
}

#[tokio::test]
async fn a_proof_expires() {
    for database in Database::BOTH {
        let proofs = ProofRules { difficulty: Difficulty::new(8).ok(), ..ProofRules::default() };
        let options = InProcessOptions { proofs, ..InProcessOptions::default() };
        let doorward = InProcess::start_with(database, options).await;
        for (late, good) in [(Duration::ZERO, true), (Duration::from_secs(299), true), (Challenge::LIFETIME, false)] {
            let challenge = doorward.auth.challenge(ProofPurpose::ResetPassword).unwrap().unwrap();
            let bits = u32::from(challenge.difficulty().bits());
            let proof = Proof::new(search(challenge.text(), |zeros| zeros >= bits));
            doorward.clock.advance(late);
            let request = RequestPasswordReset { email: email("ada@example.com"), proof: Some(proof) };
            let outcome = doorward.auth.request_password_reset(request, &doorward_domain::Client::default()).await;
            assert_eq!(outcome.is_ok(), good, "{late:?}: {outcome:?}");
            assert!(good || matches!(outcome, Err(ProofError::Required(_))), "{late:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn the_options_decide_where_and_how_much() {
    let body = json!({ "email": "ada@example.com" });
    // Off by default: the header means nothing, and there is nothing to solve.
    let service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    post(&client, REGISTER, &registration("ada"), Some("nonsense")).await.answered(201);
    client.get("/api/auth/challenge?purpose=register").await.refused(404, "not_found");

    for (on, [register, reset, login]) in [
        ("register", [true, false, false]),
        ("reset", [false, true, false]),
        ("login_failures", [false, false, true]),
        ("register, reset", [true, true, false]),
    ] {
        let (_service, client) =
            start(Database::Sqlite, &[("PROOF_OF_WORK__ON", on), ("PROOF_OF_WORK__DIFFICULTY", "9")]);
        for (path, body, needed) in
            [(REGISTER, &registration("ada"), register), (RESET, &body, reset), (RESEND, &body, reset)]
        {
            let answer = post(&client, path, body, None).await;
            if needed {
                assert_eq!(asked(&answer).difficulty, 9, "{on}: {path}");
            } else {
                assert!(answer.status.is_success(), "{on}: {path}: {answer:?}");
            }
        }
        for (purpose, there) in [("register", register), ("reset_password", reset), ("login", login)] {
            let answer = client.get(&format!("/api/auth/challenge?purpose={purpose}")).await;
            assert_eq!(answer.status.is_success(), there, "{on}: {purpose}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn the_route_for_challenges_takes_a_purpose_that_it_knows() {
    let (_service, client) = start(Database::Sqlite, &[]);
    for query in ["", "?purpose=", "?purpose=reset", "?purpose=register&purpose=login", "?purpose=register&more=1"] {
        client.get(&format!("/api/auth/challenge{query}")).await.refused(400, "bad_request");
    }
}

/// Logs in with this password.
async fn log_in(client: &Client, name: &str, password: &str, proof: Option<&str>) -> Answer {
    post(client, LOG_IN, &json!({ "email": format!("{name}@example.com"), "password": password }), proof).await
}

#[tokio::test]
async fn after_three_wrong_passwords_a_log_in_is_work() {
    let (_service, client) = start(Database::Sqlite, &[("PROOF_OF_WORK__ON", "login_failures")]);
    client.register("ada@example.com").await.grant();
    client.register("bob@example.com").await.grant();
    // The same for an address that nobody has.
    for name in ["ada", "nobody"] {
        for _ in 0..3 {
            log_in(&client, name, "a wrong password", None).await.refused(401, "invalid_credentials");
        }
        let foreign = {
            let first = asked(&log_in(&client, name, PASSWORD, None).await);
            assert_eq!(first.difficulty, 8);
            first.almost()
        };
        asked(&log_in(&client, name, PASSWORD, Some(&foreign)).await);
    }
    log_in(&client, "bob", PASSWORD, None).await.answered(200);
    let proof = solution(&client, "login").await;
    log_in(&client, "ada", PASSWORD, Some(&proof)).await.answered(200);
    // The right password has ended the row.
    log_in(&client, "ada", PASSWORD, None).await.answered(200);
}

/// A form as a browser sends it.
async fn submit(client: &Client, service: &Service, path: &str, proof: Option<&str>) -> Answer {
    let origin = format!("http://localhost:{}", service.address.port());
    let mut headers = vec![("accept", "text/html"), ("origin", origin.as_str())];
    headers.extend(proof.map(|proof| ("doorward-proof", proof)));
    let fields = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("email", "ada@example.com")
        .extend_pairs((path == "/register").then_some(("password", PASSWORD)))
        .finish();
    client.post_raw(path, &headers, "application/x-www-form-urlencoded", fields).await
}

#[tokio::test]
async fn a_form_without_scripts_is_told_that_they_are_needed() {
    let (service, client) = start(Database::Sqlite, &[]);
    for (path, done) in [("/register", 303), ("/forgot-password", 200), ("/verify-email", 200)] {
        for (language, words) in [("en", "needs scripts"), ("de", "braucht er Skripte")] {
            let german = Client::new(&service.url());
            let answer = german
                .post_raw(
                    path,
                    &[
                        ("accept", "text/html"),
                        ("accept-language", language),
                        ("origin", &format!("http://localhost:{}", service.address.port())),
                    ],
                    "application/x-www-form-urlencoded",
                    format!(
                        "email=ada%40example.com{}",
                        if path == "/register" { "&password=a+long+enough+one" } else { "" }
                    ),
                )
                .await;
            answer.answered(428);
            assert!(answer.text.contains(words) && answer.text.contains("ada@example.com"), "{path}: {answer:?}");
        }
        let refused = submit(&client, &service, path, None).await;
        refused.answered(428);
        // What a script solves and sends along with the same form.
        let (challenge, difficulty) =
            refused.header("doorward-challenge").unwrap().split_once("; difficulty=").unwrap();
        let asked = Asked { challenge: challenge.to_owned(), difficulty: difficulty.parse().unwrap() };
        submit(&client, &service, path, Some(&asked.solved())).await.answered(done);
        submit(&client, &service, path, Some(&asked.solved())).await.answered(428);
    }
}

#[tokio::test]
async fn a_page_of_another_origin_may_send_a_proof() {
    let (_service, client) = start(Database::Sqlite, &[("CORS__ORIGINS", "https://app.example.com")]);
    let headers = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,doorward-proof"),
    ];
    let answer = client.send(Method::OPTIONS, REGISTER, &headers, None).await.unwrap();
    assert!(answer.header("access-control-allow-headers").unwrap().contains("doorward-proof"), "{answer:?}");
}
