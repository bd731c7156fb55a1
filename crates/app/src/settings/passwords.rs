//! Reading the options of `password` that say what a new password is looked for in.

#![allow(clippy::needless_pass_by_value, reason = "each parser is handed to `Check` by value")]

use std::fs::File;
use std::io::{self, Read as _};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use doorward_auth::password::{CommonPasswords, PasswordScreen, PasswordScreens, WordList};
use doorward_screening::{
    BreachCheck, BreachCheckOptions, FilterError, OnFailure, PasswordFilter, UnusableBreachCheck,
};
use url::Url;

use super::check::Check;
use super::raw;

/// What a new password is looked for in, besides the embedded list of common ones.
///
/// # Defaults
///
/// Nothing.
#[derive(Clone, Debug, Default)]
pub struct ScreenSettings {
    /// Words of the operator's own.
    pub word_list: Option<WordList>,
    /// A filter of breached passwords on this machine.
    pub filter: Option<PasswordFilter>,
    /// A service that knows breached passwords.
    pub breach_check: Option<BreachCheck>,
}

impl ScreenSettings {
    /// Every screen, with what an operator knows it by: the embedded list first, the one that asks another machine last.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, Arc<dyn PasswordScreen>)> {
        let mut screens: Vec<(&'static str, Arc<dyn PasswordScreen>)> =
            vec![("the embedded list", Arc::new(CommonPasswords))];
        if let Some(words) = &self.word_list {
            screens.push(("`password.word_list`", Arc::new(words.clone())));
        }
        if let Some(filter) = &self.filter {
            screens.push(("`password.filter`", Arc::new(filter.clone())));
        }
        if let Some(breach_check) = &self.breach_check {
            screens.push(("`password.breach_check`", Arc::new(breach_check.clone())));
        }
        screens
    }

    /// All of them as one.
    #[must_use]
    pub fn screens(&self) -> PasswordScreens {
        PasswordScreens(self.named().into_iter().map(|(_, screen)| screen).collect())
    }
}

/// The settings. Files are read, or opened, here and now; nobody is asked yet.
pub(super) fn read(check: &mut Check, raw: raw::Password) -> ScreenSettings {
    ScreenSettings {
        word_list: check.or("password.word_list", raw.word_list, |path| read_word_list(path).map(Some), None),
        filter: check.or("password.filter", raw.filter, |path| open_filter(path).map(Some), None),
        breach_check: breach_check(check, raw.breach_check),
    }
}

fn read_word_list(path: PathBuf) -> Result<WordList, String> {
    const LONGEST: u64 = 64 * 1024 * 1024;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    let length = read.map_err(|error: io::Error| format!("names a file that cannot be read: {}", error.kind()))?;
    if u64::try_from(length).is_ok_and(|length| length > LONGEST) {
        return Err("names a file of more than 64 MiB".to_owned());
    }
    let text = str::from_utf8(&bytes).map_err(|_| "names a file that is not UTF-8")?;
    Ok(WordList::parse(text))
}

fn open_filter(path: PathBuf) -> Result<PasswordFilter, String> {
    PasswordFilter::open(&path).map_err(|error| match error {
        FilterError::Unreadable(error) => format!("names a file that cannot be read: {}", error.kind()),
        error => format!("names a file that {error}"),
    })
}

/// The public service.
const BREACH_CHECK: &str = "https://api.pwnedpasswords.com";

/// Whoever gives a URL is told what is wrong with it, whether or not it is used yet.
fn breach_check(check: &mut Check, raw: raw::BreachCheck) -> Option<BreachCheck> {
    let raw::BreachCheck { enabled, url, timeout, min_count, on_failure } = raw;
    let enabled = enabled.unwrap_or(false);
    let is_needed = enabled || url.is_some();
    let url = url.unwrap_or_else(|| BREACH_CHECK.to_owned());
    let url = check.required("password.breach_check.url", Some(url), |text| parse_url(&text));
    let timeout = check.or("password.breach_check.timeout", timeout, parse_timeout, BreachCheckOptions::TIMEOUT);
    let min_count = check.or("password.breach_check.min_count", min_count, parse_min_count, NonZeroU64::MIN);
    let on_failure = check.or("password.breach_check.on_failure", on_failure, parse_on_failure, OnFailure::default());
    let options = BreachCheckOptions { timeout, min_count, on_failure, ..BreachCheckOptions::new(url?) };
    if !is_needed {
        return None;
    }
    let breach_check: Result<_, UnusableBreachCheck> = BreachCheck::new(options);
    check.required("password.breach_check.url", Some(breach_check), |made| made).filter(|_| enabled)
}

fn parse_url(text: &str) -> Result<Url, &'static str> {
    Url::parse(text).map_err(|_| "must be a URL such as https://api.pwnedpasswords.com")
}

fn parse_timeout(text: String) -> Result<Duration, &'static str> {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);
    match humantime::parse_duration(&text) {
        Ok(duration) if (SHORTEST..=LONGEST).contains(&duration) => Ok(duration),
        _ => Err("must be a duration of 100ms to 10s, such as 2s"),
    }
}

fn parse_min_count(count: u64) -> Result<NonZeroU64, &'static str> {
    NonZeroU64::new(count).ok_or("must be at least 1")
}

fn parse_on_failure(text: String) -> Result<OnFailure, &'static str> {
    match text.as_str() {
        "refuse" => Ok(OnFailure::Refuse),
        "accept" => Ok(OnFailure::Accept),
        _ => Err("must be refuse or accept"),
    }
}
