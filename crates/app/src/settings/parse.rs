//! Reading options: every parser takes what its option holds.

#![allow(clippy::needless_pass_by_value, reason = "each parser is handed to `Check` by value")]

use std::fmt::Display;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Config, Environment, File, FileFormat};
use doorward_auth::password::pool::PoolSize;
use doorward_auth::token::SharedSecret;
use doorward_auth::{Difficulty, InvalidDifficulty, MasterKey, ProofRules, RegistrationMode, ThrottlePolicy};
use doorward_domain::{KeyAlgorithm, PasswordPolicy, SessionPolicy};
use doorward_http::{ForwardedHeader, HttpLimits, Origin, OriginList, Proxies};
use doorward_persistence::OpenError;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::filter::{LevelFilter, Targets};
use url::{Host, Url};

use super::check::{Check, InvalidSettings, OptionError};
use super::raw::{List, Raw};
use super::{ConnectionLimits, LogFormat, LogSettings, ServerSettings, Settings, TaskSettings};
use super::{limits, mail, pages, passwords, webhooks};
use crate::StartError;

/// Reads what `doorward serve` runs with: a TOML file where there is one, overridden by the environment
/// (`DOORWARD__DATABASE__URL` is `database.url`).
///
/// # Errors
///
/// [`InvalidSettings`] naming every option that is missing, unknown, unreadable or unsafe.
pub fn load_serve(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Settings, ServerSettings), InvalidSettings> {
    let mut raw = read(file, environment)?;
    let mut check = Check::default();
    let public_url = check.required("public_url", raw.public_url.as_deref(), parse_public_url);
    let database_url = check.secret("database.url", raw.database.url.clone(), raw.database.url_file.as_deref());
    let master_key =
        check.secret("secrets.master_key", raw.secrets.master_key.clone(), raw.secrets.master_key_file.as_deref());
    let master_key = check.required("secrets.master_key", master_key, |text| MasterKey::from_base64(&text));
    let database_url = check.required("database.url", database_url, parse_database_url);
    let mail = mail::read(&mut check, std::mem::take(&mut raw.mail), None);
    let (Some(public_url), Some(database_url), Some(master_key), Some(mail)) =
        (public_url, database_url, master_key, mail)
    else {
        return Err(InvalidSettings(check.0));
    };
    let settings = Settings::new(public_url, database_url, master_key, mail);
    finish(check, raw, settings, SocketAddr::from(([127, 0, 0, 1], 8080)), LogFormat::Json)
}

/// Reads what `doorward dev` runs with: its own defaults, overridden by the environment.
///
/// # Errors
///
/// [`InvalidSettings`] as for [`load_serve`].
pub fn load_dev(
    environment: impl IntoIterator<Item = (String, String)>,
    listen: SocketAddr,
    database_url: SecretString,
    master_key: MasterKey,
    mail_folder: PathBuf,
) -> Result<(Settings, ServerSettings), InvalidSettings> {
    let mut raw = read(None, environment)?;
    let mut check = Check::default();
    for (name, given) in [
        ("listen", raw.listen.is_some()),
        ("public_url", raw.public_url.is_some()),
        ("database.url", raw.database.url.is_some() || raw.database.url_file.is_some()),
        ("secrets.master_key", raw.secrets.master_key.is_some() || raw.secrets.master_key_file.is_some()),
    ] {
        if given {
            check.note(name, "is set by `doorward dev` itself; use --listen and --data, or `doorward serve`");
        }
    }
    let own = |host: &str| Url::parse(&format!("http://{host}:{}", listen.port()));
    let (Ok(public_url), Ok(by_address)) = (own("localhost"), Url::parse(&format!("http://{listen}"))) else {
        check.note("listen", "must have a port");
        return Err(InvalidSettings(check.0));
    };
    let Some(mail) = mail::read(&mut check, std::mem::take(&mut raw.mail), Some(mail_folder)) else {
        return Err(InvalidSettings(check.0));
    };
    let mut settings = Settings::new(public_url, database_url, master_key, mail);
    settings.registration = RegistrationMode::Open;
    // Everybody comes from this machine, tests that register by the dozen among them.
    settings.throttles = ThrottlePolicy::without_clients();
    settings.cookie_origins = OriginList(Origin::of(&by_address).into_iter().collect());
    finish(check, raw, settings, listen, LogFormat::Text)
}

fn read(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Raw, InvalidSettings> {
    let unreadable =
        |option: &str, problem: String| InvalidSettings(vec![OptionError { option: option.to_owned(), problem }]);
    let mut builder = Config::builder();
    if let Some(path) = file {
        let text = fs::read_to_string(path)
            .map_err(|error| unreadable("--config", format!("{} cannot be read: {error}", path.display())))?;
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let environment = Environment::with_prefix("DOORWARD")
        .prefix_separator("__")
        .separator("__")
        .source(Some(environment.into_iter().collect()));
    let config = builder
        .add_source(environment)
        .build()
        .map_err(|error| unreadable("--config", format!("is not valid TOML{}", place(&error.to_string()))))?;
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let option = if path == "." { "configuration".to_owned() } else { path };
        unreadable(&option, expectation(&error.into_inner().to_string()))
    })
}

/// Where a TOML error is. Its message goes on with the line itself, which may hold a secret.
fn place(message: &str) -> String {
    let place = message.split_once(" at line ").and_then(|(_, rest)| rest.lines().next());
    place.map_or(String::new(), |place| format!(", at line {}", place.trim_end_matches(':')))
}

/// What an option takes, from the message of a deserializer, without the value that it got instead.
fn expectation(message: &str) -> String {
    match message.split_once(", expected ") {
        Some(_) if message.starts_with("unknown field") => message.lines().next().unwrap_or_default().to_owned(),
        Some((_, expected)) => {
            let expected = expected.lines().next().unwrap_or_default();
            let expected = expected.split(" for key ").next().unwrap_or_default();
            if expected.starts_with("struct") {
                "must be a table of options".to_owned()
            } else {
                format!("must be {expected}")
            }
        }
        None => "has a value of another kind than it takes".to_owned(),
    }
}

/// Reads everything that has a default.
fn finish(
    mut check: Check,
    raw: Raw,
    mut settings: Settings,
    default_listen: SocketAddr,
    default_format: LogFormat,
) -> Result<(Settings, ServerSettings), InvalidSettings> {
    let listen = check.or("listen", raw.listen, parse_listen, default_listen);
    let proxies = &mut settings.trusted_proxies;
    proxies.proxies = check.or("trusted_proxies", raw.trusted_proxies, parse_proxies, Proxies::default());
    proxies.header =
        check.or("forwarded_header", raw.forwarded_header, parse_forwarded_header, ForwardedHeader::default());
    settings.cors_origins = check.or("cors.origins", raw.cors.origins, parse_origins, OriginList::default());

    let database = &mut settings.database;
    database.max_connections =
        check.or("database.max_connections", raw.database.max_connections, parse_connections, database.max_connections);
    database.schema = check.or("database.schema", raw.database.schema, |text| text.parse(), database.schema.clone());
    database.migrate = raw.database.migrate.unwrap_or(database.migrate);

    settings.registration =
        check.or("registration.mode", raw.registration.mode, parse_registration, settings.registration);
    settings.passwords.min_length =
        check.or("password.min_length", raw.password.min_length, parse_min_length, settings.passwords.min_length);
    settings.passwords.service_name.clone_from(&settings.mail.service_name);
    settings.argon2 = check.argon2(&raw.password.argon2, settings.argon2);
    settings.screens = passwords::read(&mut check, raw.password);
    let workers = check.or("hashing.workers", raw.hashing.workers, parse_workers, settings.hashing.workers);
    settings.hashing = PoolSize::with_workers(workers);
    settings.hashing.queue = check.or("hashing.queue", raw.hashing.queue, parse_queue, settings.hashing.queue);

    let rules = check.or("proof_of_work.on", raw.proof_of_work.on, parse_proofs, ProofRules::default());
    let difficulty = check.or("proof_of_work.difficulty", raw.proof_of_work.difficulty, parse_difficulty, None);
    settings.proofs = ProofRules { difficulty, ..rules };

    let tokens = &mut settings.tokens;
    tokens.algorithm = check.or("tokens.algorithm", raw.tokens.algorithm, |text| text.parse(), KeyAlgorithm::default());
    tokens.issuer = check.or("tokens.issuer", raw.tokens.issuer, |text| non_empty(text).map(Some), None);
    tokens.audience = check.or("tokens.audience", raw.tokens.audience, |text| non_empty(text).map(Some), None);
    tokens.lifetime = check.or("tokens.access_ttl", raw.tokens.access_ttl, parse_token_lifetime, tokens.lifetime);
    if tokens.algorithm == KeyAlgorithm::Hs256 && raw.tokens.rotate_after.is_some() {
        check.note("tokens.rotate_after", "is not for `tokens.algorithm` HS256, whose secret is yours to change");
    }
    tokens.rotate_after =
        check.or("tokens.rotate_after", raw.tokens.rotate_after, parse_rotate_after, tokens.rotate_after);
    let secret = check.secret("tokens.secret", raw.tokens.secret, raw.tokens.secret_file.as_deref());
    tokens.shared_secret = check.or("tokens.secret", secret, |text| SharedSecret::parse(&text).map(Some), None);
    match (tokens.algorithm, &tokens.shared_secret) {
        (KeyAlgorithm::Hs256, None) => check.note("tokens.secret", "is required with `tokens.algorithm` HS256"),
        (KeyAlgorithm::Hs256, Some(_)) | (_, None) => {}
        (_, Some(_)) => check.note("tokens.secret", "is for `tokens.algorithm` HS256 alone"),
    }

    let SessionPolicy { idle, absolute, reuse_window, most_per_user } = settings.sessions;
    settings.sessions.idle = check.or("sessions.idle", raw.sessions.idle, parse_duration, idle);
    settings.sessions.absolute = check.or("sessions.absolute", raw.sessions.absolute, parse_duration, absolute);
    settings.sessions.reuse_window =
        check.or("sessions.reuse_window", raw.sessions.reuse_window, parse_reuse_window, reuse_window);
    settings.sessions.most_per_user =
        check.or("sessions.most_per_user", raw.sessions.most_per_user, at_least_one, most_per_user);
    settings.staleness = check.or("sessions.staleness", raw.sessions.staleness, parse_staleness, settings.staleness);
    settings.clients = check.clients(raw.clients.unwrap_or_default().0);
    settings.webhooks = webhooks::read(&mut check, raw.webhooks.unwrap_or_default().0);

    let TaskSettings { most_per_user } = TaskSettings::default();
    let most_per_user = check.or("tasks.most_per_user", raw.tasks.most_per_user, at_least_one, most_per_user);
    settings.tasks = raw.tasks.enabled.unwrap_or(true).then_some(TaskSettings { most_per_user });

    settings.pages = pages::read(&mut check, raw.pages, &settings.mail.service_name);

    settings.throttles = limits::read(&mut check, &raw.limits, settings.throttles);
    settings.event_retention =
        check.or("events.retention", raw.events.retention, parse_retention, settings.event_retention);

    let HttpLimits { body_timeout, request_timeout } = settings.limits;
    settings.limits.body_timeout =
        check.or("limits.body_timeout", raw.limits.body_timeout, parse_duration, body_timeout);
    settings.limits.request_timeout =
        check.or("limits.request_timeout", raw.limits.request_timeout, parse_duration, request_timeout);
    let ConnectionLimits { header_timeout, max_connections } = ConnectionLimits::default();
    let connections = ConnectionLimits {
        header_timeout: check.or("limits.header_timeout", raw.limits.header_timeout, parse_duration, header_timeout),
        max_connections: check.or("limits.max_connections", raw.limits.max_connections, at_least_one, max_connections),
    };
    let log = LogSettings {
        format: check.or("log.format", raw.log.format, parse_log_format, default_format),
        level: check.or("log.level", raw.log.level, parse_log_level, Targets::new().with_default(LevelFilter::INFO)),
    };
    if check.0.is_empty() {
        Ok((settings, ServerSettings { listen, connections, log }))
    } else {
        Err(InvalidSettings(check.0))
    }
}

fn parse_public_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL such as https://auth.example.com")?;
    let local = match url.host() {
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("must be a URL with a host"),
    };
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err("must be a URL without user, query and fragment");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if local => Ok(url),
        "http" => Err("must be https; plain http is for localhost alone"),
        _ => Err("must be an https URL"),
    }
}

fn parse_database_url(text: SecretString) -> Result<SecretString, &'static str> {
    match crate::database::check_database_url(text.expose_secret()) {
        Ok(()) => Ok(text),
        Err(StartError::DatabaseUrl) => Err("must begin with sqlite: or postgres:"),
        Err(StartError::Database(OpenError::NotAFile)) => Err("must name a file for SQLite"),
        Err(_) => Err("must be a URL that SQLite or PostgreSQL understands"),
    }
}

fn parse_listen(text: String) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an address and a port such as 127.0.0.1:8080")
}

fn parse_proxies(list: List) -> Result<Proxies, &'static str> {
    if let [hops] = list.0.as_slice()
        && let Ok(hops) = hops.parse::<u8>()
        && (1..=16).contains(&hops)
    {
        return Ok(Proxies::Hops(hops));
    }
    let network = |text: &String| text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(Into::into));
    let networks: Result<Vec<_>, _> = list.0.iter().map(network).collect();
    networks
        .map(Proxies::Networks)
        .map_err(|_| "must be networks or addresses such as 10.0.0.0/8, or the number of proxies, 1 to 16")
}

fn parse_forwarded_header(text: String) -> Result<ForwardedHeader, &'static str> {
    match text.as_str() {
        "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
        "forwarded" => Ok(ForwardedHeader::Forwarded),
        _ => Err("must be x-forwarded-for or forwarded"),
    }
}

/// How long the security log is kept; `forever` for what nobody deletes.
fn parse_retention(text: String) -> Result<Option<Duration>, &'static str> {
    const SHORTEST: Duration = Duration::from_hours(24);
    if text == "forever" {
        return Ok(None);
    }
    match humantime::parse_duration(&text) {
        Ok(retention) if retention >= SHORTEST => Ok(Some(retention)),
        _ => Err("must be a duration of at least 1d, such as 365d, or forever"),
    }
}

fn parse_origins(list: List) -> Result<OriginList, impl Display> {
    list.0.iter().map(|text| Origin::parse(text)).collect::<Result<Vec<_>, _>>().map(OriginList)
}

fn parse_registration(text: String) -> Result<RegistrationMode, &'static str> {
    match text.as_str() {
        "verified" => Ok(RegistrationMode::Verified),
        "open" => Ok(RegistrationMode::Open),
        "closed" => Ok(RegistrationMode::Closed),
        _ => Err("must be verified, open or closed"),
    }
}

fn parse_min_length(length: usize) -> Result<usize, String> {
    let least = PasswordPolicy::LEAST_MIN_LENGTH;
    if (least..=64).contains(&length) { Ok(length) } else { Err(format!("must be between {least} and 64")) }
}

fn parse_workers(workers: usize) -> Result<usize, &'static str> {
    if (1..=256).contains(&workers) { Ok(workers) } else { Err("must be between 1 and 256") }
}

fn parse_queue(places: usize) -> Result<usize, &'static str> {
    if places <= 100_000 { Ok(places) } else { Err("must be at most 100000") }
}

fn parse_difficulty(bits: u32) -> Result<Option<Difficulty>, InvalidDifficulty> {
    match u8::try_from(bits).map_err(|_| InvalidDifficulty)? {
        0 => Ok(None),
        bits => Difficulty::new(bits).map(Some),
    }
}

fn parse_proofs(list: List) -> Result<ProofRules, &'static str> {
    let mut rules = ProofRules { difficulty: None, register: false, reset: false, login_failures: false };
    for word in &list.0 {
        match word.as_str() {
            "register" => rules.register = true,
            "reset" => rules.reset = true,
            "login_failures" => rules.login_failures = true,
            _ => return Err("must be a list of register, reset and login_failures"),
        }
    }
    if list.0.is_empty() { Err("must not be empty; `proof_of_work.difficulty` 0 asks for none") } else { Ok(rules) }
}

fn parse_connections(connections: u32) -> Result<u32, &'static str> {
    if (1..=1_000).contains(&connections) { Ok(connections) } else { Err("must be between 1 and 1000") }
}

fn at_least_one<N: PartialOrd + From<u8>>(number: N) -> Result<N, &'static str> {
    if number >= N::from(1) { Ok(number) } else { Err("must be at least 1") }
}

/// A name that people read.
pub(super) fn one_line(text: String) -> Result<String, &'static str> {
    let text = non_empty(text)?;
    if text.chars().any(char::is_control) || text.chars().count() > 64 {
        return Err("must be one line of at most 64 characters");
    }
    Ok(text)
}

pub(super) fn non_empty(text: String) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("must not be empty") } else { Ok(text) }
}

fn parse_duration(text: String) -> Result<Duration, &'static str> {
    match humantime::parse_duration(&text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be a duration such as 10s, 15m or 30d"),
    }
}

fn parse_reuse_window(text: String) -> Result<Duration, &'static str> {
    const LONGEST: Duration = Duration::from_mins(5);
    match humantime::parse_duration(&text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        _ => Err("must be a duration of at most 5m, such as 10s"),
    }
}

fn parse_staleness(text: String) -> Result<Duration, &'static str> {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_hours(1);
    match humantime::parse_duration(&text) {
        Ok(duration) if (SHORTEST..=LONGEST).contains(&duration) => Ok(duration),
        _ => Err("must be a duration of 1s to 1h, such as 30s"),
    }
}

fn parse_rotate_after(text: String) -> Result<Duration, &'static str> {
    const SHORTEST: Duration = Duration::from_hours(24);
    /// Ten years, leap days and all.
    const LONGEST: Duration = Duration::from_hours(24 * 3_653);
    match humantime::parse_duration(&text) {
        Ok(duration) if (SHORTEST..=LONGEST).contains(&duration) => Ok(duration),
        _ => Err("must be a duration of 1d to 10y, such as 90d"),
    }
}

fn parse_token_lifetime(text: String) -> Result<Duration, &'static str> {
    const LONGEST: Duration = Duration::from_hours(24);
    match humantime::parse_duration(&text) {
        Ok(duration) if duration >= Duration::from_secs(1) && duration <= LONGEST && duration.subsec_nanos() == 0 => {
            Ok(duration)
        }
        _ => Err("must be a duration of whole seconds, at most 24h, such as 10m"),
    }
}

fn parse_log_format(text: String) -> Result<LogFormat, &'static str> {
    match text.as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json"),
    }
}

fn parse_log_level(text: String) -> Result<Targets, &'static str> {
    // A word that is no level would be read as the name of a module, and everything else be silenced.
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    let sound = text.split(',').all(|part| match part.rsplit_once('=') {
        Some((module, level)) => !module.trim().is_empty() && is_level(level),
        None => is_level(part),
    });
    text.parse()
        .ok()
        .filter(|_| sound)
        .ok_or("must be error, warn, info, debug, trace, or a filter of these by module, such as info,sqlx=warn")
}
