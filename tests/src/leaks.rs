//! Looks for the secrets of a run in what the run left behind in the folder that `DOORWARD_KEEP` named: in logs, dumps
//! of databases and the bodies of refusals. Nothing may hold one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use serde_json::Value;
use uuid::Uuid;

use crate::keep::{ERRORS, SECRETS};

mod forms;

/// What is shorter could stand anywhere by chance.
const SHORTEST: usize = 12;

/// A secret where none may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What kind of secret it is.
    pub kind: String,
    /// In which form it stands there.
    pub form: &'static str,
}

/// What a search found, and what it looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub leaks: Vec<Leak>,
    /// How many secrets were looked for.
    pub secrets: usize,
    /// How many values were left out because they are too short.
    pub short: usize,
    /// How many values were left out because they are no secrets.
    pub no_secrets: usize,
    pub logs: usize,
    pub sqlite_dumps: usize,
    pub postgres_dumps: usize,
    pub error_bodies: usize,
    /// The databases that could not be dumped, and why.
    pub not_dumped: Vec<String>,
}

impl Report {
    /// Whether there was something of each kind to look at. Otherwise no leak means nothing.
    pub fn is_whole(&self) -> bool {
        ![self.secrets, self.logs, self.sqlite_dumps, self.postgres_dumps, self.error_bodies].contains(&0)
    }
}

/// Looks through a folder.
pub fn search(folder: &Path) -> io::Result<Report> {
    let mut report = Report::default();
    let kinds = secrets(&folder.join(SECRETS), &mut report)?;
    let mut needles = Vec::new();
    let mut names = Vec::new();
    for (value, kind) in &kinds {
        for (form, needle) in forms::of(value) {
            needles.push(needle);
            names.push((kind.as_str(), form));
        }
    }
    let automaton = AhoCorasick::new(&needles).map_err(io::Error::other)?;
    drop(needles);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.sort();
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_errors = name == ERRORS;
        match name.split_once('.').map(|(_, ending)| ending) {
            _ if name == SECRETS => continue,
            _ if is_errors => {}
            Some("log") => report.logs += 1,
            Some("sqlite.dump") => report.sqlite_dumps += 1,
            Some("postgres.dump") => report.postgres_dumps += 1,
            Some("failed") => report.not_dumped.push(fs::read_to_string(&file)?.trim().to_owned()),
            _ => continue,
        }
        let lines = each_line(&file, |line, bytes| {
            let body = if is_errors { Cow::Owned(body_of(bytes)?.into_bytes()) } else { Cow::Borrowed(bytes) };
            let mut found: Vec<_> =
                automaton.find_overlapping_iter(&*body).map(|hit| names[hit.pattern().as_usize()]).collect();
            found.sort_unstable();
            found.dedup();
            let leak = |(kind, form): (&str, _)| Leak { file: file.clone(), line, kind: kind.to_owned(), form };
            report.leaks.extend(found.into_iter().map(leak));
            Ok(())
        })?;
        report.error_bodies += if is_errors { lines } else { 0 };
    }
    Ok(report)
}

/// The secrets to look for, each once, and what kind they are.
fn secrets(file: &Path, report: &mut Report) -> io::Result<BTreeMap<String, String>> {
    let mut kinds = BTreeMap::new();
    each_line(file, |_, line| {
        let noted: Value = serde_json::from_slice(line)?;
        let text = |field: &str| noted[field].as_str().map(str::to_owned).ok_or(io::ErrorKind::InvalidData);
        kinds.insert(text("value")?, text("kind")?);
        Ok(())
    })?;
    kinds.retain(|value, _| {
        let is_short = value.len() < SHORTEST;
        let is_none = !is_short && !is_secret(value);
        report.short += usize::from(is_short);
        report.no_secrets += usize::from(is_none);
        !is_short && !is_none
    });
    report.secrets = kinds.len();
    Ok(kinds)
}

/// Whether a value in a secret's field is one. The tokens that tests make up are all too short to come here.
fn is_secret(value: &str) -> bool {
    // The same letter over and over, as for a password that is too long.
    let is_monotonous = value.bytes().all(|byte| value.as_bytes().first() == Some(&byte));
    // The id of a row, presented in place of a token. No token has this form.
    let is_id = value.len() == 36 && Uuid::parse_str(value).is_ok();
    // A user's own address, tried as their password: it stands wherever addresses do.
    let is_address = value.ends_with("@example.com");
    !is_monotonous && !is_id && !is_address
}

/// The body that a line of the refusals holds, as it was sent.
fn body_of(line: &[u8]) -> io::Result<String> {
    let refusal: Value = serde_json::from_slice(line)?;
    refusal["body"].as_str().map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Passes each line with its number; how many there are.
fn each_line(path: &Path, mut use_it: impl FnMut(usize, &[u8]) -> io::Result<()>) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    let mut n = 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        n += 1;
        use_it(n, &line)?;
        line.clear();
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;

    const TOKEN: &str = "dwr_q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k";
    const PASSPHRASE: &str = "correct \"horse\" staple";

    /// A folder with these secrets, and with files that hold none.
    fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let noted = [("refresh_token", TOKEN), ("password", PASSPHRASE), ("password", "short"), ("token", TOKEN)];
        let noted = noted.map(|(kind, value)| format!("{}\n", json!({ "kind": kind, "value": value })));
        write(SECRETS, &noted.concat());
        write("1_0.log", "TRACE a line\nTRACE another, about dwr_ and a correct horse\n");
        write("1_1.sqlite.dump", "users.email: ada@example.com\n");
        write("1_2.postgres.dump", "t.users: (1,\"\\\\x00ff\")\n");
        write(ERRORS, "{\"status\":401,\"body\":\"{\\\"code\\\":\\\"unauthenticated\\\"}\"}\n");
        for (name, text) in files {
            write(name, text);
        }
        folder
    }

    fn found(files: &[(&str, String)]) -> Vec<(String, usize, String, &'static str)> {
        let leaks = search(folder(files).path()).unwrap().leaks;
        let name = |leak: &Leak| leak.file.file_name().unwrap().to_str().unwrap().to_owned();
        leaks.into_iter().map(|leak| (name(&leak), leak.line, leak.kind, leak.form)).collect()
    }

    fn hex(text: &str) -> String {
        text.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    }

    #[test]
    fn a_clean_folder_has_no_leak_and_is_whole() {
        let report = search(folder(&[]).path()).unwrap();
        assert_eq!(report.leaks, []);
        assert!(report.is_whole(), "{report:?}");
        assert_eq!((report.secrets, report.short, report.error_bodies), (2, 1, 1));
    }

    #[test]
    fn a_folder_without_dumps_is_not_whole() {
        let folder = folder(&[]);
        fs::remove_file(folder.path().join("1_2.postgres.dump")).unwrap();
        assert!(!search(folder.path()).unwrap().is_whole());
    }

    #[test]
    fn a_secret_in_a_log_is_found_with_its_line() {
        let leaks = found(&[("1_3.log", format!("TRACE nothing\nTRACE got {TOKEN} from a client\n"))]);
        assert_eq!(leaks, [("1_3.log".to_owned(), 2, "token".to_owned(), "plain")]);
    }

    #[test]
    fn a_secret_in_a_dump_is_found_as_hex() {
        let leaks = found(&[("1_3.postgres.dump", format!("t.tokens: (7,\"\\\\x{}\")\n", hex(TOKEN)))]);
        assert_eq!(leaks, [("1_3.postgres.dump".to_owned(), 1, "token".to_owned(), "hex")]);
    }

    #[test]
    fn the_bytes_of_an_encoded_secret_are_found_as_hex() {
        let bytes = "abcdef0123456789".repeat(4);
        let leaks = found(&[("1_3.sqlite.dump", format!("tokens.secret: ? = {bytes}\n"))]);
        assert_eq!(leaks, [("1_3.sqlite.dump".to_owned(), 1, "token".to_owned(), "decoded, hex")]);
    }

    #[test]
    fn a_secret_in_the_body_of_a_refusal_is_found_through_two_layers_of_json() {
        let body = json!({ "detail": format!("{PASSPHRASE} is wrong") }).to_string();
        let leaks = found(&[(ERRORS, format!("{}\n", json!({ "status": 422, "body": body })))]);
        assert_eq!(leaks, [(ERRORS.to_owned(), 1, "password".to_owned(), "json")]);
    }

    #[test]
    fn a_secret_is_found_in_a_url_and_in_base64_wherever_that_begins() {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

        let url = found(&[("1_3.log", "GET /?p=correct%20%22horse%22%20staple&x=1\n".to_owned())]);
        assert_eq!(url, [("1_3.log".to_owned(), 1, "password".to_owned(), "percent-encoded")]);
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "y", "yz"] {
                let text = format!("{before}{PASSPHRASE}{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let leaks = found(&[("1_3.log", format!("Basic {encoded}\n"))]);
                    assert_eq!(leaks, [("1_3.log".to_owned(), 1, "password".to_owned(), "base64")], "{text}");
                }
            }
        }
    }
}
