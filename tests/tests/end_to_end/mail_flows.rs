//! An account's life by mail, from registration to deletion.

use std::collections::HashSet;

use doorward_tests::smtp::{Received, link, page, token};
use doorward_tests::{Answer, Client, PASSWORD};
use reqwest::Method;
use serde_json::json;

use crate::mail_steps::{SOON, logged_in, mail_for, mail_has_settled, on_both, reset_token, unverified, verified};

const NEW_PASSWORD: &str = "another horse, another staple";

/// The path and query of a link of this service.
fn path_of(link: &str, port: u16) -> &str {
    link.strip_prefix(&format!("http://localhost:{port}")).unwrap_or_else(|| panic!("a foreign link: {link}"))
}

/// Opens a page as a mail scanner does, and looks whether it keeps its token to itself.
async fn open(client: &Client, path: &str) -> String {
    let page = client.get(path).await;
    page.answered(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    assert_eq!(page.header("referrer-policy"), Some("strict-origin"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    page.text
}

/// Where a page's form goes, when it stands at this path.
fn form_target(html: &str, path: &str) -> String {
    let (_, form) = html.split_once("<form").unwrap_or_else(|| panic!("no form: {html}"));
    let (tag, _) = form.split_once('>').unwrap();
    assert!(tag.to_ascii_lowercase().contains("method=\"post\""), "{tag}");
    let action = tag.split_once("action=\"").map(|(_, rest)| rest.split('"').next().unwrap());
    let own = path.split('?').next().unwrap();
    match action {
        None | Some("") => path.to_owned(),
        // The page itself, without the token in its address.
        Some("?") => own.to_owned(),
        Some(target) => {
            assert!(target.starts_with('/'), "the form leaves the service: {tag}");
            target.to_owned()
        }
    }
}

/// Presses the page's button.
async fn submit(client: &Client, html: &str, path: &str, fields: &str) -> Answer {
    let origin = client.base.replace("127.0.0.1", "localhost");
    let headers = [("origin", origin.as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate")];
    let target = form_target(html, path);
    client.post_raw(&target, &headers, "application/x-www-form-urlencoded", fields.to_owned()).await
}

/// Nothing that the session was given works any more.
async fn is_over(client: &Client, grant: &doorward_tests::Grant) {
    client.me(&grant.access_token).await.refused(401, "unauthenticated");
    client.refresh(&grant.refresh_token).await.refused(401, "invalid_refresh_token");
}

#[tokio::test]
async fn a_registration_is_complete_once_its_address_is_verified() {
    on_both(&[], async |service, client, sink| {
        let answer = client.register("ada@example.com").await;
        answer.answered(202);
        assert_eq!(answer.json(), json!({ "status": "verification_sent" }));
        let mail = mail_for(sink, "ada@example.com", page::VERIFY_EMAIL).await;
        assert!(!mail.subject.is_empty() && mail.html.contains(&token(&mail)), "{mail:?}");
        assert_eq!(mail.envelope_from, "no-reply@example.com");
        client.log_in("ada@example.com").await.refused(403, "email_not_verified");
        client.log_in_with("ada@example.com", "a wrong password").await.refused(401, "invalid_credentials");

        let link = link(&mail, page::VERIFY_EMAIL);
        let path = path_of(&link, service.address.port());
        for _ in 0..3 {
            open(&client, path).await;
        }
        client.send(Method::HEAD, path, &[], None).await.unwrap();
        client.log_in("ada@example.com").await.refused(403, "email_not_verified");

        client.verify_email(&token(&mail)).await.answered(204);
        let grant = client.log_in("ada@example.com").await;
        assert_eq!(grant.json()["user"]["email_verified"], true);
        client.verify_email(&token(&mail)).await.refused(400, "invalid_token");
        assert!(client.me(&grant.grant().access_token).await.status.is_success(), "a second use did harm");
    })
    .await;
}

#[tokio::test]
async fn a_pages_button_does_what_its_mail_is_for() {
    on_both(&[], async |service, client, sink| {
        let port = service.address.port();
        client.register("ada@example.com").await.answered(202);
        let mail = mail_for(sink, "ada@example.com", page::VERIFY_EMAIL).await;
        let link_text = link(&mail, page::VERIFY_EMAIL);
        let html = open(&client, path_of(&link_text, port)).await;
        let fields = format!("token={}", token(&mail));
        let done = submit(&client, &html, page::VERIFY_EMAIL, &fields).await;
        assert!(done.status.is_success() || done.status.is_redirection(), "{done:?}");
        client.verify_email(&token(&mail)).await.refused(400, "invalid_token");
        client.log_in("ada@example.com").await.grant();
        let again = submit(&client, &html, page::VERIFY_EMAIL, &fields).await;
        assert!(again.status.is_client_error(), "{again:?}");

        client.request_reset("ada@example.com").await.answered(202);
        let mail = mail_for(sink, "ada@example.com", page::RESET_PASSWORD).await;
        let link_text = link(&mail, page::RESET_PASSWORD);
        let html = open(&client, path_of(&link_text, port)).await;
        client.log_in("ada@example.com").await.grant();
        let fields = format!("token={}&password=another+horse%2C+another+staple", token(&mail));
        let done = submit(&client, &html, page::RESET_PASSWORD, &fields).await;
        assert!(done.status.is_success() || done.status.is_redirection(), "{done:?}");
        client.log_in("ada@example.com").await.refused(401, "invalid_credentials");
        client.log_in_with("ada@example.com", NEW_PASSWORD).await.grant();
    })
    .await;
}

#[tokio::test]
async fn what_a_page_is_given_stays_text() {
    on_both(&[], async |_, client, _| {
        for path in [page::VERIFY_EMAIL, page::RESET_PASSWORD, page::CHANGE_EMAIL, page::UNDO_EMAIL_CHANGE] {
            let hostile = client.get(&format!("{path}?token=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")).await;
            assert!(!hostile.status.is_server_error(), "{hostile:?}");
            assert!(!hostile.text.contains("<script>alert"), "{hostile:?}");
            assert!(!client.get(path).await.status.is_server_error(), "{path} without a token");
        }
    })
    .await;
}

#[tokio::test]
async fn a_newer_link_takes_the_place_of_an_older() {
    on_both(&[], async |_, client, sink| {
        let first = unverified(&client, sink, "ada@example.com").await;
        client.resend_verification("ADA@example.com").await.answered(202);
        let second = sink.wait_for_nth("ada@example.com", 2, SOON).await;
        let newer = token(&second);
        assert_ne!(first, newer);
        assert_ne!(sink.received_by("ada@example.com")[0].message_id, second.message_id);
        client.verify_email(&first).await.refused(400, "invalid_token");
        client.log_in("ada@example.com").await.refused(403, "email_not_verified");
        client.verify_email(&newer).await.answered(204);
        let grant = client.log_in("ada@example.com").await.grant();

        let older = reset_token(&client, sink, "ada@example.com").await;
        let newer = reset_token(&client, sink, "ada@example.com").await;
        client.confirm_reset(&older, NEW_PASSWORD).await.refused(400, "invalid_token");
        assert!(client.me(&grant.access_token).await.status.is_success(), "a superseded link ended a session");

        client.change_email(&grant.access_token, "ada@first.example", PASSWORD).await.answered(202);
        let superseded = token(&mail_for(sink, "ada@first.example", page::CHANGE_EMAIL).await);
        client.change_email(&grant.access_token, "ada@second.example", PASSWORD).await.answered(202);
        let change = token(&mail_for(sink, "ada@second.example", page::CHANGE_EMAIL).await);
        client.confirm_email_change(&superseded).await.refused(400, "invalid_token");
        client.log_in("ada@first.example").await.refused(401, "invalid_credentials");

        // A reset ends every other token.
        client.confirm_reset(&newer, NEW_PASSWORD).await.answered(204);
        client.confirm_email_change(&change).await.refused(400, "invalid_token");
        client.log_in_with("ada@example.com", NEW_PASSWORD).await.grant();
    })
    .await;
}

#[tokio::test]
async fn nobody_is_asked_to_verify_what_is_verified() {
    on_both(&[], async |_, client, sink| {
        verified(&client, sink, "ada@example.com").await;
        client.resend_verification("ada@example.com").await.answered(202);
        client.resend_verification("nobody@example.com").await.answered(202);
        client.request_reset("nobody@example.com").await.answered(202);
        mail_has_settled(&client, sink, "settled@example.com").await;
        let links = sink.received_by("ada@example.com").iter().filter(|m| m.leads_to(page::VERIFY_EMAIL)).count();
        assert_eq!(links, 1, "a verified address was asked again");
        let has_link = |mail: &Received| mail.has_token();
        assert!(!sink.received_by("nobody@example.com").iter().any(has_link), "a link to an account that is none");
    })
    .await;
}

#[tokio::test]
async fn a_reset_puts_a_new_password_in_the_place_of_everything_old() {
    on_both(&[], async |_, client, sink| {
        let first = logged_in(&client, sink, "ada@example.com").await;
        let second = client.log_in("ada@example.com").await.grant();
        let stranger = logged_in(&client, sink, "eve@example.com").await;
        let reset = reset_token(&client, sink, "ada@example.com").await;

        // What is refused uses nothing up.
        client.confirm_reset(&reset, "short").await.refused(422, "validation_failed");
        client.confirm_reset(&reset, "ada@example.com").await.refused(422, "validation_failed");
        assert!(client.me(&first.access_token).await.status.is_success(), "a refused reset ended a session");

        client.confirm_reset(&reset, NEW_PASSWORD).await.answered(204);
        is_over(&client, &first).await;
        is_over(&client, &second).await;
        client.log_in("ada@example.com").await.refused(401, "invalid_credentials");
        let new = client.log_in_with("ada@example.com", NEW_PASSWORD).await.grant();
        client.confirm_reset(&reset, "yet another horse").await.refused(400, "invalid_token");
        client.log_in_with("ada@example.com", "yet another horse").await.refused(401, "invalid_credentials");
        assert!(client.me(&new.access_token).await.status.is_success(), "a second use ended a session");
        assert!(client.me(&stranger.access_token).await.status.is_success(), "another user's session ended");
        client.log_in("eve@example.com").await.grant();
        // Its owner is told.
        let told = |mail: &Received| mail.is_to("ada@example.com") && !mail.has_token();
        sink.wait_for(told, SOON).await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_password_ends_every_session_but_its_own() {
    on_both(&[], async |_, client, sink| {
        let own = logged_in(&client, sink, "ada@example.com").await;
        let other = client.log_in("ada@example.com").await.grant();
        let reset = reset_token(&client, sink, "ada@example.com").await;
        let before = sink.received_by("ada@example.com").len();

        let wrong = client.change_password(&own.access_token, "a wrong password", NEW_PASSWORD).await;
        wrong.refused(401, "invalid_credentials");
        client.change_password(&own.access_token, PASSWORD, "short").await.refused(422, "validation_failed");
        assert!(client.me(&other.access_token).await.status.is_success(), "a refused change ended a session");

        client.change_password(&own.access_token, PASSWORD, NEW_PASSWORD).await.answered(204);
        is_over(&client, &other).await;
        assert!(client.me(&own.access_token).await.status.is_success(), "its own session ended");
        client.refresh(&own.refresh_token).await.grant();
        client.log_in("ada@example.com").await.refused(401, "invalid_credentials");
        client.log_in_with("ada@example.com", NEW_PASSWORD).await.grant();
        client.confirm_reset(&reset, PASSWORD).await.refused(400, "invalid_token");
        let notice = sink.wait_for_nth("ada@example.com", before + 1, SOON).await;
        assert!(!notice.has_token(), "{notice:?}");
    })
    .await;
}

#[tokio::test]
async fn an_address_changes_when_its_new_owner_confirms_and_back_when_the_old_one_objects() {
    on_both(&[], async |_, client, sink| {
        let (old, new) = ("ada@example.com", "ada@elsewhere.example");
        let grant = logged_in(&client, sink, old).await;
        let wrong = client.change_email(&grant.access_token, new, "a wrong password").await;
        wrong.refused(401, "invalid_credentials");
        client.change_email(&grant.access_token, new, PASSWORD).await.answered(202);
        let change = token(&mail_for(sink, new, page::CHANGE_EMAIL).await);
        let notice = sink.wait_for_nth(old, 2, SOON).await;
        assert!(!notice.leads_to(page::CHANGE_EMAIL), "the old address can confirm the new: {notice:?}");
        // Nothing has changed yet.
        client.log_in(new).await.refused(401, "invalid_credentials");
        let session = client.log_in(old).await.grant();

        client.confirm_email_change(&change).await.answered(204);
        client.confirm_email_change(&change).await.refused(400, "invalid_token");
        client.log_in(old).await.refused(401, "invalid_credentials");
        is_over(&client, &session).await;
        let moved = client.log_in(new).await.grant();
        assert_eq!(moved.user_id, grant.user_id);
        assert_eq!(client.me(&moved.access_token).await.json()["email"], new);
        assert_eq!(client.me(&moved.access_token).await.json()["email_verified"], true);

        let undo = token(&mail_for(sink, old, page::UNDO_EMAIL_CHANGE).await);
        client.undo_email_change(&undo).await.answered(204);
        is_over(&client, &moved).await;
        // Whoever changed the address knew the password.
        client.log_in(new).await.refused(401, "invalid_credentials");
        client.log_in(old).await.refused(401, "invalid_credentials");
        client.undo_email_change(&undo).await.refused(400, "invalid_token");
        let reset = token(&mail_for(sink, old, page::RESET_PASSWORD).await);
        client.confirm_reset(&reset, NEW_PASSWORD).await.answered(204);
        let back = client.log_in_with(old, NEW_PASSWORD).await.grant();
        assert_eq!(back.user_id, grant.user_id);
        assert_eq!(client.me(&back.access_token).await.json()["email"], old);
    })
    .await;
}

#[tokio::test]
async fn an_address_that_somebody_has_cannot_be_taken() {
    on_both(&[], async |_, client, sink| {
        verified(&client, sink, "eve@example.com").await;
        let grant = logged_in(&client, sink, "ada@example.com").await;
        let free = client.change_email(&grant.access_token, "free@example.com", PASSWORD).await;
        let taken = client.change_email(&grant.access_token, "EVE@example.com", PASSWORD).await;
        assert_eq!((taken.status, &taken.text), (free.status, &free.text), "the two tell who has an account");
        mail_has_settled(&client, sink, "settled@example.com").await;
        let confirms = |mail: &Received| mail.leads_to(page::CHANGE_EMAIL);
        assert!(!sink.received_by("eve@example.com").iter().any(confirms), "a taken address can be confirmed");
        assert_eq!(client.me(&grant.access_token).await.json()["email"], "ada@example.com");
        client.log_in("eve@example.com").await.grant();
    })
    .await;
}

#[tokio::test]
async fn a_deleted_account_leaves_its_address_free() {
    on_both(&[], async |_, client, sink| {
        let grant = logged_in(&client, sink, "ada@example.com").await;
        let other = client.log_in("ada@example.com").await.grant();
        let reset = reset_token(&client, sink, "ada@example.com").await;
        client.delete_me(&grant.access_token, "a wrong password").await.refused(401, "invalid_credentials");
        assert!(client.me(&grant.access_token).await.status.is_success());

        client.delete_me(&grant.access_token, PASSWORD).await.answered(204);
        is_over(&client, &grant).await;
        is_over(&client, &other).await;
        client.log_in("ada@example.com").await.refused(401, "invalid_credentials");
        client.confirm_reset(&reset, NEW_PASSWORD).await.refused(400, "invalid_token");

        let is_verification = |mail: &&Received| mail.leads_to(page::VERIFY_EMAIL);
        client.register("ada@example.com").await.answered(202);
        sink.wait_for_nth("ada@example.com", 3, SOON).await;
        let mails = sink.received_by("ada@example.com");
        let verification = mails.iter().filter(is_verification).nth(1).expect("the new account's mail");
        client.verify_email(&token(verification)).await.answered(204);
        let anew = client.log_in("ada@example.com").await.grant();
        assert_ne!(anew.user_id, grant.user_id);
    })
    .await;
}

#[tokio::test]
async fn an_owner_is_told_of_what_may_not_have_been_them() {
    // More wrong passwords than are usually looked at without a delay.
    let settings = [("SESSIONS__REUSE_WINDOW", "0s"), ("LIMITS__PASSWORD_FREE", "100")];
    on_both(&settings, async |_, client, sink| {
        let address = "ada@example.com";
        verified(&client, sink, address).await;
        let log_in_from = async |device: &str| {
            let body = json!({ "email": address, "password": PASSWORD });
            let headers = [("user-agent", device)];
            client.send(Method::POST, "/api/auth/login", &headers, Some(&body)).await.unwrap().grant()
        };
        let mut subjects: Vec<String> = sink.received_by(address).into_iter().map(|mail| mail.subject).collect();
        // The first device is not new, and neither is one that was there before.
        log_in_from("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0").await;
        log_in_from("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0").await;
        mail_has_settled(&client, sink, "settled@example.com").await;
        assert_eq!(sink.received_by(address).len(), 1, "the first log-in gave a notice");

        log_in_from("Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) Safari/605.1.15").await;
        subjects.push(sink.wait_for_nth(address, 2, SOON).await.subject);

        for _ in 0..10 {
            client.log_in_with(address, "a wrong password").await.refused(401, "invalid_credentials");
        }
        let grant = log_in_from("Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0").await;
        subjects.push(sink.wait_for_nth(address, 3, SOON).await.subject);

        let second = client.refresh(&grant.refresh_token).await.grant();
        client.refresh(&second.refresh_token).await.grant();
        client.refresh(&grant.refresh_token).await.refused(401, "invalid_refresh_token");
        subjects.push(sink.wait_for_nth(address, 4, SOON).await.subject);

        mail_has_settled(&client, sink, "settled-again@example.com").await;
        let mails = sink.received_by(address);
        assert_eq!(mails.len(), 4, "more than one notice for one event: {subjects:?}");
        assert!(mails[1..].iter().all(|mail| !mail.has_token()), "a notice holds a token");
        let different: HashSet<&String> = subjects.iter().collect();
        assert_eq!(different.len(), 4, "two notices cannot be told apart: {subjects:?}");
    })
    .await;
}

#[tokio::test]
async fn registering_a_known_address_tells_its_owner_and_nobody_else() {
    on_both(&[], async |_, client, sink| {
        let fresh = client.register("ada@example.com").await;
        let verification = token(&mail_for(sink, "ada@example.com", page::VERIFY_EMAIL).await);
        client.verify_email(&verification).await.answered(204);
        for spelling in ["ada@example.com", "ADA@Example.com"] {
            let body = json!({ "email": spelling, "password": NEW_PASSWORD });
            let known = client.post("/api/auth/register", &body).await;
            assert_eq!((known.status, &known.text), (fresh.status, &fresh.text));
            assert!(known.header("set-cookie").is_none(), "a session for a known address");
        }
        let notice = sink.wait_for_nth("ada@example.com", 2, SOON).await;
        assert!(!notice.has_token(), "{notice:?}");
        client.log_in_with("ada@example.com", NEW_PASSWORD).await.refused(401, "invalid_credentials");
        client.log_in("ada@example.com").await.grant();
        assert!(sink.received_by("ADA@Example.com").is_empty(), "mail goes to the stored address only");
    })
    .await;
}

#[tokio::test]
async fn a_token_of_one_purpose_is_refused_at_every_other() {
    on_both(&[], async |_, client, sink| {
        let verify = unverified(&client, sink, "una@example.com").await;
        verified(&client, sink, "reset@example.com").await;
        let reset = reset_token(&client, sink, "reset@example.com").await;
        let grant = logged_in(&client, sink, "change@example.com").await;
        client.change_email(&grant.access_token, "changed@example.com", PASSWORD).await.answered(202);
        let change = token(&mail_for(sink, "changed@example.com", page::CHANGE_EMAIL).await);
        let grant = logged_in(&client, sink, "undo@example.com").await;
        client.change_email(&grant.access_token, "undone@example.com", PASSWORD).await.answered(202);
        let confirm = token(&mail_for(sink, "undone@example.com", page::CHANGE_EMAIL).await);
        client.confirm_email_change(&confirm).await.answered(204);
        let undo = token(&mail_for(sink, "undo@example.com", page::UNDO_EMAIL_CHANGE).await);

        let endpoints = [
            ("/api/auth/verify-email", &verify),
            ("/api/auth/reset-password/confirm", &reset),
            ("/api/auth/change-email/confirm", &change),
            ("/api/auth/change-email/undo", &undo),
        ];
        let present = async |path: &str, token: &str| {
            let mut body = json!({ "token": token });
            if path.contains("reset") {
                body["password"] = json!(NEW_PASSWORD);
            }
            client.post(path, &body).await
        };
        for (path, own) in endpoints {
            for (_, token) in endpoints.iter().filter(|(other, _)| *other != path) {
                present(path, token).await.refused(400, "invalid_token");
            }
            for forged in ["", "x", &own[1..], &format!("{own}A"), &own.to_uppercase(), &"A".repeat(5_000)] {
                let refused = present(path, forged).await;
                assert!(matches!(refused.status.as_u16(), 400 | 422), "{path} {forged}: {refused:?}");
            }
        }
        // Each still does what it is for, once.
        for (path, own) in endpoints {
            present(path, own).await.answered(204);
            present(path, own).await.refused(400, "invalid_token");
        }
        client.log_in("una@example.com").await.grant();
        client.log_in_with("reset@example.com", NEW_PASSWORD).await.grant();
        client.log_in("changed@example.com").await.grant();
        client.log_in("undone@example.com").await.refused(401, "invalid_credentials");
    })
    .await;
}
