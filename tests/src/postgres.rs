//! One PostgreSQL server for the whole test run, started from the binaries that are on the machine.
//!
//! `DOORWARD_TEST_POSTGRES` names another server by its URL. Without that and without binaries the tests fail;
//! they are never skipped. Its user must be no superuser; `DOORWARD_TEST_POSTGRES_SUPERUSER` names one.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

static SERVER: OnceLock<String> = OnceLock::new();
static SCHEMAS: AtomicUsize = AtomicUsize::new(0);

/// The URL of the run's server.
pub fn url() -> &'static str {
    SERVER.get_or_init(|| std::env::var("DOORWARD_TEST_POSTGRES").unwrap_or_else(|_| start()))
}

/// Host and port of the run's server.
pub fn address() -> &'static str {
    let (_, rest) = user_and_rest();
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// The user that the run's server knows, and its password, which may be empty.
pub fn credentials() -> (&'static str, &'static str) {
    let (user, _) = user_and_rest();
    user.split_once(':').unwrap_or((user, ""))
}

fn user_and_rest() -> (&'static str, &'static str) {
    let (_, rest) = url().split_once("://").expect("the URL of the tests' PostgreSQL has a scheme");
    rest.rsplit_once('@').expect("the URL of the tests' PostgreSQL names a user")
}

/// A schema name that nobody else in this run has.
pub fn fresh_schema() -> String {
    let n = SCHEMAS.fetch_add(1, Ordering::SeqCst);
    format!("t_{}_{n}", std::process::id())
}

/// The newest PostgreSQL among the system's packages, or the one on the path.
fn binaries() -> PathBuf {
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .collect();
    packaged.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    packaged
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .expect(
            "the tests need PostgreSQL: install it (Debian: apt-get install postgresql) or name a server in \
             DOORWARD_TEST_POSTGRES",
        )
}

/// Starts a server that ends with this process.
fn start() -> String {
    let binaries = binaries();
    let folder = tempfile::Builder::new().prefix("doorward-postgres-").tempdir().unwrap().keep();
    let data = folder.join("data");
    let user = unprivileged_user();
    if let Some((_, uid, gid)) = &user {
        chown(&folder, Some(*uid), Some(*gid)).unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let initdb = as_user(user.as_ref(), &binaries.join("initdb"))
        .args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(initdb.success(), "initdb failed");
    make_role(as_user(user.as_ref(), &binaries.join("postgres")), &data);
    #[expect(clippy::zombie_processes, reason = "the watchdog ends it together with this process")]
    let server = as_user(user.as_ref(), &binaries.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-k"])
        .arg(&folder)
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300"])
        .args(["-c", if cfg!(debug_assertions) { "fsync=off" } else { "fsync=on" }])
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap();
    wait_until_ready(&data);
    end_with_this_process(&server, &folder);
    format!("postgres://doorward@127.0.0.1:{port}/postgres")
}

/// Makes the role that services have: no superuser, since policies do not hold for one.
fn make_role(mut postgres: Command, data: &Path) {
    postgres.args(["--single", "-D"]).arg(data).arg("postgres");
    let mut child = postgres.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let statements = "CREATE ROLE doorward LOGIN\nGRANT CREATE ON DATABASE postgres TO doorward\n\
                      GRANT CREATE ON SCHEMA public TO doorward\n";
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "the role could not be made");
}

/// The URL of the run's server for its superuser.
pub fn superuser_url() -> String {
    std::env::var("DOORWARD_TEST_POSTGRES_SUPERUSER")
        .unwrap_or_else(|_| format!("postgres://postgres@{}/postgres", address()))
}

/// PostgreSQL refuses to run as root, so somebody else has to.
pub(crate) fn unprivileged_user() -> Option<(String, u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].into_iter().find_map(|name| {
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((name.to_owned(), fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

pub(crate) fn as_user(user: Option<&(String, u32, u32)>, program: &Path) -> Command {
    match user {
        None => Command::new(program),
        Some((_, uid, gid)) => {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.arg("--clear-groups").arg(program);
            command
        }
    }
}

/// The server notes in its lock file when it takes connections.
fn wait_until_ready(data: &Path) {
    let started = Instant::now();
    let is_ready = || fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("\nready"));
    while !is_ready() {
        assert!(started.elapsed() < Duration::from_secs(30), "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A shell that waits for this process to be gone and then stops the server, however this process ended.
fn end_with_this_process(server: &Child, folder: &Path) {
    let script = format!(
        "read -r _; kill -INT {pid}; while kill -0 {pid} 2>/dev/null; do sleep 0.1; done; rm -rf '{folder}'",
        pid = server.id(),
        folder = folder.display(),
    );
    #[expect(clippy::zombie_processes, reason = "it outlives this process by design")]
    let mut watchdog =
        Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    // The pipe closes when this process ends, and not before.
    std::mem::forget(watchdog.stdin.take());
}
