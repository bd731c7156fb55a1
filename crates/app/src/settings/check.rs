//! Collecting what is wrong with options, by their names.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use doorward_auth::password::Argon2Params;
use doorward_http::{ClientId, Clients, SecretDigest};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::raw::{self, Client};

/// What is wrong with a configuration, all of it.
#[derive(Debug, Error)]
pub struct InvalidSettings(pub Vec<OptionError>);

impl Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// What is wrong with one option. Never repeats a secret.
#[derive(Debug, Error)]
#[error("`{option}` {problem}")]
pub struct OptionError {
    /// Its name, such as `database.url`.
    pub option: String,
    /// What it takes.
    pub problem: String,
}

/// Collects what is wrong, so that one start tells as much as it can.
#[derive(Default)]
pub(super) struct Check(pub(super) Vec<OptionError>);

impl Check {
    pub(super) fn note(&mut self, option: &str, problem: impl Display) {
        self.0.push(OptionError { option: option.to_owned(), problem: problem.to_string() });
    }

    /// The value of an option that has a default.
    pub(super) fn or<T, V, E: Display>(
        &mut self,
        option: &str,
        given: Option<V>,
        parse: impl FnOnce(V) -> Result<T, E>,
        default: T,
    ) -> T {
        match given.map(parse) {
            None => default,
            Some(Ok(value)) => value,
            Some(Err(problem)) => {
                self.note(option, problem);
                default
            }
        }
    }

    /// The value of an option that has none.
    pub(super) fn required<T, V, E: Display>(
        &mut self,
        option: &str,
        given: Option<V>,
        parse: impl FnOnce(V) -> Result<T, E>,
    ) -> Option<T> {
        // An unreadable file has been noted under the same name already.
        if given.is_none() && !self.0.iter().any(|error| error.option.starts_with(option)) {
            self.note(option, "is required");
        }
        match parse(given?) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.note(option, problem);
                None
            }
        }
    }

    /// A secret, given itself or by the path of a file that holds it.
    pub(super) fn secret(
        &mut self,
        option: &str,
        given: Option<SecretString>,
        file: Option<&Path>,
    ) -> Option<SecretString> {
        match (given, file) {
            (Some(_), Some(_)) => {
                self.note(option, "is given twice, by itself and by its file (one may be in the configuration and one in the environment)");
                None
            }
            (given, None) => given,
            (None, Some(path)) => match fs::read_to_string(path).map(SecretString::from) {
                Ok(text) => Some(SecretString::from(text.expose_secret().trim_end_matches(['\r', '\n']).to_owned())),
                Err(error) => {
                    // Not the path: somebody may have given the secret in its place.
                    self.note(&format!("{option}_file"), format!("names a file that cannot be read: {}", error.kind()));
                    None
                }
            },
        }
    }

    /// The clients, each named by its place: what stands where an id belongs may be a secret.
    pub(super) fn clients(&mut self, raw: Vec<Client>) -> Clients {
        let mut clients = Clients::default();
        for (place, client) in raw.into_iter().enumerate() {
            let (id_option, digest_option) =
                (format!("clients[{place}].id"), format!("clients[{place}].secret_sha256"));
            let id = self.required(&id_option, client.id, |text| text.parse::<ClientId>());
            let digest = self.required(&digest_option, client.secret_sha256, |text| text.parse::<SecretDigest>());
            if let (Some(id), Some(digest)) = (id, digest)
                && let Err(refused) = clients.add(id, digest)
            {
                self.note(&id_option, refused);
            }
        }
        clients
    }

    pub(super) fn argon2(&mut self, raw: &raw::Argon2, default: Argon2Params) -> Argon2Params {
        let (memory_kib, iterations, parallelism) = default.parts();
        let given = Argon2Params::new(
            raw.memory_kib.unwrap_or(memory_kib),
            raw.iterations.unwrap_or(iterations),
            raw.parallelism.unwrap_or(parallelism),
        );
        given.unwrap_or_else(|problem| {
            use doorward_auth::password::InvalidArgon2Params as Invalid;
            let option = match problem {
                Invalid::Memory | Invalid::TooWeak => "password.argon2.memory_kib",
                Invalid::Iterations => "password.argon2.iterations",
                Invalid::Parallelism => "password.argon2.parallelism",
            };
            self.note(option, problem);
            default
        })
    }
}
