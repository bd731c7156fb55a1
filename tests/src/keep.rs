//! What a run leaves behind for [`leaks`](crate::leaks), in the folder that `DOORWARD_KEEP` names: logs, dumps of
//! databases, the bodies of refusals, and the secrets that must be in none of them. Without the variable nothing is kept.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use url::Url;

mod dump;

pub(crate) use dump::database;

/// The secrets of a run, one a line.
pub(crate) const SECRETS: &str = "secrets.jsonl";
/// The bodies of a run's refusals, one a line.
pub(crate) const ERRORS: &str = "errors.jsonl";

/// The fields of bodies, forms and queries that hold a secret.
const FIELDS: [&str; 8] = [
    "password",
    "new_password",
    "current_password",
    "token",
    "refresh_token",
    "access_token",
    "device_token",
    "client_secret",
];
/// How the names of settings end that hold a secret.
const SETTINGS: [&str; 3] = ["SECRET", "PASSWORD", "MASTER_KEY"];

/// Where to keep things, if anywhere.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = PathBuf::from(std::env::var_os("DOORWARD_KEEP")?);
        // The tests run in another folder than the one where somebody has set it.
        assert!(folder.is_absolute(), "DOORWARD_KEEP has to be a whole path");
        fs::create_dir_all(&folder).unwrap();
        Some(folder)
    });
    folder.as_deref()
}

/// A new file in the folder, with a name that no other process takes.
fn fresh(folder: &Path, ending: &str) -> File {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    loop {
        let n = FILES.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}_{n}.{ending}", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => return file,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}: {}", path.display()),
        }
    }
}

/// Appends a line with one call, so that lines of several processes do not mix.
fn append(name: &str, line: &Value) {
    let Some(folder) = folder() else { return };
    let mut file = File::options().create(true).append(true).open(folder.join(name)).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Keeps what a service has logged so far.
pub(crate) fn log(log: &Path) {
    let Some(folder) = folder() else { return };
    let text = fs::read(log).unwrap_or_default();
    if !text.is_empty() {
        fresh(folder, "log").write_all(&text).unwrap();
    }
}

/// Notes a secret.
pub(crate) fn secret(kind: &str, value: &str) {
    if folder().is_some() && !value.is_empty() {
        append(SECRETS, &json!({ "kind": kind, "value": value }));
    }
}

/// Notes the secrets among settings, by their names without a prefix.
pub(crate) fn settings<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) {
    if folder().is_none() {
        return;
    }
    for (name, value) in settings {
        if SETTINGS.iter().any(|ending| name.ends_with(ending)) {
            secret(name, value);
        } else if let Some(password) = Url::parse(value).ok().as_ref().and_then(Url::password) {
            secret(name, &unescaped(password));
        }
    }
}

/// Notes the secrets of a configuration file: values of keys such as `secret = "x"`.
pub(crate) fn settings_file(file: &str) {
    let lines = file.lines().filter_map(|line| line.split_once('='));
    let pairs: Vec<(String, &str)> =
        lines.map(|(name, value)| (name.trim().to_uppercase(), value.trim().trim_matches(['"', '\'']))).collect();
    settings(pairs.iter().map(|(name, value)| (name.as_str(), *value)));
}

/// Notes the secrets of a request's path and headers.
pub(crate) fn request(path: &str, headers: &[(&str, &str)]) {
    if folder().is_none() {
        return;
    }
    if let Some((_, query)) = path.split_once('?') {
        form(query);
    }
    for (name, value) in headers {
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization(value),
            "cookie" => value.split(';').for_each(cookie),
            _ => {}
        }
    }
}

fn authorization(value: &str) {
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    secret("authorization", rest.trim());
    let basic = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok()).flatten();
    let basic = basic.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((_, password)) = basic.as_deref().and_then(|text| text.split_once(':')) {
        secret("client secret", &unescaped(password));
    }
}

fn cookie(pair: &str) {
    if let Some((_, value)) = pair.split_once('=') {
        secret("cookie", value.trim().trim_matches('"'));
    }
}

/// Notes the secrets of a body, which is JSON or a form.
pub(crate) fn body(text: &str) {
    if folder().is_none() {
        return;
    }
    match serde_json::from_str(text) {
        Ok(json) => fields(&json),
        Err(_) => form(text),
    }
}

/// Notes the secrets of a body.
pub(crate) fn fields(json: &Value) {
    if folder().is_none() {
        return;
    }
    match json {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if FIELDS.contains(&name.as_str()) => secret(name, text),
                    other => fields(other),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(fields),
        _ => {}
    }
}

fn form(text: &str) {
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if FIELDS.contains(&name.as_ref()) {
            secret(&name, &value);
        }
    }
}

/// Notes the tokens of a mail's links.
pub(crate) fn links(text: &str) {
    if folder().is_none() {
        return;
    }
    for rest in text.split("?token=").skip(1) {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        let token = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        secret("mailed token", token.trim_end_matches('.'));
    }
}

/// Notes the secrets of an answer, and keeps its body if it is a refusal.
pub(crate) fn answer(status: u16, headers: &HeaderMap, text: &str) {
    if folder().is_none() {
        return;
    }
    for value in headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
        cookie(value.split(';').next().unwrap_or_default());
    }
    if let Ok(json) = serde_json::from_str(text) {
        fields(&json);
    }
    if status >= 400 {
        append(ERRORS, &json!({ "status": status, "body": text }));
    }
}

/// A part of a URL or of credentials, decoded.
fn unescaped(text: &str) -> String {
    // As the value of a form, where these two would be more than themselves.
    let form = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).map(|(_, value)| value.into_owned()).collect()
}
