use doorward_domain::{Letter, Mail, MailKind, Timestamp};
use serde::Serialize;

/// How much of a user agent is shown, in code points.
const MAX_DEVICE: usize = 80;

/// What the strings of a language file may name. A variable that a kind of mail has no use for is undefined in
/// it, so that a string which names it is refused when it is loaded and not when the mail is due.
///
/// The user's own name is not among them: whoever registers somebody else's address chooses that name, and
/// would have a text of theirs mailed to a stranger.
#[derive(Serialize)]
pub(crate) struct Values {
    service: String,
    to: String,
    when: String,
    ip: String,
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime: Option<String>,
}

impl Values {
    /// The values of one letter. `unknown` stands for what is not known, `lifetime` says how long the link works.
    pub(crate) fn of(letter: &Letter, service: &str, unknown: &str, lifetime: Option<String>) -> Self {
        let mail = &letter.mail;
        let known =
            |text: Option<String>| text.filter(|text| !text.trim().is_empty()).unwrap_or_else(|| unknown.to_owned());
        Self {
            service: fit(service),
            to: fit(mail.to.as_str()),
            when: minute(mail.created_at),
            ip: known(mail.client.ip.map(|ip| ip.to_string())),
            device: known(mail.client.user_agent.as_ref().map(|agent| device(agent.as_str()))),
            other_address: names_other_address(mail.kind).then(|| known(other_address(mail))),
            lifetime,
        }
    }

    pub(crate) fn when(&self) -> &str {
        &self.when
    }

    pub(crate) fn ip(&self) -> &str {
        &self.ip
    }

    pub(crate) fn device(&self) -> &str {
        &self.device
    }
}

/// Whether the mail shows where the request came from that caused it. Not in mails that anybody can have sent to
/// an address by typing it in: they would carry a text of the sender's to a stranger.
pub(crate) const fn shows_request(kind: MailKind) -> bool {
    match kind {
        MailKind::VerifyEmail | MailKind::AlreadyRegistered | MailKind::ResetPassword | MailKind::ChangeEmail => false,
        MailKind::EmailChangeRequested
        | MailKind::EmailChanged
        | MailKind::PasswordChanged
        | MailKind::NewDevice
        | MailKind::LoginAfterFailures
        | MailKind::RefreshReplayed => true,
    }
}

const fn names_other_address(kind: MailKind) -> bool {
    matches!(kind, MailKind::ChangeEmail | MailKind::EmailChangeRequested | MailKind::EmailChanged)
}

fn other_address(mail: &Mail) -> Option<String> {
    mail.other_address.as_ref().map(|address| fit(address.as_str()))
}

/// Replaces what could end a line or turn the words round it.
pub(crate) fn fit(text: &str) -> String {
    let unfit = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if unfit(c) { '\u{fffd}' } else { c }).collect()
}

fn device(user_agent: &str) -> String {
    // Mail clients make links of URLs, and a user agent is whatever its sender likes.
    let plain = fit(user_agent).replace("://", ": ");
    if plain.chars().count() <= MAX_DEVICE {
        return plain;
    }
    plain.chars().take(MAX_DEVICE - 1).chain(['…']).collect()
}

/// `2023-11-14 22:13 UTC`.
fn minute(moment: Timestamp) -> String {
    let text: String = moment.to_rfc3339().chars().take("2023-11-14T22:13".len()).collect();
    text.replace('T', " ") + " UTC"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_given_to_the_minute() {
        assert_eq!(minute(Timestamp::from_unix_micros(1_700_000_000_123_456)), "2023-11-14 22:13 UTC");
    }

    #[test]
    fn a_user_agent_is_short_and_plain() {
        assert_eq!(device("curl/8.0 (+https://evil.example)"), "curl/8.0 (+https: evil.example)");
        assert_eq!(device(&"é".repeat(99)).chars().count(), MAX_DEVICE);
        assert_eq!(device(&"é".repeat(80)), "é".repeat(80));
        assert_eq!(fit("a\r\nb\u{202e}c"), "a\u{fffd}\u{fffd}b\u{fffd}c");
    }
}
