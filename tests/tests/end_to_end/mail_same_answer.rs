//! Nobody learns from an answer whether an address has an account.

use doorward_tests::{Answer, Client};

use crate::mail_steps::{disable, on_both, unverified, verified};

/// An answer as it came, without what every answer has for itself.
fn masked(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let own = ["date", "x-request-id"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let text = match answer.header("x-request-id") {
        Some(id) => answer.text.replace(id, "..."),
        None => answer.text.clone(),
    };
    (answer.status.as_u16(), headers, text)
}

#[tokio::test]
async fn known_unknown_unverified_and_disabled_addresses_get_the_same_answer() {
    on_both(&[], async |service, client, sink| {
        verified(&client, sink, "known@example.com").await;
        unverified(&client, sink, "unver@example.com").await;
        verified(&client, sink, "disab@example.com").await;
        disable(service, "disab@example.com").await;
        unverified(&client, sink, "both1@example.com").await;
        disable(service, "both1@example.com").await;
        client.log_in("disab@example.com").await.refused(403, "account_disabled");

        let reset = async |client: &Client, email: &str| client.request_reset(email).await;
        let resend = async |client: &Client, email: &str| client.resend_verification(email).await;
        let register = async |client: &Client, email: &str| client.register(email).await;
        let everyone = ["known", "unver", "disab", "both1", "nobod", "KNOWN", "DISAB"];

        let mut answers = Vec::new();
        for who in everyone {
            answers.push(("reset", masked(&reset(&client, &format!("{who}@example.com")).await)));
            answers.push(("resend", masked(&resend(&client, &format!("{who}@example.com")).await)));
        }
        // Last, since it makes an unknown address known.
        for who in everyone {
            answers.push(("register", masked(&register(&client, &format!("{who}@example.com")).await)));
        }
        for (what, answer) in &answers {
            assert_eq!(answer.0, 202, "{what}");
            let (_, first) = answers.iter().find(|(other, _)| other == what).unwrap();
            assert_eq!(answer, first, "{what} tells who has an account");
            assert!(!answer.1.iter().any(|(name, _)| name == "set-cookie"), "{what} sets a cookie");
            assert!(!answer.2.contains("_token\""), "{what} gives a token");
        }
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told_before_anything_about_the_account() {
    on_both(&[], async |service, client, sink| {
        verified(&client, sink, "known@example.com").await;
        unverified(&client, sink, "unver@example.com").await;
        verified(&client, sink, "disab@example.com").await;
        disable(service, "disab@example.com").await;
        let mut answers = Vec::new();
        for who in ["known", "unver", "disab", "nobod"] {
            let answer = client.log_in_with(&format!("{who}@example.com"), "a wrong password").await;
            answer.refused(401, "invalid_credentials");
            answers.push(masked(&answer));
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    })
    .await;
}

#[tokio::test]
async fn a_disabled_account_stays_disabled_by_mail() {
    on_both(&[], async |service, client, sink| {
        let verify = unverified(&client, sink, "unver@example.com").await;
        disable(service, "unver@example.com").await;
        // Whether the address is proven or the link refused, nobody gets in.
        let verified_now = client.verify_email(&verify).await;
        assert!(matches!(verified_now.status.as_u16(), 204 | 400), "{verified_now:?}");
        assert_eq!(client.log_in("unver@example.com").await.status.as_u16(), 403);

        verified(&client, sink, "ada@example.com").await;
        let reset = crate::mail_steps::reset_token(&client, sink, "ada@example.com").await;
        disable(service, "ada@example.com").await;
        let confirmed = client.confirm_reset(&reset, "another horse, another staple").await;
        assert!(matches!(confirmed.status.as_u16(), 204 | 400), "{confirmed:?}");
        for password in [doorward_tests::PASSWORD, "another horse, another staple"] {
            assert!(client.log_in_with("ada@example.com", password).await.status.is_client_error());
        }
    })
    .await;
}
