//! An axum service with a route and a table of its own, and Doorward inside.

use std::net::SocketAddr;

use axum::extract::{FromRef, State};
use axum::{Router, routing::post};
use doorward::{AccessGuard, CurrentUser, Doorward, MailSettings, RegistrationMode};
use sqlx::SqlitePool;

#[derive(Clone, FromRef)]
struct App {
    guard: AccessGuard, // what `CurrentUser` asks
    notes: SqlitePool,
}

async fn add_note(user: CurrentUser, State(notes): State<SqlitePool>, text: String) -> Result<String, String> {
    let add = "INSERT INTO notes VALUES ($1, $2) RETURNING (SELECT count(*) FROM notes WHERE owner = $1)";
    let count: Result<i64, _> = sqlx::query_scalar(add).bind(user.id().uuid()).bind(text).fetch_one(&notes).await;
    count.map(|n| format!("you have {n} notes")).map_err(|_| "the notes are not available".to_owned())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let doorward = Doorward::builder("http://localhost:3000/auth", "sqlite:embed-users.db")
        .master_key_file("embed.key")
        .mail(MailSettings::directory("embed-mail", "Notes <notes@example.com>".parse()?)) // or MailSettings::smtp
        .registration(RegistrationMode::Open) // the default lets nobody in before their address is verified
        .start()
        .await?;
    let notes = SqlitePool::connect("sqlite:embed-notes.db?mode=rwc").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS notes (owner BLOB NOT NULL, text TEXT)").execute(&notes).await?;
    let app = App { guard: doorward.guard(), notes };
    let router = Router::new().route("/notes", post(add_note)).with_state(app).nest("/auth", doorward.routes());
    tokio::spawn(doorward.background());
    let listen = std::env::var("LISTEN").unwrap_or("127.0.0.1:3000".to_owned());
    let service = router.into_make_service_with_connect_info::<SocketAddr>(); // tells Doorward who asks
    axum::serve(tokio::net::TcpListener::bind(listen).await?, service).await?;
    Ok(())
}
