//! Reading how often what may be done.

use std::time::Duration;

use doorward_auth::ThrottlePolicy;
use doorward_domain::{GuessPolicy, Rate};

use super::check::Check;
use super::raw::Limits;

/// The limits; each that is not given is the default.
pub(super) fn read(check: &mut Check, raw: &Limits, default: ThrottlePolicy) -> ThrottlePolicy {
    let mut rate = |option: &str, given: &Option<String>, default| {
        check.or(&format!("limits.{option}"), given.as_deref(), parse_rate, default)
    };
    let policy = ThrottlePolicy {
        guesses: default.guesses,
        login_by_client: rate("login_by_client", &raw.login_by_client, default.login_by_client),
        register_by_client: rate("register_by_client", &raw.register_by_client, default.register_by_client),
        mail_by_client: rate("mail_by_client", &raw.mail_by_client, default.mail_by_client),
        token_by_client: rate("token_by_client", &raw.token_by_client, default.token_by_client),
        refresh_by_client: rate("refresh_by_client", &raw.refresh_by_client, default.refresh_by_client),
        refresh_by_session: rate("refresh_by_session", &raw.refresh_by_session, default.refresh_by_session),
        requests_by_client: rate("requests_by_client", &raw.requests_by_client, default.requests_by_client),
    };
    ThrottlePolicy { guesses: guesses(check, raw, default.guesses), ..policy }
}

fn guesses(check: &mut Check, raw: &Limits, default: GuessPolicy) -> GuessPolicy {
    let GuessPolicy { free, first_delay, longest_delay, most } = default;
    let policy = GuessPolicy {
        free: check.or("limits.password_free", raw.password_free, parse_guesses, free),
        first_delay: check.or(
            "limits.password_first_delay",
            raw.password_first_delay.as_deref(),
            parse_delay,
            first_delay,
        ),
        longest_delay: check.or(
            "limits.password_longest_delay",
            raw.password_longest_delay.as_deref(),
            parse_delay,
            longest_delay,
        ),
        most: check.or("limits.password_most", raw.password_most, parse_guesses, most),
    };
    if policy.longest_delay < policy.first_delay {
        check.note("limits.password_longest_delay", "must not be less than `limits.password_first_delay`");
    }
    if policy.most < policy.free {
        check.note("limits.password_most", "must not be less than `limits.password_free`");
    }
    policy
}

fn parse_guesses(number: u32) -> Result<u32, String> {
    // NIST SP 800-63B-4 section 3.2.2.
    let most = GuessPolicy::MOST;
    if (1..=most).contains(&number) { Ok(number) } else { Err(format!("must be between 1 and {most}")) }
}

fn parse_delay(text: &str) -> Result<Duration, &'static str> {
    const LONGEST: Duration = Duration::from_hours(24);
    match humantime::parse_duration(text) {
        Ok(delay) if (Duration::from_secs(1)..=LONGEST).contains(&delay) => Ok(delay),
        _ => Err("must be a duration of 1s to 1d, such as 30s"),
    }
}

/// So many in so much time, such as `20/1h`, or `off`.
fn parse_rate(text: &str) -> Result<Option<Rate>, &'static str> {
    const LONGEST: Duration = Duration::from_hours(31 * 24);
    if text == "off" {
        return Ok(None);
    }
    let rate = text.split_once('/').and_then(|(times, per)| {
        let times = times.trim().parse::<u32>().ok().filter(|times| (1..=1_000_000).contains(times))?;
        let per = humantime::parse_duration(per.trim()).ok()?;
        (Duration::from_secs(1)..=LONGEST).contains(&per).then(|| Rate::new(times, per))
    });
    rate.map(Some).ok_or("must be a number and a time, such as 20/1h, or off")
}
