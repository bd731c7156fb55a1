//! Passwords that others have lost, or that everybody in town would try, are refused wherever a password is set.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use doorward_tests::range_server::{Mood, RangeServer, sha1};
use doorward_tests::service::{FILE_MAIL, MASTER_KEY, binary};
use doorward_tests::{Answer, Client, Database, PASSWORD, Service, SmtpSink};
use serde_json::json;
use tempfile::TempDir;

use crate::mail_steps::reset_token;

/// A password that no list knows but those of these tests.
const LOST: &str = "seventeen purple walruses";
const FINE: &str = "another battery of horses";
const ADA: &str = "ada@example.com";

async fn register(client: &Client, address: &str, password: &str) -> Answer {
    client.post("/api/auth/register", &json!({ "email": address, "password": password })).await
}

fn is_too_common(answer: &Answer) {
    answer.refused(422, "validation_failed");
    assert_eq!(answer.json()["errors"][0]["code"], "too_common", "{answer:?}");
}

/// A service that mails and lets everybody register.
fn start(sink: &SmtpSink, settings: &[(&str, &str)]) -> Service {
    let open = [("REGISTRATION__MODE", "open"), ("LOG__LEVEL", "trace")];
    Service::start_with_mail(Database::Sqlite, sink, &[&open, settings].concat())
}

/// Tells the story of somebody who tries a lost password wherever one is set. The settings decide what comes of it: with
/// `refused`, the answer is looked at and everything has to be as before.
async fn try_everywhere(service: &Service, sink: &SmtpSink, refused: impl Fn(&Answer)) {
    let client = Client::new(&service.url());
    refused(&register(&client, ADA, LOST).await);
    // The address is still free, and another password is fine.
    let grant = client.register(ADA).await.grant();
    refused(&client.change_password(&grant.access_token, PASSWORD, LOST).await);
    client.log_in(ADA).await.grant();
    let token = reset_token(&client, sink, ADA).await;
    refused(&client.confirm_reset(&token, LOST).await);
    client.me(&grant.access_token).await.answered(200);
    client.log_in(ADA).await.grant();
}

/// The token works on, and a password that nobody has lost is set.
async fn then_another_is_taken(service: &Service, sink: &SmtpSink) {
    let client = Client::new(&service.url());
    let token = reset_token(&client, sink, ADA).await;
    is_too_common(&client.confirm_reset(&token, LOST).await);
    client.confirm_reset(&token, FINE).await.answered(204);
    client.log_in_with(ADA, FINE).await.grant();
}

/// Each place takes the password that it would refuse with other settings.
async fn is_taken_everywhere(service: &Service, sink: &SmtpSink) {
    let client = Client::new(&service.url());
    register(&client, "eve@example.com", LOST).await.grant();
    let grant = client.register(ADA).await.grant();
    client.change_password(&grant.access_token, PASSWORD, LOST).await.answered(204);
    let token = reset_token(&client, sink, ADA).await;
    client.confirm_reset(&token, LOST).await.answered(204);
    client.log_in_with(ADA, LOST).await.grant();
}

/// Runs `doorward passwords` with this on its standard input and these variables besides.
fn passwords(arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> Output {
    let mut child = Command::new(binary())
        .arg("passwords")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (format!("DOORWARD__{name}"), value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Whoever refuses its arguments does not wait for the rest.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap_or_default();
    child.wait_with_output().unwrap()
}

/// What it printed; it has to succeed.
fn succeed(arguments: &[&str], input: &str) -> String {
    let output = passwords(arguments, input, &[]);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it complained of, with this exit code.
fn fail(code: i32, arguments: &[&str], input: &str, variables: &[(&str, &str)]) -> String {
    let output = passwords(arguments, input, variables);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A sorted list of these passwords' hashes with counts.
fn list_of<'a>(passwords: impl IntoIterator<Item = (&'a str, u64)>) -> String {
    let mut lines: Vec<String> =
        passwords.into_iter().map(|(password, count)| format!("{}:{count}\r\n", sha1(password))).collect();
    lines.sort_unstable();
    lines.concat()
}

/// A folder with a filter that holds [`LOST`] and nothing else, and the filter's path.
fn filter() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = text(&folder.path().join("breached.filter"));
    succeed(&["build-filter", "--output", &path, "-"], &list_of([(LOST, 3)]));
    (folder, path)
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// What has to be given to any command that reads a configuration, and these settings.
fn configured<'a>(settings: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let needed = [
        ("PUBLIC_URL", "https://auth.example.com"),
        ("DATABASE__URL", "sqlite:doorward.db"),
        ("SECRETS__MASTER_KEY", MASTER_KEY),
    ];
    [&needed[..], &FILE_MAIL, settings].concat()
}

#[tokio::test]
async fn without_lists_of_ones_own_the_password_is_taken() {
    let sink = SmtpSink::start();
    is_taken_everywhere(&start(&sink, &[]), &sink).await;
}

#[tokio::test]
async fn a_word_of_the_operators_is_refused_wherever_a_password_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let words = folder.path().join("words.txt");
    fs::write(&words, format!("# our town\nspringfield\n{}\n", LOST.to_uppercase())).unwrap();
    let sink = SmtpSink::start();
    let service = start(&sink, &[("PASSWORD__WORD_LIST", &text(&words))]);
    try_everywhere(&service, &sink, is_too_common).await;
    then_another_is_taken(&service, &sink).await;
    register(&Client::new(&service.url()), "eve@example.com", "# our town").await.grant();
}

#[tokio::test]
async fn a_password_of_the_filter_is_refused_wherever_a_password_is_set() {
    let (_folder, filter) = filter();
    let sink = SmtpSink::start();
    let service = start(&sink, &[("PASSWORD__FILTER", &filter)]);
    try_everywhere(&service, &sink, is_too_common).await;
    then_another_is_taken(&service, &sink).await;
}

#[tokio::test]
async fn a_filter_that_is_replaced_counts_from_the_next_start() {
    let (_folder, filter) = filter();
    let mut service = Service::start(Database::Sqlite, &[("PASSWORD__FILTER", &filter)]);
    succeed(&["build-filter", "--output", &filter, "-"], &list_of([(FINE, 1)]));
    is_too_common(&register(&Client::new(&service.url()), ADA, LOST).await);
    service.terminate();
    service.start_again();
    let client = Client::new(&service.url());
    is_too_common(&register(&client, ADA, FINE).await);
    register(&client, ADA, LOST).await.grant();
}

/// The settings of a breach check at this server.
fn asking<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("PASSWORD__BREACH_CHECK__ENABLED", "true"), ("PASSWORD__BREACH_CHECK__URL", url)][..], more].concat()
}

/// No part of the password's hash is in the log, at its most detailed level.
fn kept_out_of_the_log(service: &Service) {
    let log = service.log();
    assert!(log.contains("DEBUG"), "the log is not at its most detailed level");
    assert!(!log.contains("/range/"), "a URL with digits of a hash is in the log: {log}");
    for hash in [sha1(LOST), sha1(PASSWORD), sha1(FINE)] {
        // Five digits alone are in every other id.
        for part in [&hash[..9], &hash[5..14]] {
            assert!(!log.contains(part) && !log.contains(&part.to_lowercase()), "{part} is in the log: {log}");
        }
    }
}

#[tokio::test]
async fn a_password_that_the_breach_check_knows_is_refused_wherever_a_password_is_set() {
    let server = RangeServer::start(&[(LOST, 12)]);
    let sink = SmtpSink::start();
    let service = start(&sink, &asking(&server.url(), &[]));
    try_everywhere(&service, &sink, is_too_common).await;
    then_another_is_taken(&service, &sink).await;
    let asked = server.asked();
    assert!(asked.contains(&sha1(LOST)[..5].to_owned()) && asked.contains(&sha1(FINE)[..5].to_owned()), "{asked:?}");
    kept_out_of_the_log(&service);
}

#[tokio::test]
async fn a_password_that_is_refused_here_is_asked_about_nowhere() {
    let (_folder, filter) = filter();
    let server = RangeServer::start(&[]);
    let service = Service::start(Database::Sqlite, &asking(&server.url(), &[("PASSWORD__FILTER", &filter)]));
    let client = Client::new(&service.url());
    for password in ["1234567", "password", LOST] {
        register(&client, ADA, password).await.refused(422, "validation_failed");
    }
    assert_eq!(server.asked(), [""; 0]);
}

#[tokio::test]
async fn the_breach_check_counts_from_its_least_count_on_and_asks_nobody_while_it_is_off() {
    let server = RangeServer::start(&[(LOST, 12), (FINE, 0)]);
    for (settings, refused, asked) in [
        (asking(&server.url(), &[("PASSWORD__BREACH_CHECK__MIN_COUNT", "12")]), true, true),
        (asking(&server.url(), &[("PASSWORD__BREACH_CHECK__MIN_COUNT", "13")]), false, true),
        (vec![("PASSWORD__BREACH_CHECK__URL", server.url().as_str())], false, false),
    ] {
        let before = server.asked().len();
        let service = Service::start(Database::Sqlite, &settings);
        let client = Client::new(&service.url());
        let answer = register(&client, ADA, LOST).await;
        if refused {
            is_too_common(&answer);
        } else {
            answer.answered(201);
        }
        // What is listed with the count 0 is padding.
        register(&client, "eve@example.com", FINE).await.answered(201);
        assert_eq!(server.asked().len() > before, asked, "{settings:?}");
    }
}

#[tokio::test]
async fn without_an_answer_the_request_gets_503_and_nothing_changes() {
    let unavailable = |answer: &Answer| {
        answer.refused(503, "unavailable");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
    };
    for mood in [Mood::Broken, Mood::Silent] {
        let server = RangeServer::start(&[]);
        let sink = SmtpSink::start();
        let service = start(&sink, &asking(&server.url(), &[("PASSWORD__BREACH_CHECK__TIMEOUT", "300ms")]));
        let client = Client::new(&service.url());
        server.be(mood);
        unavailable(&register(&client, ADA, LOST).await);
        server.be(Mood::Sound);
        // The address is still free.
        let grant = client.register(ADA).await.grant();
        let token = reset_token(&client, &sink, ADA).await;
        server.be(mood);
        unavailable(&client.change_password(&grant.access_token, PASSWORD, LOST).await);
        let begun = Instant::now();
        unavailable(&client.confirm_reset(&token, LOST).await);
        assert!(begun.elapsed() < Duration::from_secs(3), "{mood:?}: the time limit does not hold");
        client.me(&grant.access_token).await.answered(200);
        client.log_in(ADA).await.grant();
        server.be(Mood::Sound);
        // The token works on.
        client.confirm_reset(&token, LOST).await.answered(204);
        client.log_in_with(ADA, LOST).await.grant();
        kept_out_of_the_log(&service);
    }
}

#[tokio::test]
async fn without_an_answer_the_password_is_taken_with_a_warning_where_it_is_to_be() {
    let sink = SmtpSink::start();
    let more = [("PASSWORD__BREACH_CHECK__ON_FAILURE", "accept")];
    let service = start(&sink, &asking("http://127.0.0.1:9", &more));
    is_taken_everywhere(&service, &sink).await;
    let warnings = service.log().lines().filter(|line| line.contains("without the breach check")).count();
    // Two were registered, one was changed, one was reset.
    assert_eq!(warnings, 4, "{}", service.log());
    kept_out_of_the_log(&service);
}

#[test]
fn what_is_wrong_with_a_screen_stops_the_start_by_name() {
    let (folder, filter) = filter();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        text(&path)
    };
    let whole = fs::read(&filter).unwrap();
    let mut flipped = whole.clone();
    flipped[20] ^= 1;
    let (cut, flipped) = (file("cut", &whole[..whole.len() - 1]), file("flipped", &flipped));
    let (foreign, empty, binary) = (file("foreign", b"password\n"), file("empty", b""), file("binary", b"caf\xe9\n"));
    let huge = text(&folder.path().join("huge"));
    fs::File::create(&huge).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let program = doorward_tests::service::binary();
    let run = |name: &str, value: &str| {
        Command::new(program)
            .arg("check-config")
            .env_clear()
            .envs(configured(&[(name, value)]).into_iter().map(|(name, value)| (format!("DOORWARD__{name}"), value)))
            .output()
            .unwrap()
    };
    for (name, value, option) in [
        ("PASSWORD__WORD_LIST", "/nowhere/words.txt", "password.word_list"),
        ("PASSWORD__WORD_LIST", "/", "password.word_list"),
        ("PASSWORD__WORD_LIST", &binary, "password.word_list"),
        ("PASSWORD__WORD_LIST", &huge, "password.word_list"),
        ("PASSWORD__FILTER", "/nowhere/breached.filter", "password.filter"),
        ("PASSWORD__FILTER", "/", "password.filter"),
        ("PASSWORD__FILTER", &cut, "password.filter"),
        ("PASSWORD__FILTER", &flipped, "password.filter"),
        ("PASSWORD__FILTER", &foreign, "password.filter"),
        ("PASSWORD__FILTER", &empty, "password.filter"),
        ("PASSWORD__BREACH_CHECK__ENABLED", "perhaps", "password.breach_check.enabled"),
        ("PASSWORD__BREACH_CHECK__URL", "api.pwnedpasswords.com", "password.breach_check.url"),
        ("PASSWORD__BREACH_CHECK__URL", "http://api.pwnedpasswords.com", "password.breach_check.url"),
        ("PASSWORD__BREACH_CHECK__URL", "https://example.com/?range", "password.breach_check.url"),
        ("PASSWORD__BREACH_CHECK__TIMEOUT", "99ms", "password.breach_check.timeout"),
        ("PASSWORD__BREACH_CHECK__TIMEOUT", "11s", "password.breach_check.timeout"),
        ("PASSWORD__BREACH_CHECK__TIMEOUT", "2", "password.breach_check.timeout"),
        ("PASSWORD__BREACH_CHECK__MIN_COUNT", "0", "password.breach_check.min_count"),
        ("PASSWORD__BREACH_CHECK__MIN_COUNT", "many", "password.breach_check.min_count"),
        ("PASSWORD__BREACH_CHECK__ON_FAILURE", "shrug", "password.breach_check.on_failure"),
        ("PASSWORD__BREACH_CHECK__KEY", "secret", "password.breach_check"),
    ] {
        let output = run(name, value);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}={value}: {complaint}");
        assert!(complaint.contains(option), "{name}={value}: {complaint}");
    }
    let words = file("words", "\u{feff}springfield\n".as_bytes());
    for (name, value) in [
        ("PASSWORD__WORD_LIST", words.as_str()),
        ("PASSWORD__WORD_LIST", &empty),
        ("PASSWORD__FILTER", &filter),
        ("PASSWORD__BREACH_CHECK__ENABLED", "true"),
        ("PASSWORD__BREACH_CHECK__URL", "http://localhost:8080/mirror"),
        ("PASSWORD__BREACH_CHECK__TIMEOUT", "100ms"),
        ("PASSWORD__BREACH_CHECK__TIMEOUT", "10s"),
    ] {
        let output = run(name, value);
        assert!(output.status.success(), "{name}={value}: {output:?}");
    }
}

#[test]
fn a_filter_is_built_from_a_file_or_standard_input_and_told_about() {
    let folder = tempfile::tempdir().unwrap();
    let passwords: Vec<String> = (0..10_000).map(|n| format!("password number {n}")).collect();
    let list = list_of(passwords.iter().zip(1..).map(|(password, count)| (password.as_str(), count)));
    let (path, other) = (text(&folder.path().join("filter")), text(&folder.path().join("other")));
    let list_path = text(&folder.path().join("list.txt"));
    fs::write(&list_path, &list).unwrap();

    let built = succeed(&["build-filter", "--output", &path, &list_path], "");
    assert!(built.starts_with("10000 entries, ") && built.contains(" 1."), "{built}");
    assert!(fs::metadata(&path).unwrap().len() <= 20_000, "{built}");
    assert_eq!(succeed(&["check-filter", &path], ""), built);
    assert_eq!(succeed(&["build-filter", "--output", &other, "-"], &list), built);
    assert!(fs::read(&path).unwrap() == fs::read(&other).unwrap(), "the same list gave another file");
    let fewer = succeed(&["build-filter", "--min-count", "9001", "--output", &other, &list_path], "");
    assert!(fewer.starts_with("1000 entries, "), "{fewer}");

    let mut bytes = fs::read(&path).unwrap();
    bytes[5_000] ^= 1;
    fs::write(&other, &bytes).unwrap();
    assert!(fail(1, &["check-filter", &other], "", &[]).contains("damaged"));
    fs::write(&other, b"something else").unwrap();
    assert!(fail(1, &["check-filter", &other], "", &[]).contains("is no filter"));
    let before = fs::read(&path).unwrap();
    let (last, first) = (list.lines().last().unwrap(), list.lines().next().unwrap());
    let unsorted = format!("{first}\n{last}\n{first}\n");
    let complaint = fail(1, &["build-filter", "--output", &path, "-"], &unsorted, &[]);
    assert!(complaint.contains("line 3") && complaint.contains("out of order"), "{complaint}");
    assert!(fail(1, &["build-filter", "--output", &path, "/nowhere"], "", &[]).contains("cannot be read"));
    assert!(fs::read(&path).unwrap() == before, "a failed build has changed the filter");
}

#[test]
fn a_password_is_checked_from_standard_input_by_every_screen() {
    let (folder, filter) = filter();
    let server = RangeServer::start(&[("a password of the server", 1)]);
    let words = folder.path().join("words.txt");
    fs::write(&words, "Springfield\n").unwrap();
    let (url, words) = (server.url(), text(&words));
    let settings = asking(&url, &[("PASSWORD__FILTER", &filter), ("PASSWORD__WORD_LIST", &words)]);
    let variables = configured(&settings);
    for (password, screen) in [
        ("1234567\n", "at least 8 characters"),
        ("doorward1", "name of this service"),
        ("Password1\r\n", "embedded list"),
        ("springfield\n", "password.word_list"),
        (LOST, "password.filter"),
        ("a password of the server", "password.breach_check"),
    ] {
        let complaint = fail(1, &["check"], password, &variables);
        assert!(complaint.contains("would be refused") && complaint.contains(screen), "{password}: {complaint}");
        assert!(!complaint.contains(password.trim_end()), "the password is repeated: {complaint}");
    }
    let output = passwords(&["check"], &format!("{FINE}\n"), &variables);
    assert!(output.status.success(), "{output:?}");
    server.be(Mood::Broken);
    assert!(fail(1, &["check"], FINE, &variables).contains("password.breach_check"));
    for nothing in ["", "\n", "two\nlines\n"] {
        assert!(fail(2, &["check"], nothing, &variables).contains("standard input"));
    }
    // An argument would be in the list of processes.
    fail(2, &["check", FINE], "", &variables);
}
