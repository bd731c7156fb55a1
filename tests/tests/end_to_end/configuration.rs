//! Every option changes behaviour; a wrong or unknown one stops the start with its name.

use std::net::TcpStream;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_tests::service::{FILE_MAIL, MASTER_KEY, binary};
use doorward_tests::{Cable, Client, Database, Dev, Grant, PASSWORD, Service, postgres};
use reqwest::Method;
use serde_json::{Value, json};

/// Runs `doorward` with these arguments and variables.
fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(binary())
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (format!("DOORWARD__{name}"), value)))
        .current_dir(folder.path())
        .output()
        .unwrap()
}

/// The SHA-256 of `secret`.
const DIGEST: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
/// The SHA-256 of nothing.
const EMPTY_DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What has to be given.
fn needed() -> Vec<(&'static str, &'static str)> {
    mailing(&[
        ("PUBLIC_URL", "https://auth.example.com"),
        ("DATABASE__URL", "sqlite:doorward.db"),
        ("SECRETS__MASTER_KEY", MASTER_KEY),
    ])
}

/// These variables, and mail into a folder.
fn mailing<'a>(variables: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [variables, &FILE_MAIL].concat()
}

/// What has to be given, with `extra` on top.
fn check(extra: &[(&str, &str)]) -> Output {
    let mut variables = needed();
    variables.retain(|(name, _)| !extra.iter().any(|(other, _)| name == other));
    variables.extend(extra);
    run(&["check-config"], &variables)
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn header(token: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap()).unwrap()
}

async fn with(settings: &[(&str, &str)], test: impl AsyncFn(&Service, Client)) {
    let service = Service::start(Database::Sqlite, settings);
    let client = Client::new(&service.url());
    test(&service, client).await;
}

#[test]
fn what_is_missing_unknown_or_unsafe_stops_the_start_by_name() {
    assert!(check(&[]).status.success(), "{:?}", check(&[]));
    let long = "x".repeat(40);
    for (name, value, option) in [
        ("MAIL__TRANSPORT", "pigeon", "mail.transport"),
        ("MAIL__FROM", "nobody", "mail.from"),
        ("MAIL__DIRECTORY", "", "mail.directory"),
        ("MAIL__DIRECTORY", "/etc/hostname", "mail.directory"),
        ("MAIL__TEMPLATES", "/nonexistent", "mail.templates"),
        ("MAIL__SERVICE_NAME", "two\nlines", "mail.service_name"),
        ("MAIL__SMTP__URL", "smtp://mail.example.com", "mail.smtp.url"),
        ("MAIL__SMTP__SECURITY", "none", "mail.smtp.security"),
        ("PAGES__ENABLED", "perhaps", "pages.enabled"),
        ("PAGES__NAME", "two\nlines", "pages.name"),
        ("PAGES__LOGO", "logo.exe", "pages.logo"),
        ("PAGES__LOGO", "/nowhere/logo.svg", "pages.logo"),
        ("PAGES__ACCENT", "red", "pages.accent"),
        ("PAGES__ACCENT", "#ffff00", "pages.accent"),
        ("PAGES__ACCENT_DARK", "#000080", "pages.accent_dark"),
        ("PAGES__IMPRINT", "javascript:alert(1)", "pages.imprint"),
        ("PAGES__PRIVACY", "/privacy", "pages.privacy"),
        ("PAGES__TEMPLATES", "/nowhere", "pages.templates"),
        ("PAGES__COLOUR", "red", "pages"),
        ("PUBLIC_URL", "http://auth.example.com", "public_url"),
        ("PUBLIC_URL", "auth.example.com", "public_url"),
        ("PUBLIC_URL", "ftp://auth.example.com", "public_url"),
        ("PUBLIC_URL", "https://user@auth.example.com", "public_url"),
        ("PUBLIC_URL", "https://auth.example.com/?a", "public_url"),
        ("LISTEN", "8080", "listen"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "trusted_proxies"),
        ("DATABASE__URL", "mysql://x", "database.url"),
        ("DATABASE__URL", "sqlite::memory:", "database.url"),
        ("DATABASE__URL", "sqlite:", "database.url"),
        ("DATABASE__URL", "sqlite:x.db?mode=%6demory", "database.url"),
        ("DATABASE__URL", "sqlite:x.db?colour=blue", "database.url"),
        ("DATABASE__URL", "postgres://x:99999999/db", "database.url"),
        ("DATABASE__MAX_CONNECTIONS", "4294967295", "database.max_connections"),
        ("DATABASE__MAX_CONNECTIONS", "0", "database.max_connections"),
        ("DATABASE__MAX_CONNECTIONS", "many", "database.max_connections"),
        ("DATABASE__SCHEMA", "a;b", "database.schema"),
        ("DATABASE__MIGRATE", "perhaps", "database.migrate"),
        ("REGISTRATION__MODE", "opne", "registration.mode"),
        ("PASSWORD__MIN_LENGTH", "7", "password.min_length"),
        ("PASSWORD__MIN_LENGTH", "65", "password.min_length"),
        ("PASSWORD__ARGON2__MEMORY_KIB", "1024", "password.argon2.memory_kib"),
        ("PASSWORD__ARGON2__ITERATIONS", "0", "password.argon2.iterations"),
        ("PASSWORD__ARGON2__PARALLELISM", "0", "password.argon2.parallelism"),
        ("HASHING__WORKERS", "0", "hashing.workers"),
        ("HASHING__QUEUE", "-1", "hashing.queue"),
        ("HASHING__QUEUE", "18446744073709551615", "hashing.queue"),
        ("PROOF_OF_WORK__DIFFICULTY", "7", "proof_of_work.difficulty"),
        ("PROOF_OF_WORK__DIFFICULTY", "27", "proof_of_work.difficulty"),
        ("PROOF_OF_WORK__DIFFICULTY", "264", "proof_of_work.difficulty"),
        ("PROOF_OF_WORK__DIFFICULTY", "-8", "proof_of_work.difficulty"),
        ("PROOF_OF_WORK__DIFFICULTY", "hard", "proof_of_work.difficulty"),
        ("PROOF_OF_WORK__ON", "", "proof_of_work.on"),
        ("PROOF_OF_WORK__ON", "register,login", "proof_of_work.on"),
        ("PROOF_OF_WORK__OFF", "register", "proof_of_work"),
        ("TOKENS__ALGORITHM", "none", "tokens.algorithm"),
        ("TOKENS__ALGORITHM", "HS256", "tokens.secret"),
        ("TOKENS__SECRET", "short", "tokens.secret"),
        ("TOKENS__SECRET", &long, "tokens.secret"),
        ("TOKENS__SECRET", "your-256-bit-secret-your-256-bit-secret", "tokens.secret"),
        ("TOKENS__ISSUER", " ", "tokens.issuer"),
        ("TOKENS__AUDIENCE", "", "tokens.audience"),
        ("TOKENS__ACCESS_TTL", "0s", "tokens.access_ttl"),
        ("TOKENS__ACCESS_TTL", "2d", "tokens.access_ttl"),
        ("SESSIONS__IDLE", "30", "sessions.idle"),
        ("SESSIONS__ABSOLUTE", "-1d", "sessions.absolute"),
        ("SESSIONS__REUSE_WINDOW", "1h", "sessions.reuse_window"),
        ("SESSIONS__MOST_PER_USER", "0", "sessions.most_per_user"),
        ("SESSIONS__MOST_PER_USER", "few", "sessions.most_per_user"),
        ("SESSIONS__STALENESS", "0s", "sessions.staleness"),
        ("SESSIONS__STALENESS", "2h", "sessions.staleness"),
        ("TOKENS__ROTATE_AFTER", "23h", "tokens.rotate_after"),
        ("TOKENS__ROTATE_AFTER", "11y", "tokens.rotate_after"),
        ("TOKENS__ROTATE_AFTER", "never", "tokens.rotate_after"),
        ("CLIENTS", "notes", "clients[0].secret_sha256"),
        ("CLIENTS", "notes:abc", "clients[0].secret_sha256"),
        ("CLIENTS", &format!("notes:{DIGEST}0"), "clients[0].secret_sha256"),
        ("CLIENTS", &format!("notes:{EMPTY_DIGEST}"), "clients[0].secret_sha256"),
        ("CLIENTS", &format!(":{DIGEST}"), "clients[0].id"),
        ("CLIENTS", &format!("my notes:{DIGEST}"), "clients[0].id"),
        ("CLIENTS", &format!("{long}{long}:{DIGEST}"), "clients[0].id"),
        ("CLIENTS", &format!("notes:{DIGEST},notes:{DIGEST}"), "clients[1].id"),
        ("SECRETS__MASTER_KEY", "changeme", "secrets.master_key"),
        ("SECRETS__MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "secrets.master_key"),
        ("SECRETS__MASTER_KEY_FILE", "/nonexistent", "secrets.master_key"),
        ("LIMITS__HEADER_TIMEOUT", "soon", "limits.header_timeout"),
        ("LIMITS__BODY_TIMEOUT", "0s", "limits.body_timeout"),
        ("LIMITS__REQUEST_TIMEOUT", "x", "limits.request_timeout"),
        ("LIMITS__MAX_CONNECTIONS", "0", "limits.max_connections"),
        ("LIMITS__PASSWORD_FREE", "0", "limits.password_free"),
        ("LIMITS__PASSWORD_FREE", "101", "limits.password_free"),
        ("LIMITS__PASSWORD_FIRST_DELAY", "0s", "limits.password_first_delay"),
        ("LIMITS__PASSWORD_LONGEST_DELAY", "2d", "limits.password_longest_delay"),
        ("LIMITS__PASSWORD_LONGEST_DELAY", "29s", "limits.password_longest_delay"),
        ("LIMITS__PASSWORD_MOST", "101", "limits.password_most"),
        ("LIMITS__PASSWORD_MOST", "4", "limits.password_most"),
        ("LIMITS__LOGIN_BY_CLIENT", "many", "limits.login_by_client"),
        ("LIMITS__REGISTER_BY_CLIENT", "0/1h", "limits.register_by_client"),
        ("LIMITS__MAIL_BY_CLIENT", "5", "limits.mail_by_client"),
        ("LIMITS__TOKEN_BY_CLIENT", "5/0s", "limits.token_by_client"),
        ("LIMITS__REFRESH_BY_CLIENT", "5/1y", "limits.refresh_by_client"),
        ("LIMITS__REFRESH_BY_SESSION", "-1/1m", "limits.refresh_by_session"),
        ("LIMITS__REQUESTS_BY_CLIENT", "none", "limits.requests_by_client"),
        ("TRUSTED_PROXIES", "0", "trusted_proxies"),
        ("TRUSTED_PROXIES", "17", "trusted_proxies"),
        ("FORWARDED_HEADER", "x-real-ip", "forwarded_header"),
        ("EVENTS__RETENTION", "1h", "events.retention"),
        ("CORS__ORIGINS", "https://a.example/path", "cors.origins"),
        ("CORS__ORIGINS", "*", "cors.origins"),
        ("LOG__FORMAT", "xml", "log.format"),
        ("LOG__LEVEL", "=,=", "log.level"),
        ("LOG__LEVEL", "warning", "log.level"),
        ("LOG__LEVEL", "info,doorward_http=loud", "log.level"),
        ("NONSENSE", "1", "nonsense"),
        ("DATABASE__URI", "sqlite:x", "uri"),
        ("PASSWORD__ARGON2__MEMORY", "1", "memory"),
    ] {
        let output = check(&[(name, value)]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {complaint}");
        assert!(complaint.contains(option), "{name}={value}: {complaint}");
        if name.contains("SECRET") && value.len() > 20 {
            assert!(!complaint.contains(value), "a secret is repeated: {complaint}");
        }
    }
    for (missing, option) in [
        ("PUBLIC_URL", "public_url"),
        ("DATABASE__URL", "database.url"),
        ("SECRETS__MASTER_KEY", "secrets.master_key"),
        ("MAIL__TRANSPORT", "mail.transport"),
        ("MAIL__FROM", "mail.from"),
        ("MAIL__DIRECTORY", "mail.directory"),
    ] {
        let mut variables = needed();
        variables.retain(|(name, _)| *name != missing);
        for command in ["check-config", "serve", "migrate"] {
            let output = run(&[command], &variables);
            let complaint = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command}: {complaint}");
            assert!(complaint.contains(option) && complaint.contains("required"), "{command}: {complaint}");
        }
    }
}

#[test]
fn what_is_wrong_with_the_mail_server_is_told_by_name_and_without_the_password() {
    let smtp = |extra: &[(&str, &str)]| {
        let mut variables = needed();
        variables.retain(|(name, _)| !matches!(*name, "MAIL__TRANSPORT" | "MAIL__DIRECTORY"));
        variables.push(("MAIL__TRANSPORT", "smtp"));
        variables.extend(extra);
        run(&["check-config"], &variables)
    };
    let url = ("MAIL__SMTP__URL", "smtp://ada:TheSecretOfAda@mail.example.com");
    assert!(smtp(&[url]).status.success(), "{:?}", smtp(&[url]));
    for (settings, option) in [
        (vec![], "mail.smtp.url"),
        (vec![("MAIL__SMTP__URL", "https://ada:TheSecretOfAda@mail.example.com")], "mail.smtp.url"),
        (vec![("MAIL__SMTP__URL", "smtp://ada:TheSecretOfAda@mail.example.com/?tls=none")], "mail.smtp.url"),
        (vec![url, ("MAIL__SMTP__SECURITY", "some")], "mail.smtp.security"),
        (vec![("MAIL__SMTP__URL", "smtps://mail.example.com"), ("MAIL__SMTP__SECURITY", "none")], "mail.smtp.security"),
        (vec![("MAIL__SMTP__URL", "smtp://mail.example.com"), ("MAIL__SMTP__USERNAME", "ada")], "mail.smtp.password"),
        (vec![url, ("MAIL__SMTP__PASSWORD_FILE", "/nonexistent")], "mail.smtp.password_file"),
        (vec![url, ("MAIL__SMTP__CA_FILE", "/nonexistent")], "mail.smtp.ca_file"),
        (vec![url, ("MAIL__DIRECTORY", "mail")], "mail.directory"),
    ] {
        let output = smtp(&settings);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{settings:?}: {complaint}");
        assert!(complaint.contains(option), "{settings:?}: {complaint}");
        assert!(!complaint.contains("TheSecretOfAda"), "{complaint}");
    }
}

#[tokio::test]
async fn mail_options_decide_what_mails_look_like_and_where_they_go() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("en.toml"),
        include_str!("../../../crates/mail/templates/en.toml").replace("Confirm your address for", "Welcome to"),
    )
    .unwrap();
    let mails = folder.path().join("letters");
    let settings = [
        ("MAIL__TRANSPORT", "file"),
        ("MAIL__DIRECTORY", mails.to_str().unwrap()),
        ("MAIL__FROM", "Notes <notes@example.org>"),
        ("MAIL__TEMPLATES", folder.path().to_str().unwrap()),
        ("MAIL__SERVICE_NAME", "Notebook"),
    ];
    with(&settings, async |_, client| {
        client.register("ada@example.com").await.grant();
        let started = std::time::Instant::now();
        let mail = loop {
            let written = std::fs::read_dir(&mails).unwrap().map(|entry| entry.unwrap().path());
            if let Some(path) = written.into_iter().find(|path| path.extension().is_some_and(|name| name == "eml")) {
                break std::fs::read_to_string(path).unwrap();
            }
            assert!(started.elapsed() < std::time::Duration::from_secs(20), "no mail was written");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        assert!(mail.contains("From: Notes <notes@example.org>"), "{mail}");
        assert!(mail.contains("Subject: Welcome to Notebook"), "{mail}");
    })
    .await;
}

#[test]
fn bad_usage_ends_with_2_and_anything_else_with_1() {
    assert_eq!(run(&["dance"], &[]).status.code(), Some(2));
    assert_eq!(run(&["dev", "--listen", "0.0.0.0:0"], &[]).status.code(), Some(2));
    assert_eq!(run(&["dev", "--listen", "127.0.0.1:0"], &[("DATABASE__URL", "sqlite:x")]).status.code(), Some(2));
    assert_eq!(run(&["serve", "--config", "/nonexistent.toml"], &[]).status.code(), Some(2));
    let unreachable = mailing(&[
        ("PUBLIC_URL", "https://auth.example.com"),
        ("DATABASE__URL", "postgres://nobody@127.0.0.1:1/none"),
        ("SECRETS__MASTER_KEY", MASTER_KEY),
    ]);
    assert_eq!(run(&["serve"], &unreachable).status.code(), Some(1));
    assert_eq!(run(&["migrate"], &unreachable).status.code(), Some(1));
}

#[test]
fn no_complaint_repeats_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    let secret = "SUPERSECRETpw123";
    for text in [
        format!("[database]\nurl = \"postgres://u:{secret}@h/db\n"),
        format!("[database]\nurl = \"postgres://u:{secret}@h/db\" oops\n"),
        format!("database = \"postgres://u:{secret}@h/db\"\n"),
        format!("secrets = \"{secret}\"\n"),
        format!("[secrets]\nmaster_key = [\"{secret}\"]\n"),
        format!("[secrets]\nmaster_key = \"{secret}\"\n"),
        format!("[tokens]\nsecret = \"{secret}\"\nalgorithm = \"HS256\"\n"),
        format!("clients = [\"{secret}\"]\n"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let output = run(&["check-config", "--config", file.to_str().unwrap()], &[]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {complaint}");
        assert!(!complaint.contains(secret), "{text}: {complaint}");
    }
    for name in ["SECRETS__MASTER_KEY_FILE", "DATABASE__URL_FILE", "TOKENS__SECRET_FILE", "CLIENTS"] {
        let output = check(&[(name, secret)]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {complaint}");
        assert!(!complaint.contains(secret), "{name}: {complaint}");
    }
    for table in ["DATABASE", "SECRETS"] {
        let output = run(&["check-config"], &[(table, secret)]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{table}: {complaint}");
        assert!(!complaint.contains(secret), "{table}: {complaint}");
    }
}

#[test]
fn a_value_that_cannot_be_read_is_not_taken_for_none() {
    use std::os::unix::ffi::OsStrExt as _;
    let mode = std::ffi::OsStr::from_bytes(b"closed\xff");
    let output = Command::new(binary())
        .arg("check-config")
        .env_clear()
        .envs(needed().into_iter().map(|(name, value)| (format!("DOORWARD__{name}"), value)))
        .env("DOORWARD__REGISTRATION__MODE", mode)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("REGISTRATION__MODE"));
}

#[test]
fn a_file_is_read_and_the_environment_overrides_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    let key = folder.path().join("key");
    std::fs::write(&key, format!("{MASTER_KEY}\n")).unwrap();
    let text = format!(
        "public_url = \"https://auth.example.com\"\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         [database]\nurl = \"sqlite:doorward.db\"\n[secrets]\nmaster_key_file = \"{}\"\n\
         [password.argon2]\nmemory_kib = 46000\niterations = 1\n[cors]\norigins = [\"https://a.example\"]\n\
         [mail]\ntransport = \"file\"\nfrom = \"no-reply@example.com\"\ndirectory = \"mail\"\n",
        key.display()
    );
    std::fs::write(&file, &text).unwrap();
    let arguments = ["check-config", "--config", file.to_str().unwrap()];
    assert!(run(&arguments, &[]).status.success(), "{:?}", run(&arguments, &[]));
    let overridden = run(&arguments, &[("PASSWORD__ARGON2__MEMORY_KIB", "8")]);
    assert_eq!(overridden.status.code(), Some(2));
    let twice = run(&arguments, &[("SECRETS__MASTER_KEY", MASTER_KEY)]);
    assert!(String::from_utf8(twice.stderr).unwrap().contains("given twice"));
    std::fs::write(&file, format!("colour = \"blue\"\n{text}")).unwrap();
    let unknown = run(&arguments, &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("colour"));
}

#[tokio::test]
async fn registration_mode_decides_who_gets_in() {
    with(&[("REGISTRATION__MODE", "closed")], async |_, client| {
        client.register("ada@example.com").await.refused(403, "forbidden");
    })
    .await;
    with(&[("REGISTRATION__MODE", "verified")], async |_, client| {
        let masked = |answer: &doorward_tests::Answer| (answer.status, answer.text.clone());
        let first = client.register("ada@example.com").await;
        client.log_in("ada@example.com").await.refused(403, "email_not_verified");
        client.log_in_with("ada@example.com", "a wrong password").await.refused(401, "invalid_credentials");
        let second = client.register("ADA@example.com").await;
        assert_eq!(first.status.as_u16(), 202);
        assert_eq!(first.json(), json!({ "status": "verification_sent" }));
        assert_eq!(masked(&first), masked(&second), "the answer tells who has an account");
        // Two have registered it, so nobody's password counts.
        client.log_in("ada@example.com").await.refused(401, "invalid_credentials");
    })
    .await;
}

#[tokio::test]
async fn token_options_show_in_the_token() {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        with(&[("TOKENS__ALGORITHM", algorithm)], async |_, client| {
            let grant = client.register("ada@example.com").await.grant();
            assert_eq!(header(&grant.access_token)["alg"], algorithm);
            assert_eq!(client.get("/.well-known/jwks.json").await.json()["keys"][0]["alg"], algorithm);
            assert!(client.me(&grant.access_token).await.status.is_success());
        })
        .await;
    }
    let secret = "Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg";
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    for given in [("TOKENS__SECRET", secret), ("TOKENS__SECRET_FILE", file.path().to_str().unwrap())] {
        with(&[("TOKENS__ALGORITHM", "HS256"), given], async |_, client| {
            let grant = client.register("ada@example.com").await.grant();
            assert_eq!(header(&grant.access_token)["alg"], "HS256");
            assert!(client.me(&grant.access_token).await.status.is_success());
            assert_eq!(client.get("/.well-known/jwks.json").await.json(), json!({ "keys": [] }));
        })
        .await;
    }
    let named = [
        ("TOKENS__ISSUER", "https://issuer.example"),
        ("TOKENS__AUDIENCE", "https://api.example"),
        ("TOKENS__ACCESS_TTL", "90s"),
    ];
    with(&named, async |_, client| {
        let answer = client.register("ada@example.com").await;
        let claims = claims(&answer.grant().access_token);
        assert_eq!(claims["iss"], "https://issuer.example");
        assert_eq!(claims["aud"], "https://api.example");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 90);
        assert_eq!(answer.json()["expires_in"], 90);
        let metadata = client.get("/.well-known/oauth-authorization-server").await.json();
        assert_eq!(metadata["issuer"], "https://issuer.example");
    })
    .await;
}

#[tokio::test]
async fn changing_the_algorithm_keeps_the_old_tokens_valid() {
    let mut service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    let old = client.register("ada@example.com").await.grant();
    service.terminate();
    service.set("TOKENS__ALGORITHM", "ES256");
    service.start_again();
    let client = Client::new(&service.url());
    // The key of the new algorithm is published first, for verifiers to get it, and signs before long or when told to.
    let between = client.refresh(&old.refresh_token).await.grant();
    service.succeed(&["keys", "rotate", "--now"]);
    service.terminate();
    service.start_again();
    let client = Client::new(&service.url());
    let new = client.refresh(&between.refresh_token).await.grant();
    let algorithm = |grant: &Grant| header(&grant.access_token)["alg"].as_str().map(str::to_owned);
    let expected = ["EdDSA", "EdDSA", "ES256"].map(|name| Some(name.to_owned()));
    assert_eq!([&old, &between, &new].map(algorithm), expected);
    for grant in [&old, &between, &new] {
        assert!(client.me(&grant.access_token).await.status.is_success());
    }
}

#[test]
fn another_master_key_opens_nothing() {
    let mut service = Service::start(Database::Sqlite, &[]);
    service.terminate();
    let variables = mailing(&[
        ("PUBLIC_URL", "http://localhost:1"),
        ("LISTEN", "127.0.0.1:0"),
        ("DATABASE__URL", service.database_url.as_str()),
        ("SECRETS__MASTER_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ]);
    let output = run(&["serve"], &variables);
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("does not open with this master key"), "{complaint}");
}

#[tokio::test]
async fn session_options_bound_sessions() {
    with(&[("SESSIONS__IDLE", "2h"), ("SESSIONS__ABSOLUTE", "3h")], async |_, client| {
        assert_eq!(client.register("ada@example.com").await.json()["refresh_expires_in"], 7200);
    })
    .await;
    with(&[("SESSIONS__ABSOLUTE", "5m")], async |_, client| {
        let answer = client.register("ada@example.com").await;
        assert_eq!(answer.json()["refresh_expires_in"], 300);
        assert_eq!(answer.json()["expires_in"], 300, "an access token outlives its session");
    })
    .await;
    with(&[("SESSIONS__REUSE_WINDOW", "0s")], async |_, client| {
        let first = client.register("ada@example.com").await.grant();
        let second = client.refresh(&first.refresh_token).await.grant();
        client.refresh(&second.refresh_token).await.grant();
        client.refresh(&first.refresh_token).await.refused(401, "invalid_refresh_token");
    })
    .await;
}

#[tokio::test]
async fn the_oldest_session_gives_way_when_a_user_has_too_many() {
    with(&[("SESSIONS__MOST_PER_USER", "2")], async |_, client| {
        let first = client.register("ada@example.com").await.grant();
        let second = client.log_in("ada@example.com").await.grant();
        client.me(&first.access_token).await.answered(200);
        let third = client.log_in("ada@example.com").await.grant();
        client.me(&first.access_token).await.refused(401, "unauthenticated");
        client.refresh(&first.refresh_token).await.refused(401, "invalid_refresh_token");
        for grant in [&second, &third] {
            client.me(&grant.access_token).await.answered(200);
        }
    })
    .await;
    with(&[], async |_, client| {
        let first = client.register("ada@example.com").await.grant();
        for _ in 0..3 {
            client.log_in("ada@example.com").await.grant();
        }
        client.me(&first.access_token).await.answered(200);
    })
    .await;
}

#[tokio::test]
async fn access_tokens_are_taken_for_so_long_without_hearing_from_the_database() {
    for (staleness, expected) in [("1s", 503), ("1h", 200)] {
        let cable = Cable::to_postgres();
        let schema = postgres::fresh_schema();
        let clients = format!("notes:{DIGEST}");
        let settings =
            [("DATABASE__SCHEMA", schema.as_str()), ("SESSIONS__STALENESS", staleness), ("CLIENTS", &clients)];
        let service = Service::start_on(cable.url(), &settings);
        let client = Client::new(&service.url());
        let grant = client.register("ada@example.com").await.grant();
        let ask = async || introspect(&client, "notes:secret", &grant.access_token).await;
        ask().await.answered(200);
        cable.cut();
        tokio::time::sleep(Duration::from_secs(3)).await;
        // This is an endpoint that asks no database of its own.
        ask().await.answered(expected);
    }
}

#[tokio::test]
async fn keys_give_way_when_they_are_as_old_as_said() {
    for (rotate_after, expected) in [(Some("1d"), &["signing", "published"][..]), (None, &["signing"][..])] {
        let mut service = Service::start(Database::Sqlite, &[]);
        service.terminate();
        let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
        let days = 2 * 24 * 60 * 60 * 1_000_000_i64;
        sqlx::query("UPDATE signing_keys SET created_at = created_at - $1, signs_from = signs_from - $1")
            .bind(days)
            .execute(&pool)
            .await
            .unwrap();
        if let Some(rotate_after) = rotate_after {
            service.set("TOKENS__ROTATE_AFTER", rotate_after);
        }
        service.start_again();
        let states = || {
            let output = service.command(&["keys", "list", "--json"]);
            assert!(output.status.success(), "{output:?}");
            let keys: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
            keys.iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let started = Instant::now();
        while states().len() < expected.len() && started.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(states(), expected, "{rotate_after:?}");
    }
}

#[test]
fn a_shared_secret_is_not_rotated() {
    let secret = ("TOKENS__SECRET", "Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg");
    let hs256 = ("TOKENS__ALGORITHM", "HS256");
    assert!(check(&[secret, hs256]).status.success());
    let refused = check(&[secret, hs256, ("TOKENS__ROTATE_AFTER", "30d")]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("tokens.rotate_after"));
}

/// Asks about a token as the client whose id and secret these are.
async fn introspect(client: &Client, credentials: &str, token: &str) -> doorward_tests::Answer {
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credentials));
    let form = "application/x-www-form-urlencoded";
    client.post_raw("/api/auth/introspect", &[("authorization", &basic)], form, format!("token={token}")).await
}

#[tokio::test]
async fn clients_are_those_that_may_ask_about_tokens() {
    let metadata = async |client: &Client| client.get("/.well-known/oauth-authorization-server").await.json();
    with(&[], async |_, client| {
        let token = client.register("ada@example.com").await.grant().access_token;
        introspect(&client, "notes:secret", &token).await.answered(401);
        assert!(metadata(&client).await.get("introspection_endpoint").is_none());
    })
    .await;

    let made = run(&["client-secret"], &[]);
    assert!(made.status.success(), "{made:?}");
    let made = String::from_utf8(made.stdout).unwrap();
    let word = |name: &str| made.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let (secret, digest) = (word("secret "), word("secret_sha256 "));
    assert!(secret.starts_with("dwc_"), "{secret}");
    let clients = format!("notes:{DIGEST}, billing.v2:{digest}");
    with(&[("CLIENTS", &clients)], async |service, client| {
        let token = client.register("ada@example.com").await.grant().access_token;
        for credentials in ["notes:secret", &format!("billing.v2:{secret}")] {
            let answer = introspect(&client, credentials, &token).await;
            assert_eq!(answer.answered(200).json()["active"], true, "{credentials}");
        }
        for credentials in ["notes:", "notes:secre", &format!("notes:{secret}"), "billing.v2:secret", "other:secret"] {
            let answer = introspect(&client, credentials, &token).await;
            assert_eq!(answer.answered(401).json(), json!({ "error": "invalid_client" }), "{credentials}");
            assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"), "{answer:?}");
        }
        let metadata = metadata(&client).await;
        let base = format!("http://localhost:{}", service.address.port());
        assert_eq!(metadata["introspection_endpoint"], format!("{base}/api/auth/introspect"));
        assert_eq!(metadata["revocation_endpoint"], format!("{base}/api/auth/revoke"));
        for endpoint in ["introspection", "revocation"] {
            let methods = &metadata[format!("{endpoint}_endpoint_auth_methods_supported")];
            assert_eq!(*methods, json!(["client_secret_basic", "client_secret_post"]));
        }
    })
    .await;
}

#[test]
fn clients_in_a_file_are_tables() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    let arguments = ["check-config", "--config", file.to_str().unwrap()];
    let client = |id: &str| format!("[[clients]]\nid = \"{id}\"\nsecret_sha256 = \"{DIGEST}\"\n");
    let complaint = |text: String| {
        std::fs::write(&file, text).unwrap();
        let output = run(&arguments, &needed());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(complaint(format!("{}{}", client("notes"), client("notes"))).contains("clients[1].id"));
    assert!(complaint("[[clients]]\nid = \"notes\"\n".to_owned()).contains("clients[0].secret_sha256"));
    assert!(complaint(format!("{}secret = \"x\"\n", client("notes"))).contains("secret"));
    assert!(complaint("clients = 7\n".to_owned()).contains("clients"));
    std::fs::write(&file, format!("{}{}", client("notes"), client("billing"))).unwrap();
    assert!(run(&arguments, &needed()).status.success());
}

#[tokio::test]
async fn password_options_decide_what_is_set_and_how() {
    with(&[("PASSWORD__MIN_LENGTH", "15")], async |_, client| {
        let body = json!({ "email": "ada@example.com", "password": "fourteen chars" });
        client.post("/api/auth/register", &body).await.refused(422, "validation_failed");
        let body = json!({ "email": "ada@example.com", "password": "fifteen chars !" });
        assert_eq!(client.post("/api/auth/register", &body).await.status.as_u16(), 201);
    })
    .await;
    let cost = [
        ("PASSWORD__ARGON2__MEMORY_KIB", "8192"),
        ("PASSWORD__ARGON2__ITERATIONS", "5"),
        ("PASSWORD__ARGON2__PARALLELISM", "2"),
    ];
    let mut service = Service::start(Database::Sqlite, &[]);
    let client = Client::new(&service.url());
    client.register("ada@example.com").await.grant();
    assert!(stored_hash(&service).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    service.terminate();
    for (name, value) in cost {
        service.set(name, value);
    }
    service.start_again();
    let client = Client::new(&service.url());
    client.log_in_with("ada@example.com", "not the password").await.refused(401, "invalid_credentials");
    assert!(stored_hash(&service).await.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    client.log_in("ada@example.com").await.grant();
    assert!(stored_hash(&service).await.starts_with("$argon2id$v=19$m=8192,t=5,p=2$"), "not hashed anew at login");
    client.log_in("ada@example.com").await.grant();
}

async fn stored_hash(service: &Service) -> String {
    let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
    sqlx::query_scalar("SELECT password_hash FROM credentials").fetch_one(&pool).await.unwrap()
}

#[tokio::test]
async fn hashing_options_bound_what_waits() {
    // As many passwords of one account at once as these tests try are otherwise refused before any is hashed.
    let many = ("LIMITS__PASSWORD_FREE", "100");
    with(&[("HASHING__WORKERS", "1"), ("HASHING__QUEUE", "0"), many], async |_, client| {
        client.register("ada@example.com").await.grant();
        let attempts = (0..16).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.log_in("ada@example.com").await })
        });
        let (mut served, mut shed) = (0, 0);
        for attempt in attempts.collect::<Vec<_>>() {
            let answer = attempt.await.unwrap();
            if answer.status.is_success() {
                served += 1;
            } else {
                answer.refused(503, "overloaded");
                assert_eq!(answer.header("retry-after"), Some("1"));
                shed += 1;
            }
        }
        assert!(served >= 1 && shed >= 1, "{served} served, {shed} shed");
    })
    .await;
    with(&[("HASHING__WORKERS", "1"), ("HASHING__QUEUE", "64"), many], async |service, client| {
        client.register("ada@example.com").await.grant();
        let attempts = (0..16).map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.log_in("ada@example.com").await.status })
        });
        for attempt in attempts.collect::<Vec<_>>() {
            assert!(attempt.await.unwrap().is_success(), "shed with room in the queue");
        }
        assert_eq!(hashing_threads(service), 1);
    })
    .await;
    with(&[("HASHING__WORKERS", "3")], async |service, _| assert_eq!(hashing_threads(service), 3)).await;
}

fn hashing_threads(service: &Service) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap();
    // A thread of another kind may end between the listing and the reading.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("hash-")).count()
}

#[tokio::test]
async fn trusted_proxies_name_the_client() {
    let ip_of = async |settings: &[(&str, &str)]| {
        let service = Service::start(Database::Sqlite, settings);
        let client = Client::new(&service.url());
        let body = json!({ "email": "ada@example.com", "password": PASSWORD });
        let headers = [("x-forwarded-for", "198.51.100.1, 203.0.113.9"), ("forwarded", "for=\"192.0.2.77:4711\"")];
        client.send(Method::POST, "/api/auth/register", &headers, Some(&body)).await.unwrap().grant();
        let pool = sqlx::SqlitePool::connect(&service.database_url).await.unwrap();
        let ip: String = sqlx::query_scalar("SELECT ip FROM sessions").fetch_one(&pool).await.unwrap();
        ip
    };
    assert_eq!(ip_of(&[]).await, "127.0.0.1");
    assert_eq!(ip_of(&[("TRUSTED_PROXIES", "127.0.0.0/8")]).await, "203.0.113.9");
    assert_eq!(ip_of(&[("TRUSTED_PROXIES", "127.0.0.1,203.0.113.9")]).await, "198.51.100.1");
    assert_eq!(ip_of(&[("TRUSTED_PROXIES", "1")]).await, "203.0.113.9");
    assert_eq!(ip_of(&[("TRUSTED_PROXIES", "2")]).await, "198.51.100.1");
    assert_eq!(ip_of(&[("TRUSTED_PROXIES", "1"), ("FORWARDED_HEADER", "forwarded")]).await, "192.0.2.77");
}

#[tokio::test]
async fn database_options_decide_where_and_how() {
    // The schema is used by every test on PostgreSQL; here two of them on one database know nothing of each other.
    let one = Service::start(Database::Postgres, &[("DATABASE__MAX_CONNECTIONS", "1")]);
    let other = Service::start(Database::Postgres, &[]);
    let (here, there) = (Client::new(&one.url()), Client::new(&other.url()));
    here.register("ada@example.com").await.grant();
    there.log_in("ada@example.com").await.refused(401, "invalid_credentials");
    there.register("ada@example.com").await.grant();

    let pool = sqlx::PgPool::connect(&one.database_url).await.unwrap();
    let (lone_schema, lone_client) = (one.schema.clone(), here.clone());
    for _ in 0..8 {
        tokio::join!(lone_client.refresh("x"), lone_client.refresh("y"), lone_client.refresh("z"));
    }
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_tables WHERE schemaname = $1 AND tablename = 'users'")
            .bind(lone_schema)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(tables, 1);
    // And one that listens for revocations, from a moment after the start on.
    let began = Instant::now();
    while connections_of(&one) < 1 + 1 {
        assert!(began.elapsed() < Duration::from_secs(10), "nobody listens");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(connections_of(&one), 1 + 1);
    assert!(connections_of(&other) >= 1);
}

/// Established connections of a service to PostgreSQL.
fn connections_of(service: &Service) -> usize {
    let port: u16 = service.database_url.rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap();
    let inodes: Vec<String> = std::fs::read_to_string("/proc/net/tcp")
        .unwrap()
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter(|fields| fields[2].ends_with(&format!(":{port:04X}")) && fields[3] == "01")
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", service.pid())).unwrap();
    let targets = descriptors.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    targets.filter(|target| inodes.iter().any(|inode| target.to_str() == Some(inode))).count()
}

#[test]
fn migrations_are_applied_by_whoever_is_allowed_to() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
    let variables = mailing(&[
        ("PUBLIC_URL", "http://localhost:1"),
        ("LISTEN", "127.0.0.1:0"),
        ("DATABASE__URL", url.as_str()),
        ("DATABASE__MIGRATE", "false"),
        ("SECRETS__MASTER_KEY", MASTER_KEY),
    ]);
    let missing = run(&["serve"], &variables);
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(!folder.path().join("doorward.db").exists(), "refusing made a database");
    let migrated = run(&["migrate"], &variables);
    assert!(migrated.status.success(), "{migrated:?}");
    let service = Service::start_on(url, &[("DATABASE__MIGRATE", "false")]);
    assert!(TcpStream::connect(service.address).is_ok());
}

#[tokio::test]
async fn log_options_decide_form_and_amount() {
    with(&[("LOG__FORMAT", "json")], async |service, client| {
        client.get("/healthz").await;
        let log = service.log();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().any(|line| line["message"] == "request" && line["status"] == 200), "{log}");
    })
    .await;
    with(&[("LOG__FORMAT", "text")], async |service, client| {
        client.get("/healthz").await;
        assert!(serde_json::from_str::<Value>(service.log().lines().next().unwrap()).is_err());
    })
    .await;
    with(&[("LOG__LEVEL", "warn,doorward::command=info")], async |service, client| {
        client.get("/healthz").await;
        assert!(!service.log().contains("/healthz"), "{}", service.log());
    })
    .await;
}

#[test]
fn dev_keeps_everything_in_one_private_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    // What means something in a URL means nothing in a path.
    let data = folder.path().join("data?mode=memory%41");
    let dev = Dev::start(&data);
    let port = dev.url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    assert_eq!(dev.url, format!("http://localhost:{port}"));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(dev);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("master.key")), 0o600);
    assert_eq!(mode(&data.join("doorward.db")), 0o600);
}
