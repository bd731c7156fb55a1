//! Sessions in a cookie: its attributes, and whose pages may use it.

use doorward_tests::{Answer, Client, Database, PASSWORD, Service};
use reqwest::Method;
use serde_json::json;

struct Browser {
    client: Client,
    own_origin: String,
    _service: Service,
}

impl Browser {
    fn start(settings: &[(&str, &str)]) -> Self {
        let service = Service::start(Database::Sqlite, settings);
        let client = Client::new(&service.url());
        let own_origin = format!("http://localhost:{}", service.address.port());
        Self { client, own_origin, _service: service }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], with_body: bool) -> Answer {
        let body = json!({ "email": "ada@example.com", "password": PASSWORD, "session": "cookie" });
        self.client.send(Method::POST, path, headers, with_body.then_some(&body)).await.unwrap()
    }

    /// Registers with a cookie session and returns the `Set-Cookie`.
    async fn register(&self) -> (Answer, String) {
        let answer = self.post("/api/auth/register", &[("origin", &self.own_origin)], true).await;
        let cookie = answer.header("set-cookie").unwrap().to_owned();
        (answer, cookie)
    }
}

fn pair(set_cookie: &str) -> &str {
    set_cookie.split(';').next().unwrap()
}

#[tokio::test]
async fn a_cookie_session_keeps_the_refresh_token_from_scripts() {
    let browser = Browser::start(&[]);
    let (answer, cookie) = browser.register().await;
    assert!(answer.json().get("refresh_token").is_none());
    assert!(!answer.text.contains("dwr_"));
    assert!(cookie.starts_with("doorward=dwr_"), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.contains("Domain"), "plain HTTP on localhost: {cookie}");

    let own = [("origin", browser.own_origin.as_str()), ("cookie", pair(&cookie))];
    let next = browser.post("/api/auth/refresh", &own, false).await;
    assert_eq!(next.status.as_u16(), 200, "{next:?}");
    assert!(next.json().get("refresh_token").is_none());
    let next_cookie = next.header("set-cookie").unwrap().to_owned();
    assert_ne!(pair(&next_cookie), pair(&cookie));

    let own = [("origin", browser.own_origin.as_str()), ("cookie", pair(&next_cookie))];
    let left = browser.post("/api/auth/logout", &own, false).await;
    assert_eq!(left.status.as_u16(), 204);
    assert!(left.header("set-cookie").unwrap().starts_with("doorward=; "), "{left:?}");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    browser.post("/api/auth/refresh", &own, false).await.refused(401, "invalid_refresh_token");
}

#[tokio::test]
async fn over_tls_the_cookie_is_bound_to_the_host() {
    let browser = Browser::start(&[("PUBLIC_URL", "https://auth.example.com")]);
    let answer = browser.post("/api/auth/register", &[("origin", "https://auth.example.com")], true).await;
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-doorward=dwr_"), "{cookie}");
    for attribute in ["HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"));
    // A cookie of the plain name is not believed.
    let plain = format!("doorward={}", pair(cookie).split_once('=').unwrap().1);
    let headers = [("origin", "https://auth.example.com"), ("cookie", plain.as_str())];
    browser.post("/api/auth/refresh", &headers, false).await.refused(422, "validation_failed");
}

#[tokio::test]
async fn a_cookie_is_believed_from_own_pages_alone() {
    let browser = Browser::start(&[("CORS__ORIGINS", "https://app.example.com")]);
    let (_, cookie) = browser.register().await;
    let cookie = pair(&cookie);
    let own_port = browser.own_origin.rsplit_once(':').unwrap().1.to_owned();
    let refused: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("origin", "https://evil.example".to_owned())],
        vec![("origin", "null".to_owned())],
        vec![("origin", String::new())],
        vec![("origin", format!("{}.evil.example", browser.own_origin))],
        vec![("origin", format!("https://localhost:{own_port}"))],
        vec![("origin", "http://localhost".to_owned())],
        vec![("origin", format!("http://LOCALHOST:{own_port}"))],
        vec![("origin", "https://app.example.com.evil.example".to_owned())],
        vec![("sec-fetch-site", "cross-site".to_owned())],
        vec![("sec-fetch-site", "same-site".to_owned())],
        vec![("sec-fetch-site", "none".to_owned())],
        vec![("origin", "https://evil.example".to_owned()), ("sec-fetch-site", "same-origin".to_owned())],
        vec![("origin", browser.own_origin.clone()), ("origin", "https://evil.example".to_owned())],
        vec![("referer", browser.own_origin.clone())],
    ];
    for headers in &refused {
        let mut with_cookie: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        for path in ["/api/auth/login", "/api/auth/register"] {
            browser.post(path, &with_cookie, true).await.refused(403, "csrf_rejected");
        }
        with_cookie.push(("cookie", cookie));
        for path in ["/api/auth/refresh", "/api/auth/logout"] {
            browser.post(path, &with_cookie, false).await.refused(403, "csrf_rejected");
        }
    }
    let accepted = [
        ("origin", browser.own_origin.clone()),
        ("origin", "https://app.example.com".to_owned()),
        ("sec-fetch-site", "same-origin".to_owned()),
    ];
    for (name, value) in &accepted {
        let answer = browser.post("/api/auth/refresh", &[(name, value), ("cookie", cookie)], false).await;
        assert_eq!(answer.status.as_u16(), 200, "{name}: {value}: {answer:?}");
    }
}

#[tokio::test]
async fn logging_out_ends_what_it_says() {
    let browser = Browser::start(&[]);
    let own = ("origin", browser.own_origin.as_str());
    let evil = ("origin", "http://evil.example");
    browser.register().await;
    let bearer = async || {
        let grant = browser.client.log_in("ada@example.com").await.grant();
        (format!("Bearer {}", grant.access_token), grant)
    };
    let cookie_session = async || {
        let answer = browser.post("/api/auth/login", &[own], true).await;
        pair(answer.header("set-cookie").unwrap()).to_owned()
    };
    let works = async |cookie: &str| {
        browser.post("/api/auth/refresh", &[own, ("cookie", cookie)], false).await.status.is_success()
    };

    // A foreign page with a bearer token ends that token's session and leaves the cookie's alone.
    let ((authorization, grant), cookie) = (bearer().await, cookie_session().await);
    let headers = [evil, ("authorization", &authorization), ("cookie", &cookie)];
    let answer = browser.post("/api/auth/logout", &headers, false).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (204, None));
    browser.client.me(&grant.access_token).await.refused(401, "unauthenticated");
    assert!(works(&cookie).await);

    // An own page with both ends both.
    let ((authorization, grant), cookie) = (bearer().await, cookie_session().await);
    let headers = [own, ("authorization", &authorization), ("cookie", &cookie)];
    let answer = browser.post("/api/auth/logout", &headers, false).await;
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    browser.client.me(&grant.access_token).await.refused(401, "unauthenticated");
    assert!(!works(&cookie).await);

    // A stale access token does not keep an own page from logging out.
    let cookie = cookie_session().await;
    let headers = [own, ("authorization", "Bearer x.y.z"), ("cookie", &cookie)];
    assert_eq!(browser.post("/api/auth/logout", &headers, false).await.status.as_u16(), 204);
    assert!(!works(&cookie).await);
    let headers = [own, ("authorization", "Bearer x.y.z")];
    browser.post("/api/auth/logout", &headers, false).await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn only_named_origins_may_read_answers() {
    let browser = Browser::start(&[("CORS__ORIGINS", "https://app.example.com,https://other.example.com")]);
    let preflight = async |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        browser.client.send(Method::OPTIONS, "/api/auth/login", &headers, None).await.unwrap()
    };
    for origin in ["https://app.example.com", "https://other.example.com"] {
        let answer = preflight(origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    }
    for origin in ["https://evil.example", "null", "https://app.example.com.evil.example"] {
        assert_eq!(preflight(origin).await.header("access-control-allow-origin"), None, "{origin}");
    }
}
