//! Guessing comes to nothing, on one node or many, from one address or many; and nobody is locked out by it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use doorward_tests::{Answer, Client, Database, PASSWORD, Service, SmtpSink, Table};
use reqwest::Method;
use serde_json::{Value, json};

const WRONG: &str = "a wrong password, at any rate";

/// A service behind a proxy, so that a test can come from wherever it likes.
fn start(database: Database, settings: &[(&str, &str)]) -> Service {
    Service::start(database, &[&[("TRUSTED_PROXIES", "127.0.0.1")], settings].concat())
}

async fn post_from(client: &Client, address: &str, path: &str, body: &Value) -> Answer {
    client.send(Method::POST, path, &[("x-forwarded-for", address)], Some(body)).await.unwrap()
}

fn wait(answer: &Answer) -> u64 {
    answer.answered(429).header("retry-after").expect("429 says how long to wait").parse().unwrap()
}

async fn device_token(client: &Client, email: &str) -> String {
    let answer = client.log_in(email).await;
    answer.answered(200).json()["device_token"].as_str().unwrap().to_owned()
}

async fn log_in_from_device(client: &Client, email: &str, password: &str, device: &str) -> Answer {
    client.post("/api/auth/login", &json!({ "email": email, "password": password, "device_token": device })).await
}

#[tokio::test]
async fn after_five_wrong_passwords_a_stranger_waits_and_a_known_device_does_not() {
    for database in Database::BOTH {
        let service = start(database, &[]);
        let client = Client::new(&service.url());
        client.register("ada@example.com").await.grant();
        let device = device_token(&client, "ada@example.com").await;
        for email in ["ada@example.com", "nobody@example.com"] {
            for n in 0..5 {
                // From everywhere: the count is the account's.
                let body = json!({ "email": email, "password": WRONG });
                post_from(&client, &format!("198.51.100.{n}"), "/api/auth/login", &body)
                    .await
                    .refused(401, "invalid_credentials");
            }
            let refused = client.log_in_with(email, WRONG).await;
            assert!((1..=30).contains(&wait(&refused)), "{refused:?}");
            refused.refused(429, "rate_limited");
        }
        // The right password is not looked at either, so nobody learns that it is.
        client.log_in_with("ADA@example.com", PASSWORD).await.refused(429, "rate_limited");
        // Strangers cannot lock her out where she has been before.
        log_in_from_device(&client, "ada@example.com", PASSWORD, &device).await.answered(200);
        client.log_in("ada@example.com").await.refused(429, "rate_limited");
        // The device has a count of its own, and somebody else's opens nothing.
        for _ in 0..5 {
            log_in_from_device(&client, "ada@example.com", WRONG, &device).await.answered(401);
        }
        log_in_from_device(&client, "ada@example.com", PASSWORD, &device).await.refused(429, "rate_limited");
        client.register("eve@example.com").await.grant();
        let eves = device_token(&client, "eve@example.com").await;
        log_in_from_device(&client, "ada@example.com", PASSWORD, &eves).await.refused(429, "rate_limited");
    }
}

#[tokio::test]
async fn a_thousand_wrong_logins_on_two_nodes_at_once_are_five_guesses_and_a_thousand_events() {
    for database in Database::BOTH {
        let service = start(database, &[]);
        let second = (database == Database::Postgres).then(|| service.another_node());
        let clients = [Client::new(&service.url()), Client::new(&second.as_ref().unwrap_or(&service).url())];
        clients[0].register("ada@example.com").await.grant();
        let attempts: Vec<_> = (0..1_000)
            .map(|n| {
                let client = clients[n % 2].clone();
                tokio::spawn(async move {
                    let answer = client.log_in_with("ada@example.com", WRONG).await;
                    (answer.status.as_u16(), answer.code())
                })
            })
            .collect();
        let mut answers = BTreeMap::new();
        for attempt in attempts {
            *answers.entry(attempt.await.unwrap()).or_insert(0) += 1;
        }
        let expected =
            BTreeMap::from([((401, "invalid_credentials".to_owned()), 5), ((429, "rate_limited".to_owned()), 995)]);
        assert_eq!(answers, expected);
        let table = Table::of(&service).await;
        let counted = "SELECT cast(coalesce(sum(count), 0) as bigint) FROM events WHERE kind = 'login' AND reason ";
        assert_eq!(table.number(&format!("{counted} = 'wrong_password'")).await, 5);
        // What was only counted is written when its window of ten seconds ends.
        let started = Instant::now();
        while table.number(&format!("{counted} = 'guess_limit'")).await != 995 {
            let so_far = table.number(&format!("{counted} = 'guess_limit'")).await;
            assert!(started.elapsed() < Duration::from_secs(30) && so_far <= 995, "{so_far} events of 995");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let rows = table.number("SELECT count(*) FROM events WHERE reason = 'guess_limit'").await;
        assert!(rows <= 2 * 52, "{rows} rows");
    }
}

#[tokio::test]
async fn who_reads_the_account_s_mail_gets_in_however_many_guess() {
    let sink = SmtpSink::start();
    for database in Database::BOTH {
        let service = Service::start_with_mail(database, &sink, &[]);
        let client = Client::new(&service.url());
        let email = format!("ada-{database:?}@example.com").to_lowercase();
        client.register(&email).await.answered(202);
        let token = sink.token(&email, "/verify-email").await;
        client.verify_email(&token).await.answered(204);
        for _ in 0..6 {
            client.log_in_with(&email, WRONG).await;
        }
        client.log_in(&email).await.refused(429, "rate_limited");
        client.request_reset(&email).await.answered(202);
        let token = sink.token(&email, "/reset-password").await;
        let origin = format!("http://localhost:{}", service.address.port());
        let headers = [("origin", origin.as_str())];
        let body = json!({ "token": token, "password": "another horse, another staple" });
        let reset = client.send(Method::POST, "/api/auth/reset-password/confirm", &headers, Some(&body)).await.unwrap();
        let cookie = reset.answered(204).header("set-cookie").expect("the browser is known now").to_owned();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"),
            "{cookie}"
        );
        // Strangers use up what there is for strangers at once.
        for _ in 0..6 {
            client.log_in_with(&email, WRONG).await;
        }
        client.log_in_with(&email, "another horse, another staple").await.refused(429, "rate_limited");
        let cookie = cookie.split(';').next().unwrap();
        let body = json!({ "email": email, "password": "another horse, another staple" });
        let answer = client.send(Method::POST, "/api/auth/login", &[("cookie", cookie)], Some(&body)).await.unwrap();
        answer.answered(200);
    }
}

#[tokio::test]
async fn strangers_at_the_same_address_keep_nobody_out_who_is_known() {
    for database in Database::BOTH {
        let service = start(database, &[("LIMITS__LOGIN_BY_CLIENT", "3/1h")]);
        let client = Client::new(&service.url());
        client.register("ada@example.com").await.grant();
        let device = device_token(&client, "ada@example.com").await;
        for n in 0..3 {
            client.log_in_with(&format!("nobody-{n}@example.com"), WRONG).await.answered(401);
        }
        client.log_in("ada@example.com").await.refused(429, "rate_limited");
        log_in_from_device(&client, "ada@example.com", PASSWORD, &device).await.answered(200);
        // The token is no way past the limit: it has a count of its own, and somebody else's is none.
        log_in_from_device(&client, "nobody-3@example.com", WRONG, &device).await.refused(429, "rate_limited");
        for _ in 0..5 {
            log_in_from_device(&client, "ada@example.com", WRONG, &device).await.answered(401);
        }
        log_in_from_device(&client, "ada@example.com", PASSWORD, &device).await.refused(429, "rate_limited");
    }
}

#[tokio::test]
async fn a_guess_whose_client_hangs_up_is_on_record() {
    let service = start(Database::Sqlite, &[]);
    let table = Table::of(&service).await;
    for n in 0..20 {
        let body = json!({ "email": format!("ada-{n}@example.com"), "password": WRONG }).to_string();
        let length = body.len();
        let head = "POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:";
        let mut stream = std::net::TcpStream::connect(service.address).unwrap();
        stream.write_all(format!("{head} {length}\r\n\r\n{body}").as_bytes()).unwrap();
        // Until the password has been counted, and so is about to be hashed.
        let begun = Instant::now();
        while table.number("SELECT count(*) FROM password_guesses").await <= n {
            assert!(begun.elapsed() < Duration::from_secs(10), "not counted: {}", service.log());
        }
        drop(stream);
    }
    let entries = "SELECT count(*) FROM events WHERE kind = 'login' AND reason = 'unknown_account' \
         OR kind = 'request' AND reason = 'abandoned' AND ip = '127.0.0.1'";
    let begun = Instant::now();
    while table.number(entries).await < 20 {
        assert!(begun.elapsed() < Duration::from_secs(10), "{} of 20", table.number(entries).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_changed_password_leaves_no_other_device_known() {
    let service = start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    let thief = device_token(&client, "ada@example.com").await;
    let grant = client.log_in("ada@example.com").await.grant();
    client.change_password(&grant.access_token, PASSWORD, "another horse, another staple").await.answered(204);
    for _ in 0..5 {
        client.log_in_with("ada@example.com", WRONG).await.answered(401);
    }
    log_in_from_device(&client, "ada@example.com", WRONG, &thief).await.refused(429, "rate_limited");
}

#[tokio::test]
async fn a_stolen_session_guesses_no_more_than_a_stranger_and_locks_nobody_out() {
    let service = start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    let grant = client.register("ada@example.com").await.grant();
    for _ in 0..5 {
        client.change_password(&grant.access_token, WRONG, "another horse").await.refused(401, "invalid_credentials");
    }
    for refused in [
        client.change_password(&grant.access_token, PASSWORD, "another horse, another").await,
        client.change_email(&grant.access_token, "eve@example.com", PASSWORD).await,
        client.delete_me(&grant.access_token, PASSWORD).await,
    ] {
        wait(&refused);
    }
    client.log_in("ada@example.com").await.answered(200);
}

/// Something that a client does, so many times at the most.
struct Limit {
    option: &'static str,
    value: &'static str,
    path: &'static str,
    body: fn(usize) -> Value,
    status: u16,
}

const LIMITS: [Limit; 6] = [
    Limit {
        option: "LIMITS__LOGIN_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/login",
        body: |n| json!({ "email": format!("user-{n}@example.com"), "password": WRONG }),
        status: 401,
    },
    Limit {
        option: "LIMITS__REGISTER_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/register",
        body: |n| json!({ "email": format!("user-{n}@example.com"), "password": PASSWORD }),
        status: 201,
    },
    Limit {
        option: "LIMITS__MAIL_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/reset-password",
        body: |n| json!({ "email": format!("user-{n}@example.com") }),
        status: 202,
    },
    Limit {
        option: "LIMITS__TOKEN_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/verify-email",
        body: |_| json!({ "token": "dwo_made_up" }),
        status: 400,
    },
    Limit {
        option: "LIMITS__REFRESH_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/refresh",
        body: |_| json!({ "refresh_token": "dwr_made_up" }),
        status: 401,
    },
    Limit {
        option: "LIMITS__REQUESTS_BY_CLIENT",
        value: "3/1h",
        path: "/api/auth/login",
        body: |_| json!({ "nonsense": true }),
        status: 422,
    },
];

#[tokio::test]
async fn a_client_does_so_much_and_no_more_and_others_are_not_concerned() {
    for Limit { option, value, path, body, status } in LIMITS {
        let service = start(Database::Sqlite, &[(option, value)]);
        let client = Client::new(&service.url());
        // All of one /64 is one client, and so is an IPv4 address in whatever form.
        let mut n = 0;
        for (own, same, other) in [
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ] {
            for from in [own, same, own] {
                n += 1;
                post_from(&client, from, path, &body(n)).await.answered(status);
            }
            for from in [own, same] {
                n += 1;
                let refused = post_from(&client, from, path, &body(n)).await;
                assert!((1_100..=1_200).contains(&wait(&refused)), "{option}: {refused:?}");
            }
            n += 1;
            post_from(&client, other, path, &body(n)).await.answered(status);
        }
        let free = start(Database::Sqlite, &[(option, "off")]);
        let client = Client::new(&free.url());
        for n in 0..8 {
            post_from(&client, "192.0.2.1", path, &body(n)).await.answered(status);
        }
    }
}

#[tokio::test]
async fn a_client_s_budget_is_one_on_two_nodes_and_a_right_password_costs_nothing_of_it() {
    let service = start(Database::Postgres, &[("LIMITS__LOGIN_BY_CLIENT", "4/1h")]);
    let second = service.another_node();
    let clients = [Client::new(&service.url()), Client::new(&second.url())];
    clients[0].register("ada@example.com").await.grant();
    for n in 0..10 {
        clients[n % 2].log_in("ada@example.com").await.answered(200);
    }
    let mut refused = 0;
    for n in 0..12 {
        let answer = clients[n % 2].log_in_with(&format!("user-{n}@example.com"), WRONG).await;
        refused += usize::from(answer.status.as_u16() == 429);
    }
    assert_eq!(refused, 8);
}

#[tokio::test]
async fn a_session_is_refreshed_so_often_and_no_more() {
    let service = start(Database::Sqlite, &[("LIMITS__REFRESH_BY_SESSION", "3/1h")]);
    let client = Client::new(&service.url());
    let [mut own, other] = [client.register("ada@example.com").await, client.register("eve@example.com").await]
        .map(|answer| answer.grant().refresh_token);
    for _ in 0..3 {
        own = client.refresh(&own).await.grant().refresh_token;
    }
    wait(&client.refresh(&own).await);
    client.refresh(&other).await.answered(200);
}

#[tokio::test]
async fn password_limits_are_what_they_are_set_to() {
    let settings = [
        ("LIMITS__PASSWORD_FREE", "2"),
        ("LIMITS__PASSWORD_FIRST_DELAY", "1s"),
        ("LIMITS__PASSWORD_LONGEST_DELAY", "1s"),
        ("LIMITS__PASSWORD_MOST", "3"),
    ];
    let service = start(Database::Sqlite, &settings);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    for _ in 0..2 {
        client.log_in_with("ada@example.com", WRONG).await.answered(401);
    }
    assert_eq!(wait(&client.log_in_with("ada@example.com", WRONG).await), 1);
    let started = Instant::now();
    // The third, when the delay is over.
    while client.log_in_with("ada@example.com", WRONG).await.status.as_u16() == 429 {
        assert!(started.elapsed() < Duration::from_secs(10), "the delay does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // After that no time helps: the row says that it was the last.
    let table = Table::of(&service).await;
    table.run("UPDATE password_guesses SET next_at = 0").await;
    client.log_in("ada@example.com").await.refused(429, "rate_limited");
    let later = start(Database::Sqlite, &[("LIMITS__PASSWORD_FIRST_DELAY", "20s"), ("LIMITS__PASSWORD_FREE", "1")]);
    let client = Client::new(&later.url());
    client.log_in_with("ada@example.com", WRONG).await.answered(401);
    let longer = wait(&client.log_in_with("ada@example.com", WRONG).await);
    assert!((1..=20).contains(&longer), "{longer}");
}

#[tokio::test]
async fn spoofed_headers_buy_nothing() {
    let shapes: Vec<String> = (0..40)
        .flat_map(|n| {
            [
                format!("203.0.113.{n}"),
                format!("203.0.113.{n}, 198.51.100.{n}"),
                format!("203.0.113.{n}:{}", 1_000 + n),
                format!("[2001:db8::{n:x}]:443"),
                format!("2001:db8:{n:x}::1"),
                format!("::ffff:203.0.113.{n}"),
                format!("_hidden{n}"),
                format!("unknown, {n}"),
                format!("203.0.113.{n}, unknown"),
                format!("{},", "1.1.1.1, ".repeat(n)),
                format!("for=203.0.113.{n}"),
                format!("0{n}.1.1.1"),
            ]
        })
        .collect();
    // Without a proxy nobody is believed; behind one, what the proxy adds at the right is all that counts.
    for (proxies, suffix) in [("", ""), ("127.0.0.1", ", 192.0.2.9"), ("1", ", 192.0.2.9")] {
        for header in ["x-forwarded-for", "forwarded"] {
            let suffix = if header == "forwarded" && !suffix.is_empty() { ", for=192.0.2.9" } else { suffix };
            let service = Service::start(
                Database::Sqlite,
                &[("LIMITS__LOGIN_BY_CLIENT", "5/1h"), ("TRUSTED_PROXIES", proxies), ("FORWARDED_HEADER", header)],
            );
            let client = Client::new(&service.url());
            let mut evaluated = 0;
            for (n, shape) in shapes.iter().enumerate().step_by(4) {
                let value = format!("{shape}{suffix}");
                let headers = [(header, value.as_str()), ("x-real-ip", "203.0.113.77")];
                let body = json!({ "email": format!("user-{n}@example.com"), "password": WRONG });
                let answer = client.send(Method::POST, "/api/auth/login", &headers, Some(&body)).await.unwrap();
                evaluated += usize::from(answer.status.as_u16() == 401);
            }
            assert_eq!(evaluated, 5, "{proxies:?} {header}");
        }
    }
}
