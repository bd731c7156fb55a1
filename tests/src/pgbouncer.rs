//! A pooler in transaction mode between a service and the run's PostgreSQL.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres;
use crate::service::free_address;

/// A running `pgbouncer`, killed when it is dropped.
pub struct PgBouncer {
    url: String,
    child: Child,
    _folder: TempDir,
}

/// From this version on it carries prepared statements.
const CARRIES_STATEMENTS: (u32, u32) = (1, 21);

impl PgBouncer {
    /// Starts one with fewer connections to the server than two nodes have to it, so that they are really shared.
    pub fn start() -> Self {
        let program = program();
        let address = free_address();
        let folder = tempfile::Builder::new().prefix("doorward-pgbouncer-").tempdir().unwrap();
        let (user, password) = postgres::credentials();
        let (host, port) = postgres::address().rsplit_once(':').unwrap_or((postgres::address(), "5432"));
        // An older one that cannot carry statements from connection to connection drops them after each transaction
        // instead, and the client must not count on any.
        let (carrying, parameter) = if version(&program) >= CARRIES_STATEMENTS {
            ("max_prepared_statements = 200", "")
        } else {
            ("server_reset_query = DISCARD ALL\nserver_reset_query_always = 1", "statement-cache-capacity=0")
        };
        // It takes no empty value.
        let password = if password.is_empty() { String::new() } else { format!("password='{password}'") };
        let settings = format!(
            "[databases]\n* = host={host} port={port} user={user} {password}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 5\nmax_client_conn = 200\n\
             ignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\n{carrying}\n",
            address.port()
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        // It refuses to run as root, as the server does.
        let user = postgres::unprivileged_user();
        if let Some((_, uid, gid)) = &user {
            for path in [folder.path(), &file] {
                chown(path, Some(*uid), Some(*gid)).unwrap();
            }
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let mut child = postgres::as_user(user.as_ref(), &program)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            let said = || fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "pgbouncer ended: {}", said());
            assert!(started.elapsed() < Duration::from_secs(10), "pgbouncer did not start: {}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut url = postgres::url().replacen(postgres::address(), &address.to_string(), 1);
        if !parameter.is_empty() {
            url = format!("{url}{}{parameter}", if url.contains('?') { '&' } else { '?' });
        }
        Self { url, child, _folder: folder }
    }

    /// The URL of the database through the pooler.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}

/// Debian puts it where an ordinary user's path does not lead.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join("pgbouncer"))
        .find(|program| program.exists())
        .expect("the tests need pgbouncer: install it (Debian: apt-get install pgbouncer)")
}

/// The first two numbers of `PgBouncer 1.18.0`.
fn version(program: &Path) -> (u32, u32) {
    let output = Command::new(program).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let number = said.split_whitespace().nth(1).unwrap_or_else(|| panic!("no version in {said:?}"));
    let mut parts = number.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}
