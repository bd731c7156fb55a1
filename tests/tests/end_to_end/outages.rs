//! A database that goes away: 503 while it is gone, and no restart when it is back.

use doorward_tests::{Cable, Client, Service, postgres};

#[tokio::test]
async fn a_lost_database_means_503_until_it_is_back() {
    let cable = Cable::to_postgres();
    let schema = postgres::fresh_schema();
    let service = Service::start_on(cable.url(), &[("DATABASE__SCHEMA", &schema)]);
    let client = Client::new(&service.url());
    let grant = client.register("ada@example.com").await.grant();

    cable.cut();
    for answer in [
        client.get("/readyz").await,
        client.register("eve@example.com").await,
        client.log_in("ada@example.com").await,
        client.refresh(&grant.refresh_token).await,
        client.refresh("dwr_forged").await,
        client.me(&grant.access_token).await,
        client.log_out(&grant.access_token).await,
    ] {
        answer.refused(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(client.get("/healthz").await.status.is_success(), "the process is alive all the same");
    assert!(service.log().contains("request failed"), "{}", service.log());

    cable.mend();
    assert!(client.get("/readyz").await.status.is_success(), "no restart should be needed");
    assert!(client.me(&grant.access_token).await.status.is_success(), "a failed logout ended the session");
    assert!(client.refresh(&grant.refresh_token).await.status.is_success());
    assert!(client.log_in("ada@example.com").await.status.is_success());
    client.log_in("eve@example.com").await.refused(401, "invalid_credentials");
}
