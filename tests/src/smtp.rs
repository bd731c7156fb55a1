//! A real SMTP server for tests, which misbehaves for some domains (`smtp_sink.py` says for which), and what it
//! took.
//!
//! It runs on the Python that `./test` installs into `target/verifiers`; `DOORWARD_VERIFIERS` names another folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mailparse::ParsedMail;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use crate::keep;

/// The pages that the links of mails lead to.
pub mod page {
    pub const VERIFY_EMAIL: &str = "/verify-email";
    pub const RESET_PASSWORD: &str = "/reset-password";
    pub const CHANGE_EMAIL: &str = "/change-email";
    pub const UNDO_EMAIL_CHANGE: &str = "/undo-email-change";
}

/// The settings that matter to a service, by their names in the environment.
pub type Settings = Vec<(&'static str, String)>;

/// A running SMTP server, killed when it is dropped.
pub struct SmtpSink {
    pub port: u16,
    arguments: Vec<String>,
    has_tls: bool,
    folder: TempDir,
    child: Child,
    read: Mutex<BTreeMap<String, Received>>,
}

/// A message that the server took.
#[derive(Clone, Debug)]
pub struct Received {
    /// The recipients of the envelope.
    pub envelope_to: Vec<String>,
    /// The sender of the envelope.
    pub envelope_from: String,
    /// When it came, in Unix seconds.
    pub arrived_at: f64,
    /// The headers of the message in their order, decoded.
    pub headers: Vec<(String, String)>,
    pub message_id: String,
    pub subject: String,
    /// The plain text part, decoded.
    pub text: String,
    /// The HTML part, decoded.
    pub html: String,
    /// The message as it came.
    pub raw: Vec<u8>,
}

impl Received {
    /// Whether this address is its only recipient.
    pub fn is_to(&self, address: &str) -> bool {
        self.envelope_to == [address]
    }

    /// Whether it holds a link to this page.
    pub fn leads_to(&self, page: &str) -> bool {
        self.text.contains(&format!("{page}?token="))
    }

    /// Whether it holds a link with a token at all.
    pub fn has_token(&self) -> bool {
        self.text.contains("?token=")
    }

    fn parse(raw: &[u8], sidecar: &Value) -> Self {
        let mail = mailparse::parse_mail(raw).unwrap();
        let headers: Vec<(String, String)> =
            mail.headers.iter().map(|header| (header.get_key(), header.get_value())).collect();
        let header = |name: &str| {
            let mut found = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            let value = found.next().unwrap_or_else(|| panic!("no {name}: {headers:?}")).1.clone();
            assert!(found.next().is_none(), "{name} more than once: {headers:?}");
            value
        };
        let recipients = sidecar["rcpt_to"].as_array().unwrap();
        let text = part(&mail, "text/plain").unwrap_or_default();
        keep::links(&text);
        Self {
            envelope_to: recipients.iter().map(|address| address.as_str().unwrap().to_owned()).collect(),
            envelope_from: sidecar["mail_from"].as_str().unwrap_or_default().to_owned(),
            arrived_at: sidecar["arrived_at"].as_f64().unwrap(),
            message_id: header("Message-ID"),
            subject: header("Subject"),
            text,
            html: part(&mail, "text/html").unwrap_or_default(),
            headers,
            raw: raw.to_vec(),
        }
    }
}

/// The first part of this type, decoded.
fn part(mail: &ParsedMail<'_>, mimetype: &str) -> Option<String> {
    if mail.subparts.is_empty() {
        return (mail.ctype.mimetype == mimetype).then(|| mail.get_body().unwrap());
    }
    mail.subparts.iter().find_map(|subpart| part(subpart, mimetype))
}

/// The link to this page in the text part, with its token.
pub fn link(mail: &Received, page: &str) -> String {
    let wanted = format!("{page}?token=");
    let mut links = mail.text.split_whitespace().filter(|word| word.contains(&wanted));
    let found = links.next().unwrap_or_else(|| panic!("no link to {page}: {}", mail.text));
    let start = found.find("http").unwrap_or_else(|| panic!("not a whole link: {found}"));
    // What may stand around a link in a sentence is no part of it.
    found[start..].trim_end_matches(['>', ')', '.', ',']).to_owned()
}

/// The one token that the text part holds.
pub fn token(mail: &Received) -> String {
    let (_, rest) = mail.text.split_once("?token=").unwrap_or_else(|| panic!("no token: {}", mail.text));
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    rest.split(|c| !is_part(c)).next().unwrap().trim_end_matches('.').to_owned()
}

impl SmtpSink {
    /// Starts on a free port.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts with STARTTLS, and takes no mail without it.
    pub fn start_with_tls(cert_pem: &str, key_pem: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        fs::write(&cert, cert_pem).unwrap();
        fs::write(&key, key_pem).unwrap();
        let arguments = ["--tls", path_text(&cert), path_text(&key), "--require-starttls"];
        let arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        Self::start_in(folder, arguments, true)
    }

    /// Starts with further arguments of `smtp_sink.py`, such as `["--user", "doorward", "--password", "x"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start_in(tempfile::tempdir().unwrap(), arguments, false)
    }

    fn start_in(folder: TempDir, arguments: Vec<String>, has_tls: bool) -> Self {
        let (child, port) = spawn(folder.path(), 0, &arguments);
        Self { port, arguments, has_tls, folder, child, read: Mutex::default() }
    }

    /// Ends it at once: connections are cut, and new ones refused.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and with what it took before.
    pub fn start_again(&mut self) {
        let (child, port) = spawn(self.folder.path(), self.port, &self.arguments);
        assert_eq!(port, self.port);
        self.child = child;
    }

    /// What makes a service mail here.
    pub fn settings(&self) -> Settings {
        let (host, security) = if self.has_tls { ("localhost", "starttls") } else { ("127.0.0.1", "none") };
        vec![
            ("MAIL__TRANSPORT", "smtp".to_owned()),
            ("MAIL__FROM", "Doorward <no-reply@example.com>".to_owned()),
            ("MAIL__SMTP__URL", format!("smtp://{host}:{}", self.port)),
            ("MAIL__SMTP__SECURITY", security.to_owned()),
        ]
    }

    /// From now on mail to `@temporary.example` is taken.
    pub fn accept_temporary(&self) {
        fs::write(self.messages().join("accept-temporary"), "").unwrap();
    }

    /// From now on a message to `@tarpit.example` is answered at once.
    pub fn release_tarpit(&self) {
        fs::write(self.messages().join("release-tarpit"), "").unwrap();
    }

    /// How often this happened: `hello`, `temporary`, `permanent`, `tarpit`, `dropped` or `accepted`, each to an
    /// address but the first.
    pub fn count_of(&self, event: &str, address: Option<&str>) -> usize {
        let events = fs::read_to_string(self.messages().join("events.jsonl")).unwrap_or_default();
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|e| e["event"] == event && address.is_none_or(|address| e["address"] == address)).count()
    }

    /// Waits until it has happened that often.
    pub async fn wait_for_event(&self, event: &str, address: Option<&str>, times: usize, timeout: Duration) {
        let started = Instant::now();
        while self.count_of(event, address) < times {
            assert!(
                started.elapsed() < timeout,
                "{event} {address:?}: {} times in {timeout:?}, {times} expected",
                self.count_of(event, address)
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that it took, in order.
    pub fn received(&self) -> Vec<Received> {
        self.with_received(|all| all.values().cloned().collect())
    }

    /// Everything that it took for this address alone, in order.
    pub fn received_by(&self, address: &str) -> Vec<Received> {
        self.with_received(|all| all.values().filter(|mail| mail.is_to(address)).cloned().collect())
    }

    /// How many messages it took.
    pub fn count(&self) -> usize {
        self.with_received(std::collections::BTreeMap::len)
    }

    /// The token in the link to this page that was mailed to this address last.
    pub async fn token(&self, address: &str, page: &str) -> String {
        let mail = self.wait_for(|mail| mail.is_to(address) && mail.leads_to(page), Duration::from_secs(20)).await;
        token(&mail)
    }

    /// Waits for the first message like this, which may have come already.
    pub async fn wait_for(&self, what: impl Fn(&Received) -> bool, timeout: Duration) -> Received {
        let started = Instant::now();
        loop {
            if let Some(found) = self.with_received(|all| all.values().find(|mail| what(mail)).cloned()) {
                return found;
            }
            if started.elapsed() >= timeout {
                let took: Vec<_> = self.received().into_iter().map(|mail| (mail.envelope_to, mail.subject)).collect();
                panic!("no such mail within {timeout:?}, only {took:?}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until it has taken so many messages.
    pub async fn wait_until_count(&self, count: usize, timeout: Duration) {
        let started = Instant::now();
        while self.count() < count {
            assert!(started.elapsed() < timeout, "{} of {count} mails within {timeout:?}", self.count());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until it has taken so many messages for this address; returns the last of them.
    pub async fn wait_for_nth(&self, address: &str, n: usize, timeout: Duration) -> Received {
        let started = Instant::now();
        loop {
            let mut mails = self.received_by(address);
            if mails.len() >= n {
                return mails.swap_remove(n - 1);
            }
            assert!(started.elapsed() < timeout, "{address} has {} of {n} mails after {timeout:?}", mails.len());
            tokio::time::sleep(POLL).await;
        }
    }

    fn messages(&self) -> PathBuf {
        messages(self.folder.path())
    }

    /// Reads what is new. Messages never change, so each is read once.
    fn with_received<T>(&self, use_them: impl FnOnce(&BTreeMap<String, Received>) -> T) -> T {
        let mut known = self.read.lock().unwrap();
        for entry in fs::read_dir(self.messages()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let is_message = !name.starts_with('.') && Path::new(&name).extension().is_some_and(|end| end == "eml");
            if is_message && !known.contains_key(&name) {
                let path = self.messages().join(&name);
                let sidecar = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
                known.insert(name, Received::parse(&fs::read(path).unwrap(), &sidecar));
            }
        }
        use_them(&known)
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        // It may have been stopped.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}

/// How long to wait before looking again for what another process does.
const POLL: Duration = Duration::from_millis(10);

fn messages(folder: &Path) -> PathBuf {
    folder.join("messages")
}

fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn spawn(folder: &Path, port: u16, arguments: &[String]) -> (Child, u16) {
    let verifiers = std::env::var_os("DOORWARD_VERIFIERS").map(PathBuf::from);
    let verifiers = verifiers.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/verifiers"));
    let mut child = Command::new(verifiers.join("python/bin/python"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/smtp_sink.py"))
        .arg(messages(folder))
        .args(["--port", &port.to_string(), "--end-with-stdin"])
        .args(arguments)
        // Closed when this process ends, however that happens.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the SMTP server's Python is installed by ./test");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim_end().strip_prefix("listening ").expect("aiosmtpd is installed by ./test").parse().unwrap();
    (child, port)
}

/// A certificate for `localhost` and 127.0.0.1, and the authority that it comes from.
pub struct Certificates {
    pub ca_pem: String,
    pub cert_pem: String,
    pub key_pem: String,
}

/// Makes an authority that nobody else trusts, and a certificate of it.
pub fn certificates() -> Certificates {
    certificates_for(&["localhost", "127.0.0.1"])
}

/// The same for these names: for an authority that is trusted and a host that is another.
pub fn certificates_for(names: &[&str]) -> Certificates {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.distinguished_name.push(DnType::CommonName, "Doorward's tests");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::from_params(&ca, &ca_key);

    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "SMTP sink");
    params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    params.use_authority_key_identifier_extension = true;
    let cert_pem = params.signed_by(&key, &issuer).unwrap().pem();
    Certificates { ca_pem, cert_pem, key_pem: key.serialize_pem() }
}
