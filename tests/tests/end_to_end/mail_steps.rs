//! Steps that the stories about mail share.

use std::time::Duration;

use doorward_tests::smtp::{Received, SmtpSink, page, token};
use doorward_tests::{Client, Database, Grant, Service};
use sqlx::{PgPool, SqlitePool};

/// How long a mail may take that nothing holds up.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Tells the story on both databases, each with a mail server of its own.
pub(crate) async fn on_both(settings: &[(&str, &str)], story: impl AsyncFn(&mut Service, Client, &SmtpSink)) {
    for database in Database::BOTH {
        let sink = SmtpSink::start();
        let mut service = Service::start_with_mail(database, &sink, settings);
        let client = Client::new(&service.url());
        story(&mut service, client, &sink).await;
    }
}

/// The newest mail to this address that leads to this page.
pub(crate) async fn mail_for(sink: &SmtpSink, address: &str, page: &str) -> Received {
    sink.wait_for(|mail| mail.is_to(address) && mail.leads_to(page), SOON).await;
    sink.received_by(address).into_iter().rfind(|mail| mail.leads_to(page)).unwrap()
}

/// Registers an address; returns the token that it was mailed.
pub(crate) async fn unverified(client: &Client, sink: &SmtpSink, address: &str) -> String {
    client.register(address).await.answered(202);
    token(&mail_for(sink, address, page::VERIFY_EMAIL).await)
}

/// Registers an address and verifies it.
pub(crate) async fn verified(client: &Client, sink: &SmtpSink, address: &str) {
    let token = unverified(client, sink, address).await;
    client.verify_email(&token).await.answered(204);
}

/// Registers an address, verifies it and logs in.
pub(crate) async fn logged_in(client: &Client, sink: &SmtpSink, address: &str) -> Grant {
    verified(client, sink, address).await;
    client.log_in(address).await.grant()
}

/// Asks for another password; returns the token that was mailed.
pub(crate) async fn reset_token(client: &Client, sink: &SmtpSink, address: &str) -> String {
    let before = sink.received_by(address).iter().filter(|mail| mail.leads_to(page::RESET_PASSWORD)).count();
    client.request_reset(address).await.answered(202);
    let is_new = |mail: &&Received| mail.leads_to(page::RESET_PASSWORD);
    let started = std::time::Instant::now();
    loop {
        if let Some(mail) = sink.received_by(address).iter().filter(is_new).nth(before) {
            return token(mail);
        }
        assert!(started.elapsed() < SOON, "no mail to reset the password of {address}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits for the mail to another address, whose owner is new to the service: what was caused before and goes out
/// at once has gone out by then.
pub(crate) async fn mail_has_settled(client: &Client, sink: &SmtpSink, stranger: &str) {
    unverified(client, sink, stranger).await;
    // Whoever is still at work on an earlier mail is about to finish.
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Runs a statement on the service's database with one text bound to it; returns how many rows it changed.
pub(crate) async fn execute(service: &Service, statement: &'static str, text: &str) -> u64 {
    if service.schema.is_empty() {
        let pool = SqlitePool::connect(&service.database_url).await.unwrap();
        sqlx::query(statement).bind(text).execute(&pool).await.unwrap().rows_affected()
    } else {
        let options: sqlx::postgres::PgConnectOptions = service.database_url.parse().unwrap();
        let pool = PgPool::connect_with(options.options([("search_path", &service.schema)])).await.unwrap();
        sqlx::query(statement).bind(text).execute(&pool).await.unwrap().rows_affected()
    }
}

/// Disables an account.
pub(crate) async fn disable(service: &Service, address: &str) {
    let changed = execute(service, "UPDATE users SET disabled_at = updated_at WHERE email = $1", address).await;
    assert_eq!(changed, 1, "{address} has no account");
}

/// Verifies an address without its mail.
pub(crate) async fn verify_in_database(service: &Service, address: &str) {
    let changed = execute(service, "UPDATE users SET email_verified_at = created_at WHERE email = $1", address).await;
    assert_eq!(changed, 1, "{address} has no account");
}
