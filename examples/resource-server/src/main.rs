//! An axum service that takes the access tokens of a Doorward elsewhere.

use std::env::var;

use axum::{Router, routing::get};
use doorward_http::verifier::Verifier;
use doorward_http::{AccessGuard, CurrentUser, RequireRole, RoleName};

struct Admin;

impl RoleName for Admin {
    const ROLE: &'static str = "admin";
}

async fn hello(user: CurrentUser) -> String {
    format!("hello, {}", user.id())
}

async fn admin(user: RequireRole<Admin>) -> String {
    format!("as you please, {}", user.id())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut verifier = Verifier::builder(var("ISSUER").unwrap_or("http://localhost:8080".to_owned()));
    if let (Ok(id), Ok(secret)) = (var("CLIENT_ID"), var("CLIENT_SECRET")) {
        verifier = verifier.revocation_feed(id, secret.into()); // hears of ended sessions within a second or two
    }
    let guard = AccessGuard::from(verifier.start().await?);
    let router = Router::new().route("/hello", get(hello)).route("/admin", get(admin)).with_state(guard);
    let listen = var("LISTEN").unwrap_or("127.0.0.1:3001".to_owned());
    axum::serve(tokio::net::TcpListener::bind(listen).await?, router).await?;
    Ok(())
}
