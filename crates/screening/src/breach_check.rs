use std::error::Error;
use std::num::NonZeroU64;
use std::time::Duration;

use async_trait::async_trait;
use doorward_auth::password::{PasswordScreen, ScreenUnavailable};
use doorward_domain::Password;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use thiserror::Error;
use url::{Host, Url};

use crate::digest::PasswordDigest;

/// Asks a service that speaks the range protocol of Have I Been Pwned.
///
/// It is sent the first five digits of a password's SHA-1, and answers with the rest of each hash that it knows to begin
/// so: some hundreds, padded to a number that tells nothing about the five digits either. Which of these is meant, if
/// any, stays here. No part of the hash is ever logged.
#[derive(Clone, Debug)]
pub struct BreachCheck {
    client: Client,
    options: BreachCheckOptions,
}

/// Whom to ask, and what its word counts.
///
/// # Defaults
///
/// <https://api.pwnedpasswords.com>, which has 2 seconds for its answer; found once is enough; without an answer the
/// password is refused.
#[derive(Clone, Debug)]
pub struct BreachCheckOptions {
    /// Where the service is: what comes before `/range/`.
    pub url: Url,
    /// How long the whole answer may take.
    pub timeout: Duration,
    /// How many times a password has to be found to be refused.
    pub min_count: NonZeroU64,
    /// What becomes of a password when there is no answer.
    pub on_failure: OnFailure,
}

/// What becomes of a password of which nobody can tell whether it is common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is not set, and whoever chose it may try again later. The default.
    #[default]
    Refuse,
    /// It is taken as if it was not common, with a warning in the log.
    Accept,
}

/// Why a service cannot be asked at all.
#[derive(Debug, Error)]
pub enum UnusableBreachCheck {
    /// What is sent could be read on its way.
    #[error("must be https; plain http is for this machine alone")]
    Insecure,
    /// The path of a range is added at the end, so nothing may follow.
    #[error("must be a URL without user, query and fragment")]
    NotPlain,
    /// There is no client for HTTPS here, for one because the machine has no certificates to trust.
    #[error("cannot be asked: {0}")]
    HttpClient(#[source] reqwest::Error),
}

/// Why there is no answer. Names neither the URL, which holds digits of a hash, nor anything of the answer.
#[derive(Debug, Error)]
enum NoAnswer {
    #[error("the breach check does not answer in time")]
    Late,
    #[error("the breach check cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the breach check answers {0}")]
    Status(StatusCode),
    #[error("the answer of the breach check is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the answer of the breach check is no range of hashes")]
    Malformed,
}

/// The longest answer that is read. A range has less than 100 KB, padding included.
const LONGEST: usize = 1024 * 1024;
/// How many digits are sent.
const PREFIX: usize = 5;

impl BreachCheckOptions {
    /// How long an answer may take unless it is told otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(2);

    /// The defaults, with a service of one's choice.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, timeout: Self::TIMEOUT, min_count: NonZeroU64::MIN, on_failure: OnFailure::default() }
    }
}

impl BreachCheck {
    /// Gets ready to ask. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`UnusableBreachCheck`] for a URL that is none to ask at.
    pub fn new(options: BreachCheckOptions) -> Result<Self, UnusableBreachCheck> {
        let url = &options.url;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(UnusableBreachCheck::NotPlain);
        }
        let builder = Client::builder()
            // Digits of a hash go to the one who was chosen, and to nobody else.
            .redirect(Policy::none())
            .referer(false)
            .timeout(options.timeout)
            .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")));
        let client = match url.scheme() {
            "https" => builder.https_only(true).build(),
            // What is plain must not leave the machine through a proxy of the environment, and needs no certificates.
            "http" if is_loopback(url) => builder.no_proxy().tls_certs_only(Vec::new()).build(),
            _ => return Err(UnusableBreachCheck::Insecure),
        };
        Ok(Self { client: client.map_err(UnusableBreachCheck::HttpClient)?, options })
    }

    /// How many times a password was found.
    async fn count(&self, password: &Password) -> Result<u64, NoAnswer> {
        let digits = PasswordDigest::of(password).hex();
        let (prefix, suffix) = digits.split_at_checked(PREFIX).ok_or(NoAnswer::Malformed)?;
        let base = self.options.url.as_str().trim_end_matches('/');
        let request = self.client.get(format!("{base}/range/{prefix}")).header("Add-Padding", "true");
        let mut response = request.send().await?;
        if response.status() != StatusCode::OK {
            return Err(NoAnswer::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len().saturating_add(chunk.len()) > LONGEST {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        find(str::from_utf8(&body).map_err(|_| NoAnswer::Malformed)?, suffix)
    }
}

/// The count of a suffix in a range, 0 where it is missing. What has the count 0 itself is padding. Every line is read, so
/// that a page of something else is not taken for a range without the password.
fn find(range: &str, suffix: &str) -> Result<u64, NoAnswer> {
    // There is padding at least: nothing at all is no range.
    if range.trim().is_empty() {
        return Err(NoAnswer::Malformed);
    }
    let mut found: u64 = 0;
    for line in range.lines().filter(|line| !line.is_empty()) {
        let (listed, count) = line.split_once(':').ok_or(NoAnswer::Malformed)?;
        if listed.len() != suffix.len() || !listed.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoAnswer::Malformed);
        }
        let count: u64 = count.trim_end().parse().map_err(|_| NoAnswer::Malformed)?;
        if listed.eq_ignore_ascii_case(suffix) {
            found = found.max(count);
        }
    }
    Ok(found)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Late } else { Self::Unreachable(error.without_url()) }
    }
}

#[async_trait]
impl PasswordScreen for BreachCheck {
    async fn is_common(&self, password: &Password) -> Result<bool, ScreenUnavailable> {
        match (self.count(password).await, self.options.on_failure) {
            (Ok(count), _) => Ok(count >= self.options.min_count.get()),
            (Err(error), OnFailure::Refuse) => Err(ScreenUnavailable(error.into())),
            (Err(error), OnFailure::Accept) => {
                tracing::warn!(error = %causes(&error), "a password was accepted without the breach check");
                Ok(false)
            }
        }
    }
}

/// An error and its causes in one line.
fn causes(error: &dyn Error) -> String {
    let all = std::iter::successors(Some(error), |error| (*error).source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;
