//! The wire contract, against the running binary on both databases.

use doorward_tests::{Client, Database, Service};
use serde_json::json;

async fn on_both(test: impl AsyncFn(Service, Client)) {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        test(service, client).await;
    }
}

#[tokio::test]
async fn a_user_registers_logs_in_stays_and_leaves() {
    on_both(async |_service, client| {
        let registered = client.register("Ada@Example.com").await;
        assert_eq!(registered.status.as_u16(), 201);
        let user = &registered.json()["user"];
        assert_eq!(user["email"], "Ada@example.com");
        assert_eq!(user["email_verified"], false);
        assert_eq!(user["name"], json!(null));
        assert_eq!(user["roles"], json!([]));
        assert!(user["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(registered.json()["token_type"], "Bearer");
        assert_eq!(registered.json()["expires_in"], 600);
        assert_eq!(registered.json()["refresh_expires_in"], 30 * 24 * 3600);
        assert_eq!(registered.header("cache-control"), Some("no-store"));

        let grant = client.log_in("ADA@EXAMPLE.COM").await.grant();
        let me = client.me(&grant.access_token).await;
        assert_eq!(me.json()["id"].as_str(), Some(grant.user_id.as_str()));
        assert_eq!(me.header("cache-control"), Some("no-store"));

        let next = client.refresh(&grant.refresh_token).await.grant();
        assert_eq!(next.session_id, grant.session_id);
        assert_ne!(next.refresh_token, grant.refresh_token);

        assert_eq!(client.log_out(&next.access_token).await.status.as_u16(), 204);
        for token in [&grant.access_token, &next.access_token] {
            client.me(token).await.refused(401, "unauthenticated");
        }
        client.refresh(&next.refresh_token).await.refused(401, "invalid_refresh_token");
        assert_eq!(client.log_out(&next.access_token).await.status.as_u16(), 204, "ending twice is no error");
        // The session of the registration goes on.
        assert!(client.me(&registered.grant().access_token).await.status.is_success());
    })
    .await;
}
