//! A mailed token works once, however many use it at the same moment.

use doorward_tests::smtp::{SmtpSink, page, token};
use doorward_tests::{Answer, Client, Database, PASSWORD, Service, rounds};

use crate::mail_steps::{mail_for, reset_token, unverified};

const CROWD: usize = 50;

/// Lets a crowd act at once; returns who succeeded, which is exactly one.
async fn winner<F>(what: &str, act: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = Answer> + Send + 'static,
{
    let crowd: Vec<_> = (0..CROWD).map(|n| tokio::spawn(act(n))).collect();
    let mut winners = Vec::new();
    for (n, task) in crowd.into_iter().enumerate() {
        let answer = task.await.unwrap();
        if answer.status.as_u16() == 204 {
            winners.push(n);
        } else {
            answer.refused(400, "invalid_token");
        }
    }
    assert_eq!(winners.len(), 1, "{what}: {} of {CROWD} succeeded", winners.len());
    winners[0]
}

async fn one_round(client: &Client, sink: &SmtpSink, round: usize) {
    let address = format!("ada{round}@example.com");
    let verify = unverified(client, sink, &address).await;
    winner("verify", |_| {
        let (client, token) = (client.clone(), verify.clone());
        async move { client.verify_email(&token).await }
    })
    .await;
    let session = client.log_in(&address).await.grant();

    let reset = reset_token(client, sink, &address).await;
    let password = |n: usize| format!("the horse of number {n} in the crowd");
    let first = winner("reset", |n| {
        let (client, token, password) = (client.clone(), reset.clone(), password(n));
        async move { client.confirm_reset(&token, &password).await }
    })
    .await;
    client.me(&session.access_token).await.refused(401, "unauthenticated");
    client.log_in(&address).await.refused(401, "invalid_credentials");
    client.log_in_with(&address, &password((first + 1) % CROWD)).await.refused(401, "invalid_credentials");
    let grant = client.log_in_with(&address, &password(first)).await.grant();

    let new_address = format!("moved{round}@example.com");
    client.change_email(&grant.access_token, &new_address, &password(first)).await.answered(202);
    let change = token(&mail_for(sink, &new_address, page::CHANGE_EMAIL).await);
    winner("change", |_| {
        let (client, token) = (client.clone(), change.clone());
        async move { client.confirm_email_change(&token).await }
    })
    .await;
    client.log_in_with(&new_address, &password(first)).await.grant();

    let undo = token(&mail_for(sink, &address, page::UNDO_EMAIL_CHANGE).await);
    winner("undo", |_| {
        let (client, token) = (client.clone(), undo.clone());
        async move { client.undo_email_change(&token).await }
    })
    .await;
    client.log_in_with(&new_address, &password(first)).await.refused(401, "invalid_credentials");
}

async fn rounds_on(database: Database) {
    let sink = SmtpSink::start();
    let service = Service::start_with_mail(database, &sink, &[("HASHING__QUEUE", "10000")]);
    let client = Client::new(&service.url());
    let rounds = rounds(5);
    for round in 0..rounds {
        one_round(&client, &sink, round).await;
    }
    println!("{database:?}: {rounds} rounds of {CROWD} at each of four tokens, one success each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_uses_each_token_once_on_sqlite() {
    rounds_on(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_uses_each_token_once_on_postgres() {
    rounds_on(Database::Postgres).await;
}

/// Two users' tokens of one kind, used crosswise: each changes its own user and nobody else.
#[tokio::test]
async fn a_token_is_its_own_users_alone() {
    crate::mail_steps::on_both(&[], async |_, client, sink| {
        crate::mail_steps::verified(&client, sink, "ada@example.com").await;
        crate::mail_steps::verified(&client, sink, "eve@example.com").await;
        let ada = client.log_in("ada@example.com").await.grant();
        let token = reset_token(&client, sink, "eve@example.com").await;
        client.confirm_reset(&token, "another horse, another staple").await.answered(204);
        assert!(client.me(&ada.access_token).await.status.is_success(), "another's reset ended a session");
        client.log_in_with("ada@example.com", PASSWORD).await.grant();
        client.log_in_with("eve@example.com", PASSWORD).await.refused(401, "invalid_credentials");

        let ada = client.log_in("ada@example.com").await.grant();
        let eve = client.log_in_with("eve@example.com", "another horse, another staple").await.grant();
        // Confirmed by whoever reads the mail; what it changes is the account that asked.
        client.change_email(&eve.access_token, "eva@example.com", "another horse, another staple").await.answered(202);
        let change = doorward_tests::smtp::token(&mail_for(sink, "eva@example.com", page::CHANGE_EMAIL).await);
        client.confirm_email_change(&change).await.answered(204);
        assert_eq!(client.me(&ada.access_token).await.json()["email"], "ada@example.com");
        let moved = client.log_in_with("eva@example.com", "another horse, another staple").await.grant();
        assert_eq!(moved.user_id, eve.user_id);
    })
    .await;
}
