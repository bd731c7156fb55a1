//! Notes beside Doorward: one service, one PostgreSQL database.

use std::error::Error;
use std::net::SocketAddr;

use doorward::{Doorward, MailSettings, RegistrationMode};
use notes::{App, Notes};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let database = std::env::var("DATABASE_URL").unwrap_or("postgres://app@localhost/app".to_owned());
    let doorward = Doorward::builder("http://localhost:3000", database.as_str())
        .master_key_file("notes.key")
        .mail(MailSettings::directory("notes-mail", "Notes <notes@example.com>".parse()?))
        .registration(RegistrationMode::Open)
        .start()
        .await?;
    let store = doorward.owned_tables().postgres().ok_or("notes need PostgreSQL")?.clone();
    let app = App { guard: doorward.guard(), notes: Notes::open(store).await? };
    let router = doorward.routes_with(notes::routes(app));
    tokio::spawn(doorward.background());
    let listen = std::env::var("LISTEN").unwrap_or("127.0.0.1:3000".to_owned());
    // Without the client's address the security log would not know where refused requests come from.
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(tokio::net::TcpListener::bind(listen).await?, service).await?;
    Ok(())
}
