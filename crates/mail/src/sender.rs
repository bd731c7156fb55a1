use std::fmt;
use std::str::FromStr;

use doorward_domain::EmailAddress;
use thiserror::Error;

/// Whom mail comes from: an address, and a name for people to read.
///
/// ```
/// use doorward_mail::Sender;
///
/// let sender: Sender = "Example <accounts@example.com>".parse()?;
/// assert_eq!(sender.name(), Some("Example"));
/// assert_eq!(sender.to_string(), "Example <accounts@example.com>");
/// # Ok::<(), doorward_mail::InvalidSender>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    name: Option<String>,
    address: EmailAddress,
}

/// The text names no sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be an address such as accounts@example.com, or a name and an address: Example <accounts@example.com>")]
pub struct InvalidSender;

impl Sender {
    /// The greatest length of a name, in code points.
    const MAX_NAME_LENGTH: usize = 100;

    /// A sender without a name.
    #[must_use]
    pub const fn nameless(address: EmailAddress) -> Self {
        Self { name: None, address }
    }

    /// The name, if there is one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address, which is also where answers and bounces go.
    #[must_use]
    pub const fn address(&self) -> &EmailAddress {
        &self.address
    }

    /// The part of the address after the `@`.
    pub(crate) fn domain(&self) -> &str {
        self.address.as_str().rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Sender {
    type Err = InvalidSender;

    /// Reads `address`, `name <address>` or `"name" <address>`.
    fn from_str(text: &str) -> Result<Self, InvalidSender> {
        let Some((name, rest)) = text.trim().split_once('<') else {
            return EmailAddress::parse(text.trim()).map(Self::nameless).map_err(|_| InvalidSender);
        };
        let address = rest.strip_suffix('>').ok_or(InvalidSender)?;
        let address = EmailAddress::parse(address).map_err(|_| InvalidSender)?;
        let name = name.trim();
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name).trim();
        if name.chars().count() > Self::MAX_NAME_LENGTH || name.chars().any(|c| c.is_control() || "\"<>\\".contains(c))
        {
            return Err(InvalidSender);
        }
        Ok(Self { name: (!name.is_empty()).then(|| name.to_owned()), address })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => self.address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_an_address_with_or_without_a_name() {
        for (text, name) in [
            ("a@example.com", None),
            (" a@example.com ", None),
            ("<a@example.com>", None),
            ("Ada Ltd. <a@example.com>", Some("Ada Ltd.")),
            ("\"Bücher, alle\" <a@example.com>", Some("Bücher, alle")),
        ] {
            let sender: Sender = text.parse().unwrap();
            assert_eq!((sender.name(), sender.address().as_str()), (name, "a@example.com"), "{text:?}");
        }
        for text in
            ["", "Ada", "Ada <a>", "Ada <a@example.com", "Ada\r\nBcc: x <a@example.com>", "A <b> <a@example.com>"]
        {
            assert_eq!(text.parse::<Sender>(), Err(InvalidSender), "{text:?}");
        }
    }
}
