//! Pages as programs see them: what their settings change, what a cookie is worth there, and what stays closed.

use std::fs;

use doorward_tests::smtp::{Received, SmtpSink, page, token};
use doorward_tests::{Client, Database, PASSWORD, Service};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

use crate::mail_steps::SOON;

/// The pages whose path names something that a user owns.
pub(crate) const WITH_AN_ID: [&str; 3] = ["/tasks/{id}", "/tasks/{id}/complete", "/tasks/{id}/delete"];

/// What a browser's request for a page brings.
const BROWSER: (&str, &str) = ("accept", "text/html");
const FORM: &str = "application/x-www-form-urlencoded";

struct Shown {
    status: u16,
    location: Option<String>,
    cookie: Option<String>,
    referrer_policy: Option<String>,
    text: String,
}

/// A browser without scripts, which keeps its cookie.
struct Browser {
    http: reqwest::Client,
    url: String,
    origin: String,
    cookie: Option<String>,
    headers: Vec<(&'static str, String)>,
}

impl Browser {
    fn at(service: &Service) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let origin = format!("http://localhost:{}", service.address.port());
        Self { http, url: service.url(), origin, cookie: None, headers: Vec::new() }
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<String>) -> Shown {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).header(BROWSER.0, BROWSER.1);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        if let Some(body) = body {
            request = request.header("origin", &self.origin).header("content-type", FORM).body(body);
        }
        let response = request.send().await.unwrap();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (status, location) = (response.status().as_u16(), header("location"));
        // The session's alone: that a device is known again is tested by itself.
        let mut cookies =
            response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned());
        let set = cookies.find(|cookie| !cookie.contains("doorward-device="));
        if let Some(cookie) = &set {
            let (pair, _) = cookie.split_once(';').unwrap();
            self.cookie = (!pair.ends_with('=')).then(|| pair.to_owned());
        }
        let referrer_policy = header("referrer-policy");
        Shown { status, location, cookie: set, referrer_policy, text: response.text().await.unwrap() }
    }

    async fn open(&mut self, path: &str) -> Shown {
        self.send(Method::GET, path, None).await
    }

    async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        self.send(Method::POST, path, Some(body.finish())).await
    }

    async fn register(&mut self, email: &str) {
        let shown = self.submit("/register", &[("email", email), ("password", PASSWORD)]).await;
        assert_eq!(shown.status, 303, "{}", shown.text);
    }
}

fn start(settings: &[(&str, &str)]) -> Service {
    Service::start(Database::Sqlite, settings)
}

#[tokio::test]
async fn the_look_is_the_operator_s() {
    let folder = tempfile::tempdir().unwrap();
    let logo = folder.path().join("logo.svg");
    fs::write(&logo, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>").unwrap();
    let service = start(&[
        ("PAGES__NAME", "Notes & more"),
        ("PAGES__LOGO", logo.to_str().unwrap()),
        ("PAGES__ACCENT", "#a01020"),
        ("PAGES__ACCENT_DARK", "#ffb0b0"),
        ("PAGES__IMPRINT", "https://example.com/imprint"),
        ("PAGES__PRIVACY", "https://example.com/privacy"),
    ]);
    let mut browser = Browser::at(&service);
    let page = browser.open("/login").await.text;
    for expected in ["Notes &amp; more", "https:&#x2f;&#x2f;example.com&#x2f;imprint", "example.com&#x2f;privacy"] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let css = browser.open("/assets/doorward.css").await.text;
    assert!(css.contains("--accent:#a01020;--on-accent:#fff") && css.contains("--accent:#ffb0b0"), "{css}");
    let picture = reqwest::get(format!("{}/assets/logo", service.url())).await.unwrap();
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    assert!(picture.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));

    let plain = start(&[("MAIL__SERVICE_NAME", "Mailed")]);
    let mut browser = Browser::at(&plain);
    assert!(browser.open("/login").await.text.contains("Mailed"), "the service is called as in its mails");
    assert_eq!(browser.open("/assets/logo").await.status, 404);
}

#[tokio::test]
async fn templates_and_texts_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("forgot_password.html"), "<p id=own>{{ t.login.title }}").unwrap();
    fs::write(folder.path().join("en.toml"), "[login]\ntitle = \"Come in\"").unwrap();
    let service = start(&[("PAGES__TEMPLATES", folder.path().to_str().unwrap())]);
    let mut browser = Browser::at(&service);
    assert_eq!(browser.open("/forgot-password").await.text, "<p id=own>Come in");
    assert!(browser.open("/login").await.text.contains("<h1>Come in</h1>"));
    browser.headers.push(("accept-language", "de".to_owned()));
    assert!(browser.open("/login").await.text.contains("lang=\"de\""));
}

#[tokio::test]
async fn without_pages_mailed_links_work_all_the_same() {
    let service = start(&[("PAGES__ENABLED", "false")]);
    let mut browser = Browser::at(&service);
    for path in [
        "/",
        "/login",
        "/register",
        "/account",
        "/tasks",
        "/logout",
        "/forgot-password",
        "/.well-known/change-password",
    ] {
        let shown = browser.open(path).await;
        assert_eq!(shown.status, 404, "{path}");
        assert!(shown.text.contains("data-page=\"error\""), "{path}: {}", shown.text);
    }
    for path in ["/verify-email", "/reset-password", "/change-email", "/undo-email-change"] {
        assert_eq!(browser.open(path).await.status, 400, "{path}");
        let shown = browser.open(&format!("{path}?token=dwo_x")).await;
        assert!(shown.status == 200 && shown.text.contains("data-form=\"confirm\""), "{path}: {}", shown.text);
        assert_eq!(browser.submit(path, &[("token", "dwo_x"), ("password", PASSWORD)]).await.status, 400, "{path}");
    }
    assert_eq!(browser.submit("/verify-email", &[("email", "ada@example.com")]).await.status, 400);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
}

#[tokio::test]
async fn without_tasks_there_is_no_list_of_them() {
    let service = start(&[("TASKS__ENABLED", "false")]);
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    assert_eq!(browser.open("/tasks").await.status, 404);
    let home = browser.open("/").await;
    assert_eq!(home.location.as_deref(), Some("/account"));
    let account = browser.open("/account").await;
    assert!(account.status == 200 && !account.text.contains("/tasks"), "{}", account.text);
}

/// A page extends the session as a refresh would, no more often, and an old cookie is a replay there as well.
#[tokio::test]
async fn a_cookie_is_looked_at_and_used_when_it_is_time() {
    let service = start(&[("SESSIONS__IDLE", "10m"), ("TOKENS__ACCESS_TTL", "1m")]);
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    let first = browser.cookie.clone().unwrap();
    for _ in 0..3 {
        let shown = browser.open("/account").await;
        assert!(shown.status == 200 && shown.cookie.is_none(), "{:?}", shown.cookie);
    }
    // As if it had been some minutes ago.
    let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
    sqlx::query("UPDATE sessions SET idle_expires_at = idle_expires_at - 120000000").execute(&pool).await.unwrap();
    let shown = browser.open("/account").await;
    assert_eq!(shown.status, 200);
    let second = browser.cookie.clone().unwrap();
    assert_ne!(first, second);
    // Another tab that has not heard of it gets the same one.
    let mut other = Browser { cookie: Some(first.clone()), ..Browser::at(&service) };
    assert_eq!(other.open("/account").await.status, 200);
    assert_eq!(other.cookie.as_ref(), Some(&second));

    sqlx::query("UPDATE refresh_tokens SET used_at = used_at - 60000000").execute(&pool).await.unwrap();
    sqlx::query("UPDATE sessions SET idle_expires_at = idle_expires_at - 120000000").execute(&pool).await.unwrap();
    assert_eq!(browser.open("/account").await.status, 200);
    sqlx::query("UPDATE refresh_tokens SET used_at = used_at - 60000000 WHERE used_at IS NOT NULL")
        .execute(&pool)
        .await
        .unwrap();
    let third = browser.cookie.clone();
    assert_ne!(third.as_ref(), Some(&second));
    let client = Client::new(&service.url());
    let used = client.refresh(third.unwrap().split_once('=').unwrap().1).await.grant();
    let mut thief = Browser { cookie: Some(first), ..Browser::at(&service) };
    let refused = thief.open("/account").await;
    assert_eq!((refused.status, refused.cookie), (303, None), "a replay is let in");
    client.refresh(&used.refresh_token).await.refused(401, "invalid_refresh_token");
}

#[tokio::test]
async fn another_site_s_forms_are_refused_and_change_nothing() {
    let service = start(&[]);
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    let cookie = browser.cookie.clone().unwrap();
    for path in [
        "/register",
        "/login",
        "/logout",
        "/forgot-password",
        "/verify-email",
        "/reset-password",
        "/change-email",
        "/undo-email-change",
        "/account/profile",
        "/account/email",
        "/account/password",
        "/account/sessions/end",
        "/account/sessions/end-all",
        "/account/delete",
        "/tasks",
        "/tasks/x",
        "/tasks/x/complete",
        "/tasks/x/delete",
    ] {
        for origin in [Some("https://evil.example"), Some("null"), None] {
            let mut request = browser.http.post(format!("{}{path}", service.url())).header("cookie", &cookie);
            request = request.header("content-type", FORM).body("name=Eve&title=Eve&password=x");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path} from {origin:?}");
            assert!(!response.headers().contains_key("set-cookie"), "{path} from {origin:?}");
        }
    }
    let shown = browser.open("/account").await;
    assert!(shown.status == 200 && !shown.text.contains("Eve"), "{}", shown.text);
}

#[tokio::test]
async fn another_user_s_task_is_one_that_there_is_not() {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        let ada = client.register("ada@example.com").await.grant();
        let task = client.add_task(&ada.access_token, "hers").await.json()["id"].as_str().unwrap().to_owned();
        let mut eve = Browser::at(&service);
        eve.headers.push(("x-request-id", "same".to_owned()));
        eve.register("eve@example.com").await;
        let unknown = "0190a000-0000-7000-8000-000000000000";
        let content = [("title", "stolen"), ("version", "1")];
        let [one, complete, delete] = WITH_AN_ID;
        for (route, fields) in [
            (one, None),
            (one, Some(&content[..])),
            (complete, Some(&[("completed", "true"), ("version", "1")][..])),
            (delete, Some(&[("version", "1")][..])),
        ] {
            let mut texts = Vec::new();
            for id in [task.as_str(), unknown, "nonsense", "%FF"] {
                let path = route.replace("{id}", id);
                let shown = match fields {
                    None => eve.open(&path).await,
                    Some(fields) => eve.submit(&path, fields).await,
                };
                assert_eq!(shown.status, 404, "{path}");
                texts.push(shown.text);
            }
            texts.dedup();
            assert_eq!(texts.len(), 1, "{texts:?}");
        }
        let stays = client.task(&ada.access_token, &task).await.json();
        assert_eq!((stays["title"].as_str(), stays["version"].as_i64()), (Some("hers"), Some(1)));
        let refused = client.events(&client.log_in("eve@example.com").await.grant().access_token, "").await.json();
        let kinds: Vec<_> = refused["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str()).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == Some("resource_access")).count(), 16, "{kinds:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_a_page_to_a_browser_and_a_problem_to_anybody_else() {
    let service = start(&[]);
    let url = service.url();
    let http = reqwest::Client::new();
    for (path, accept, is_page) in [
        ("/nothing", "text/html,*/*;q=0.8", true),
        ("/nothing", "application/json", false),
        ("/nothing", "*/*", false),
        ("/api/nothing", "text/html", false),
        ("/api/auth/me", "text/html", false),
    ] {
        let response = http.get(format!("{url}{path}")).header("accept", accept).send().await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(kind.starts_with("text/html"), is_page, "{path} {accept}: {kind}");
        assert!(response.headers().contains_key("x-request-id"));
    }
    let wrong_method = http.put(format!("{url}/login")).header("accept", "text/html").send().await.unwrap();
    assert_eq!(
        (wrong_method.status().as_u16(), wrong_method.headers()["allow"].to_str().unwrap()),
        (405, "GET,HEAD,POST")
    );
}

/// A user's own security events, page by page, and nobody else's.
#[tokio::test]
async fn a_user_sees_their_own_events() {
    for database in Database::BOTH {
        let service = Service::start(database, &[]);
        let client = Client::new(&service.url());
        let ada = client.register("ada@example.com").await.grant();
        client.register("eve@example.com").await.grant();
        client.log_in_with("ada@example.com", "not the password").await.refused(401, "invalid_credentials");
        client.refresh(&ada.refresh_token).await.grant();
        let all = client.events(&ada.access_token, "").await.json();
        let kinds = |page: &serde_json::Value| -> Vec<(String, Option<String>)> {
            let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
            let events = page["events"].as_array().unwrap().iter();
            events.map(|event| (text(&event["kind"]).unwrap(), text(&event["reason"]))).collect()
        };
        let login = ("login".to_owned(), Some("wrong_password".to_owned()));
        assert_eq!(kinds(&all), [login.clone(), ("register".to_owned(), None)], "{database:?}");
        let first = client.events(&ada.access_token, "limit=1").await.json();
        assert_eq!(kinds(&first), [login]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let second = client.events(&ada.access_token, &format!("limit=1&cursor={cursor}")).await.json();
        assert_eq!(kinds(&second), [("register".to_owned(), None)]);
        assert!(second["next_cursor"].is_null());
        for query in ["limit=0", "limit=101", "cursor=x", "user_id=x"] {
            client.events(&ada.access_token, query).await.refused(400, "bad_request");
        }
    }
}

/// A browser that is logged in as somebody else by the time that a form is sent.
#[tokio::test]
async fn a_form_is_for_whom_it_was_shown_to() {
    let service = start(&[]);
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    let page = browser.open("/account").await.text;
    let (_, after) = page.split_once("name=\"for_user\" value=\"").expect("the forms do not say for whom they are");
    let ada = after.split('"').next().unwrap().to_owned();
    browser.submit("/logout", &[("for_user", &ada)]).await;
    browser.register("bob@example.com").await;
    for (path, fields) in [
        ("/account/profile", vec![("name", "Ada")]),
        ("/account/sessions/end-all", vec![]),
        ("/account/delete", vec![("password", PASSWORD)]),
        ("/tasks", vec![("title", "hers")]),
        ("/logout", vec![]),
    ] {
        let mut fields = fields;
        fields.push(("for_user", &ada));
        assert_eq!(browser.submit(path, &fields).await.status, 409, "{path}");
    }
    let shown = browser.open("/account").await;
    assert!(shown.status == 200 && shown.text.contains("bob@example.com") && !shown.text.contains("Ada"));
    assert!(!browser.open("/tasks").await.text.contains("hers"));
}

/// Whoever sets a password by a mailed link is logged out where it was theirs, and nobody else is.
#[tokio::test]
async fn a_reset_ends_the_session_of_its_own_user_in_the_browser() {
    let sink = SmtpSink::start();
    let service = Service::start_with_mail(Database::Sqlite, &sink, &[("REGISTRATION__MODE", "open")]);
    let client = Client::new(&service.url());
    let (mut ada, mut bob) = (Browser::at(&service), Browser::at(&service));
    ada.register("ada@example.com").await;
    bob.register("bob@example.com").await;
    let mut used = Vec::new();
    for (looks, is_own) in [(&mut ada, true), (&mut bob, false)] {
        client.request_reset("ada@example.com").await.answered(202);
        let is_new = |mail: &Received| mail.leads_to(page::RESET_PASSWORD) && !used.contains(&token(mail));
        let token = token(&sink.wait_for(is_new, SOON).await);
        used.push(token.clone());
        let asked = looks.open(&format!("/reset-password?token={token}")).await;
        assert_eq!(asked.referrer_policy.as_deref(), Some("strict-origin"));
        let done = looks.submit("/reset-password", &[("token", &token), ("password", "another quiet harbour")]).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(looks.cookie.is_none(), is_own);
        assert_eq!(done.text.contains("data-user"), !is_own, "{}", done.text);
        assert_eq!(looks.open("/account").await.status, if is_own { 303 } else { 200 });
    }
}

#[tokio::test]
async fn a_neighbours_cookie_is_no_reason_to_be_logged_out() {
    let service = start(&[]);
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    let own = browser.cookie.clone().unwrap();
    for line in
        [format!("other=Jos\u{e9}; {own}"), format!("{own}; other=Jos\u{e9}"), format!("a; =b; {own};; c=\u{7f}")]
    {
        let value = HeaderValue::from_bytes(line.as_bytes());
        let Ok(value) = value else { continue };
        let request = browser.http.get(format!("{}/account", service.url())).header("cookie", value);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{line}");
    }
}

/// What is wrong with a form does not make it newer than it is.
#[tokio::test]
async fn a_form_that_was_refused_is_still_for_the_version_that_it_was_made_for() {
    let service = start(&[]);
    let client = Client::new(&service.url());
    let mut browser = Browser::at(&service);
    browser.register("ada@example.com").await;
    let ada = client.log_in("ada@example.com").await.grant();
    let task = client.add_task(&ada.access_token, "first").await.json()["id"].as_str().unwrap().to_owned();
    client.replace_task(&ada.access_token, &task, "from elsewhere", None).await.answered(200);
    let path = format!("/tasks/{task}");
    let refused = browser.submit(&path, &[("title", &"x".repeat(201)), ("version", "1")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("name=\"version\" value=\"1\""), "{}", refused.text);
    let conflict = browser.submit(&path, &[("title", "mine"), ("version", "1")]).await;
    assert_eq!(conflict.status, 412);
    assert!(conflict.text.contains("from elsewhere") && conflict.text.contains("value=\"mine\""), "{}", conflict.text);
    assert!(conflict.text.contains("name=\"version\" value=\"2\""), "{}", conflict.text);
    assert_eq!(browser.submit(&path, &[("title", "mine"), ("version", "2")]).await.status, 303);
}

#[tokio::test]
async fn a_made_up_cookie_leaves_no_trace_and_a_link_says_nothing_of_what_was_done() {
    let service = start(&[]);
    let mut browser = Browser::at(&service);
    browser.cookie = Some("doorward=dwr_made_up".to_owned());
    for path in ["/login", "/account", "/nothing"] {
        browser.open(path).await;
    }
    let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
    let events: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE kind = 'refresh'").fetch_one(&pool).await.unwrap();
    assert_eq!(events, 0);
    for (site, is_told) in [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)] {
        browser.headers = vec![("sec-fetch-site", site.to_owned())];
        let shown = browser.open("/login?done=account_deleted").await.text;
        assert_eq!(shown.contains("role=\"status\""), is_told, "{site}");
    }
}
