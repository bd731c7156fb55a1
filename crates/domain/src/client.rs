use std::fmt;
use std::net::IpAddr;

use crate::Locale;

/// Where a request came from, for the security log and the list of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The address of the client, after named proxies have been taken into account.
    pub ip: Option<IpAddr>,
    /// What the client says it is.
    pub user_agent: Option<UserAgent>,
    /// The request, as the logs name it.
    pub request_id: Option<RequestId>,
    /// The language that the client asks for most (`Accept-Language`).
    pub locale: Option<Locale>,
}

/// A `User-Agent` header, cut to 256 characters, with control characters replaced so that it cannot forge a
/// line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(String);

impl UserAgent {
    /// The greatest length kept, in code points.
    pub const MAX_LENGTH: usize = 256;

    /// Keeps what is fit to keep of any text.
    #[must_use]
    pub fn sanitized(text: &str) -> Self {
        let fit = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        Self(text.chars().take(Self::MAX_LENGTH).map(fit).collect())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a request: 1 to 64 ASCII letters, digits, `-`, `_` or `.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The greatest length, in characters.
    pub const MAX_LENGTH: usize = 64;

    /// Takes a client's own id when it is a sane token; `None` when it is not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let sane = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        sane.then(|| Self(text.to_owned()))
    }

    /// The id of a request that could be given none.
    #[must_use]
    pub fn unknown() -> Self {
        Self("unknown".to_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_cannot_forge_a_log_line() {
        let agent = UserAgent::sanitized("curl\r\nlogin ok\u{0}\u{85}");
        assert!(!agent.as_str().chars().any(char::is_control));
        assert_eq!(UserAgent::sanitized(&"é".repeat(9_999)).as_str().chars().count(), 256);
    }

    #[test]
    fn only_sane_request_ids_are_taken() {
        assert!(RequestId::parse("a-B_9.z").is_some());
        for text in ["", "a b", "a\nb", "é", "a/b", &"x".repeat(65)] {
            assert_eq!(RequestId::parse(text), None, "{text:?}");
        }
    }
}
