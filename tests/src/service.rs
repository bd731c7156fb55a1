//! The built binary, running.

use std::fs::File;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::smtp::SmtpSink;
use crate::{keep, postgres};

/// Which database a service keeps everything in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    pub const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// A running `doorward serve`, killed when it is dropped.
pub struct Service {
    pub address: SocketAddr,
    pub database_url: String,
    pub schema: String,
    settings: Vec<(String, String)>,
    folder: TempDir,
    child: Child,
}

/// Mail into the folder `mail` of the working directory.
pub const FILE_MAIL: [(&str, &str); 3] =
    [("MAIL__TRANSPORT", "file"), ("MAIL__DIRECTORY", "mail"), ("MAIL__FROM", "no-reply@example.com")];

/// What one client may do, without limits.
pub const NO_CLIENT_LIMITS: [(&str, &str); 7] = [
    ("LIMITS__LOGIN_BY_CLIENT", "off"),
    ("LIMITS__REGISTER_BY_CLIENT", "off"),
    ("LIMITS__MAIL_BY_CLIENT", "off"),
    ("LIMITS__TOKEN_BY_CLIENT", "off"),
    ("LIMITS__REFRESH_BY_CLIENT", "off"),
    ("LIMITS__REFRESH_BY_SESSION", "off"),
    ("LIMITS__REQUESTS_BY_CLIENT", "off"),
];

/// A master key for tests.
pub const MASTER_KEY: &str = "3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=";

impl Service {
    /// Starts with `registration.mode = open` and these further settings, such as `("TOKENS__ACCESS_TTL", "1s")`.
    pub fn start(database: Database, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (database_url, schema) = place(database, &folder);
        Self::start_in(folder, database_url, schema, owned(settings), &[])
    }

    /// The same with a configuration file, for what the environment has no form for.
    pub fn start_with_file(database: Database, file: &str, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), file).unwrap();
        keep::settings_file(file);
        let (database_url, schema) = place(database, &folder);
        Self::start_in(folder, database_url, schema, owned(settings), &[])
    }

    /// Changes the configuration file for the next start.
    pub fn write_file(&self, file: &str) {
        keep::settings_file(file);
        std::fs::write(self.folder.path().join(FILE), file).unwrap();
    }

    /// Starts on a database that is there already.
    pub fn start_on(database_url: String, settings: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), database_url, String::new(), owned(settings), &[])
    }

    /// Starts on SQLite under another program, such as strace.
    pub fn start_under(wrapper: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("doorward.db").display());
        Self::start_in(folder, url, String::new(), Vec::new(), wrapper)
    }

    /// A second node on the same database.
    pub fn another_node(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if let Ok(file) = std::fs::read(self.folder.path().join(FILE)) {
            std::fs::write(folder.path().join(FILE), file).unwrap();
        }
        Self::start_in(folder, self.database_url.clone(), self.schema.clone(), self.settings.clone(), &[])
    }

    fn start_in(
        folder: TempDir,
        database_url: String,
        schema: String,
        settings: Vec<(String, String)>,
        wrapper: &[&str],
    ) -> Self {
        let address = free_address();
        let environment = environment(address, &database_url, &schema, &settings);
        let child = spawn(&environment, folder.path(), wrapper);
        let mut service = Self { address, database_url, schema, settings, folder, child };
        service.wait_until_answering();
        service
    }

    /// Starts with `registration.mode = verified`, mails to this server, and these further settings.
    pub fn start_with_mail(database: Database, sink: &SmtpSink, settings: &[(&str, &str)]) -> Self {
        let mail = sink.settings();
        let mut all: Vec<(&str, &str)> = vec![("REGISTRATION__MODE", "verified")];
        all.extend(mail.iter().map(|(name, value)| (*name, value.as_str())));
        all.extend(settings);
        Self::start(database, &all)
    }

    /// Runs another command of the binary with the same settings, such as `&["mail", "list", "--json"]`.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(arguments, &[])
    }

    /// The same with some settings changed.
    pub fn command_with(&self, arguments: &[&str], changes: &[(&str, &str)]) -> Output {
        let settings = [self.settings.clone(), owned(changes)].concat();
        Command::new(binary())
            .args(arguments)
            .args(file_argument(self.folder.path()))
            .env_clear()
            .envs(environment(self.address, &self.database_url, &self.schema, &settings))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs another command that has to succeed; returns what it printed.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Changes a setting for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Which kind its database is.
    pub fn database(&self) -> Database {
        if self.database_url.starts_with("sqlite:") { Database::Sqlite } else { Database::Postgres }
    }

    /// The schema that it was told to use, in whichever way.
    fn schema_in_use(&self) -> &str {
        let told = self.settings.iter().rev().find(|(name, _)| name == "DATABASE__SCHEMA");
        match told {
            Some((_, schema)) => schema,
            None if self.schema.is_empty() => "doorward",
            None => &self.schema,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends a service that runs under another program, together with that.
    pub fn kill_group(&mut self) {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid())).unwrap();
        for child in children.split_whitespace() {
            let pid = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        self.child.wait().unwrap();
    }

    /// Asks it to end, and waits.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal_end();
        self.child.wait().unwrap()
    }

    pub fn signal_end(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub fn has_exited(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Starts it again on the same database and address.
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_until_answering();
    }

    /// Starts it again and does not wait.
    pub fn spawn_again(&mut self) {
        let environment = environment(self.address, &self.database_url, &self.schema, &self.settings);
        self.child = spawn(&environment, self.folder.path(), &[]);
    }

    /// Waits for it to end by itself.
    pub fn wait_until_ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the service goes on: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that it has logged.
    pub fn log(&self) -> String {
        let mut text = String::new();
        File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn wait_until_answering(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() || !self.log().contains("answering") {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended with {status}: {}", self.log());
            }
            assert!(started.elapsed() < Duration::from_secs(60), "the service did not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
        if keep::folder().is_some() && !std::thread::panicking() {
            keep::log(&self.folder.path().join("log"));
            keep::database(self.database(), &self.database_url, self.schema_in_use());
        }
    }
}

/// The configuration file of a service that has one, in its folder.
const FILE: &str = "doorward.toml";

fn file_argument(folder: &Path) -> &'static [&'static str] {
    if folder.join(FILE).exists() { &["--config", FILE] } else { &[] }
}

/// A new database: its URL, and its schema where there is more than one.
fn place(database: Database, folder: &TempDir) -> (String, String) {
    match database {
        Database::Sqlite => (format!("sqlite:{}", folder.path().join("doorward.db").display()), String::new()),
        Database::Postgres => (postgres::url().to_owned(), postgres::fresh_schema()),
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn environment(
    address: SocketAddr,
    database_url: &str,
    schema: &str,
    settings: &[(String, String)],
) -> Vec<(String, String)> {
    let mut environment: Vec<(String, String)> = [
        ("PUBLIC_URL", format!("http://localhost:{}", address.port())),
        ("LISTEN", address.to_string()),
        ("DATABASE__URL", database_url.to_owned()),
        ("SECRETS__MASTER_KEY", MASTER_KEY.to_owned()),
        ("REGISTRATION__MODE", "open".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    // Every test comes from one address.
    environment.extend(NO_CLIENT_LIMITS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    if !schema.is_empty() {
        environment.push(("DATABASE__SCHEMA".to_owned(), schema.to_owned()));
    }
    // Mail goes into the service's folder, unless the test says where.
    if !settings.iter().any(|(name, _)| name == "MAIL__TRANSPORT") {
        environment.extend(FILE_MAIL.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    for (name, value) in settings {
        environment.retain(|(known, _)| known != name);
        environment.push((name.clone(), value.clone()));
    }
    keep::settings(environment.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    environment.into_iter().map(|(name, value)| (format!("DOORWARD__{name}"), value)).collect()
}

fn spawn(environment: &[(String, String)], folder: &Path, wrapper: &[&str]) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    // A restart appends; what it waits for must be its own line.
    keep::log(&folder.join("log"));
    log.set_len(0).unwrap();
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([binary().as_os_str(), "serve".as_ref()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(file_argument(folder))
        .env_clear()
        .envs(level_to_keep(environment, folder))
        .envs(environment.iter().cloned())
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Everything, where logs are kept and the test has no level of its own.
fn level_to_keep(environment: &[(String, String)], folder: &Path) -> Option<(&'static str, &'static str)> {
    const LEVEL: &str = "DOORWARD__LOG__LEVEL";
    keep::folder()?;
    let file = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let has_own = environment.iter().any(|(name, _)| name == LEVEL) || file.contains("[log]");
    (!has_own).then_some((LEVEL, "trace"))
}

/// An address that nobody listens on. The port stays free between here and the service's start because the
/// kernel hands out others first.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The binary, built once for the run in the profile that the tests have.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "doorward", "--bin", "doorward"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the binary could not be built");
        target_folder().join("doorward")
    })
}

/// Where cargo puts executables of the profile that the tests have.
pub fn target_folder() -> PathBuf {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    // This executable is target/<profile>/deps/<name> or target/<profile>/<name>.
    let own = std::env::current_exe().unwrap();
    own.ancestors().find(|folder| folder.ends_with(profile)).unwrap().to_owned()
}
