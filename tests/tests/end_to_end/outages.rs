//! A database that goes away: 503 while it is gone, and no restart when it is back.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use doorward_tests::{Client, Service, postgres};

/// A way to the database that can be cut.
struct Cable {
    port: u16,
    connected: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cable =
            Self { port, connected: Arc::new(AtomicBool::new(true)), streams: Arc::new(Mutex::new(Vec::new())) };
        let (connected, streams) = (Arc::clone(&cable.connected), Arc::clone(&cable.streams));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if !connected.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&target).unwrap();
                let mut known = streams.lock().unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    known.push(from.try_clone().unwrap());
                    thread::spawn(move || {
                        // The end of either side is the end of this connection.
                        std::io::copy(&mut from, &mut to).map(|_| ()).unwrap_or_default();
                        to.shutdown(Shutdown::Both).unwrap_or_default();
                    });
                }
            }
        });
        cable
    }

    fn cut(&self) {
        self.connected.store(false, Ordering::SeqCst);
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }

    fn mend(&self) {
        self.connected.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_lost_database_means_503_until_it_is_back() {
    let target = postgres::url().rsplit('@').next().unwrap().split('/').next().unwrap().to_owned();
    let cable = Cable::to(target);
    let url = format!("postgres://doorward@127.0.0.1:{}/postgres", cable.port);
    let schema = postgres::fresh_schema();
    let service = Service::start_on(url, &[("DATABASE__SCHEMA", &schema)]);
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
