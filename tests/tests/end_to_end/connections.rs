//! What a connection may cost: slow ones are cut, idle ones are cheap, ending drains.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use doorward_tests::{Client, Database, PASSWORD, Service};
use serde_json::json;

/// Everything that the service sends until it closes the connection, and how long that took.
fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let started = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the connection was held open");
    (String::from_utf8_lossy(&answer).into_owned(), started.elapsed())
}

fn connect(service: &Service, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[test]
fn a_half_sent_header_is_cut_off() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__HEADER_TIMEOUT", "300ms")]);
    for bytes in ["", "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nX-Slow: ", "G"] {
        let (answer, took) = until_closed(connect(&service, bytes.as_bytes()));
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{bytes:?}: {took:?}");
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let patient = Service::start(Database::Sqlite, &[("LIMITS__HEADER_TIMEOUT", "30s")]);
    let stream = connect(&patient, b"GET /healthz HTTP/1.1\r\n");
    stream.set_read_timeout(Some(Duration::from_millis(800))).unwrap();
    assert!((&stream).read(&mut [0]).is_err(), "the option does not change when a header is cut off");
}

#[test]
fn a_half_sent_body_is_answered_and_cut_off() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__BODY_TIMEOUT", "300ms")]);
    let request = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 100\r\n\r\n{\"email\":";
    let (answer, took) = until_closed(connect(&service, request.as_bytes()));
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    // Nothing is as fast as a microsecond.
    let service = Service::start(Database::Sqlite, &[("LIMITS__REQUEST_TIMEOUT", "1us")]);
    let client = Client::new(&service.url());
    let answer = client.register("ada@example.com").await;
    answer.refused(503, "unavailable");
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn a_client_that_takes_nothing_of_its_answers_is_cut_off() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__HEADER_TIMEOUT", "300ms")]);
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    let requests = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    let started = Instant::now();
    // The service stops reading once its own side is full, and then closes; writing fails with either.
    let error = (0..10_000).find_map(|_| stream.write_all(requests.as_bytes()).err()).expect("it is held open");
    let cut = !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    assert!(cut && started.elapsed() < Duration::from_secs(8), "{error} after {:?}", started.elapsed());
}

#[test]
fn a_request_names_one_host() {
    let service = Service::start(Database::Sqlite, &[]);
    for (headers, status) in
        [("Host: x\r\n", "HTTP/1.1 200"), ("", "HTTP/1.1 400"), ("Host: x\r\nHost: y\r\n", "HTTP/1.1 400")]
    {
        let request = format!("GET /healthz HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let (answer, _) = until_closed(connect(&service, request.as_bytes()));
        assert!(answer.starts_with(status), "{headers:?}: {answer}");
    }
}

#[tokio::test]
async fn hanging_up_does_not_keep_a_session_alive() {
    let service = Service::start(Database::Sqlite, &[("SESSIONS__REUSE_WINDOW", "0s")]);
    let client = Client::new(&service.url());
    let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
    client.register("ada@example.com").await.grant();
    let (mut ended, mut hung_up) = (0, 0);
    for round in 0..60_u64 {
        let first = client.log_in("ada@example.com").await.grant();
        let second = client.refresh(&first.refresh_token).await.grant();
        let third = client.refresh(&second.refresh_token).await.grant();
        let replay = round % 2 == 0;
        let (path, body) = if replay {
            ("refresh", json!({ "refresh_token": first.refresh_token }).to_string())
        } else {
            ("logout", json!({ "refresh_token": third.refresh_token }).to_string())
        };
        let stream = connect(
            &service,
            format!(
                "POST /api/auth/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        std::thread::sleep(Duration::from_micros(100 * (round % 40)));
        drop(stream);
        hung_up += 1;
        // Whatever was begun is over once the next write has been answered.
        client.log_in_with("ada@example.com", "not the password").await;
        let id: uuid::Uuid = third.session_id.parse().unwrap();
        let ended_at: Option<i64> =
            sqlx::query_scalar("SELECT ended_at FROM sessions WHERE id = $1").bind(id).fetch_one(&pool).await.unwrap();
        if ended_at.is_some() {
            ended += 1;
            client.me(&third.access_token).await.refused(401, "unauthenticated");
        }
    }
    println!("{hung_up} hung up, {ended} sessions ended");
    assert!(ended > 0, "every request was dropped before it did anything");
}

#[tokio::test]
async fn ending_is_heard_while_starting() {
    use std::process::{Command, Stdio};
    let url = doorward_tests::postgres::url();
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    let mut migrator = pool.begin().await.unwrap();
    // What a node that migrates holds.
    sqlx::query("SELECT pg_advisory_xact_lock(7237125663627506276)").execute(&mut *migrator).await.unwrap();
    let mut child = Command::new(doorward_tests::service::binary())
        .arg("serve")
        .env_clear()
        .envs([
            ("DOORWARD__PUBLIC_URL", "http://localhost:1"),
            ("DOORWARD__LISTEN", "127.0.0.1:0"),
            ("DOORWARD__DATABASE__URL", url),
            ("DOORWARD__DATABASE__SCHEMA", "never_migrated"),
            ("DOORWARD__SECRETS__MASTER_KEY", doorward_tests::service::MASTER_KEY),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&pool).await.unwrap() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let asked = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(asked.elapsed() < Duration::from_secs(5), "it waits for the lock");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(migrator);
}

#[test]
fn connections_above_the_limit_wait() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__MAX_CONNECTIONS", "2")]);
    let first = connect(&service, b"");
    let second = connect(&service, b"");
    std::thread::sleep(Duration::from_millis(100));
    let mut third = connect(&service, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(third.read(&mut [0]).is_err(), "a third connection was served");
    drop((first, second));
    let (answer, _) = until_closed(third);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn oversized_headers_are_refused() {
    let service = Service::start(Database::Sqlite, &[]);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(1_000));
    for request in [long, many] {
        let mut stream = TcpStream::connect(service.address).unwrap();
        // The service may close before everything is sent, which is as good.
        stream.write_all(request.as_bytes()).unwrap_or_default();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map(|_| ()).unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_their_buffers() {
    let service = Service::start(Database::Sqlite, &[("LIMITS__HEADER_TIMEOUT", "5m")]);
    let client = Client::new(&service.url());
    client.get("/healthz").await;
    raise_descriptor_limit();
    let before = resident_kib(&service);
    const CONNECTIONS: usize = 10_000;
    let mut connections = Vec::new();
    for n in 0..CONNECTIONS {
        // A port is good for some 28,000 connections from one address, so one is enough here.
        let stream = TcpStream::connect(service.address).unwrap_or_else(|error| panic!("connection {n}: {error}"));
        connections.push(stream);
    }
    let answer = client.get("/healthz").await;
    assert!(answer.status.is_success(), "nobody is answered besides {CONNECTIONS} idle connections");
    let each = (resident_kib(&service) - before) as f64 / CONNECTIONS as f64;
    println!("an idle connection costs {each:.1} KiB");
    assert!(each < 16.0, "an idle connection costs {each:.1} KiB");
}

fn resident_kib(service: &Service) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

#[tokio::test]
async fn ending_lets_requests_in_flight_finish() {
    let settings = [("HASHING__WORKERS", "1"), ("LIMITS__PASSWORD_FREE", "100")];
    let mut service = Service::start(Database::Sqlite, &settings);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    let idle = connect(&service, b"");
    let half_sent = connect(&service, b"GET /healthz HTTP/1.1\r\n");
    let logins: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.log_in("ada@example.com").await.status.as_u16() })
        })
        .collect();
    // The first of them is answered, so the others have arrived; they queue for one worker.
    let mut logins = logins.into_iter();
    let first = logins.next().unwrap().await.unwrap();
    let asked = Instant::now();
    let status = tokio::task::spawn_blocking(move || {
        let status = service.terminate();
        (status, service)
    });
    let mut statuses = vec![first];
    for login in logins {
        statuses.push(login.await.unwrap());
    }
    let (status, _service) = status.await.unwrap();
    assert!(status.success(), "{status}");
    assert!(asked.elapsed() < Duration::from_secs(10), "ending took {:?}", asked.elapsed());
    assert_eq!(statuses, [200; 10], "requests in flight were lost");
    drop((idle, half_sent));
}

#[tokio::test]
async fn a_login_whose_client_has_gone_is_not_hashed() {
    let service = Service::start(Database::Sqlite, &[("HASHING__WORKERS", "1"), ("HASHING__QUEUE", "200")]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    let request = |n: usize| {
        // An address each, since only so many passwords are tried for one.
        let body = json!({ "email": format!("ada{n}@example.com"), "password": PASSWORD }).to_string();
        let length = body.len();
        format!(
            "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let gone: Vec<_> = (0..150).map(|n| connect(&service, request(n).as_bytes())).collect();
    drop(gone);
    let waited = Instant::now();
    client.log_in("ada@example.com").await.grant();
    // 150 hashes would take over two seconds.
    let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
    let logins: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE kind = 'login'").fetch_one(&pool).await.unwrap();
    println!("{logins} of 151 logins were worked on, in {:?}", waited.elapsed());
    assert!(logins < 100, "{logins} logins were worked on for clients that had gone");
}
