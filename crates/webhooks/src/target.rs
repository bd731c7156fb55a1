use std::fmt;
use std::net::IpAddr;

use thiserror::Error;
use url::{Host, Url};

use crate::address::is_public;

/// Where the webhooks of one endpoint go.
#[derive(Clone)]
pub struct Target {
    pub(crate) url: Url,
    pub(crate) reach: Reach,
}

/// Which addresses a target may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Those that everybody can reach.
    Public,
    /// Any.
    Anywhere,
    /// Loopback alone, since what is sent can be read on its way.
    ThisMachine,
}

/// Why a text is no [`Target`]. Never repeats it: there may be a secret in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTarget {
    /// No URL with a host.
    #[error("must be a URL such as https://hooks.example.com/doorward")]
    NotAUrl,
    /// A URL with what has no business there.
    #[error("must be a URL without user, password and fragment")]
    NotPlain,
    /// Neither TLS nor an allowed address of this machine.
    #[error("must be https; plain http is for localhost alone, with `allow_private`")]
    NotHttps,
    /// An address that only some can reach.
    #[error("names a private address; `allow_private` allows it")]
    Private,
}

impl Target {
    /// Reads a URL. With `allow_private` it may lead to addresses that are not public: of this machine, of its networks, or
    /// reserved ones.
    ///
    /// # Errors
    ///
    /// [`InvalidTarget`]. A name is looked up when something is sent, and not before.
    pub fn parse(text: &str, allow_private: bool) -> Result<Self, InvalidTarget> {
        let url = Url::parse(text).map_err(|_| InvalidTarget::NotAUrl)?;
        let host = url.host().ok_or(InvalidTarget::NotAUrl)?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(InvalidTarget::NotPlain);
        }
        // In whatever notation an address was given, the URL has it in the usual one by now.
        let address = match host {
            Host::Ipv4(address) => Some(IpAddr::from(address)),
            Host::Ipv6(address) => Some(IpAddr::from(address)),
            Host::Domain(_) => None,
        };
        let local = match host {
            Host::Domain(name) => {
                let name = name.strip_suffix('.').unwrap_or(name);
                name == "localhost" || name.ends_with(".localhost")
            }
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let reach = match (url.scheme(), allow_private) {
            ("https", false) => Reach::Public,
            ("https", true) => Reach::Anywhere,
            ("http", true) if local => Reach::ThisMachine,
            _ => return Err(InvalidTarget::NotHttps),
        };
        if reach == Reach::Public && local || address.is_some_and(|address| !reach.includes(address)) {
            return Err(InvalidTarget::Private);
        }
        Ok(Self { url, reach })
    }
}

impl Reach {
    pub(crate) fn includes(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Anywhere => true,
            Self::ThisMachine => address.is_loopback(),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a URL without and with private addresses allowed.
    fn parsed(text: &str) -> [Result<Reach, InvalidTarget>; 2] {
        [false, true].map(|allowed| Target::parse(text, allowed).map(|target| target.reach))
    }

    #[test]
    fn a_private_address_is_refused_in_every_notation_unless_it_is_allowed() {
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "app.localhost",
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.0.0.0x1",
            "%31%32%37.0.0.1",
            "\u{ff11}\u{ff12}\u{ff17}.0.0.1",
            "0",
            "10.0.0.1",
            "169.254.169.254",
            "0xa9fea9fe",
            "192.168.0.1",
            "[::]",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[fd00::1]",
        ] {
            for port in ["", ":8443"] {
                let url = format!("https://{host}{port}/hook");
                assert_eq!(parsed(&url), [Err(InvalidTarget::Private), Ok(Reach::Anywhere)], "{url}");
            }
        }
    }

    #[test]
    fn a_public_address_or_a_name_is_taken() {
        for url in [
            "https://hooks.example.com/doorward?key=1",
            "https://localhost.example.com/",
            "https://127.0.0.1.example.com:8443/",
            "https://1.1.1.1/",
            "https://0x01010101/",
            "https://[2606:4700:4700::1111]/",
            "https://[64:ff9b::1.1.1.1]/",
        ] {
            assert_eq!(parsed(url), [Ok(Reach::Public), Ok(Reach::Anywhere)], "{url}");
        }
    }

    #[test]
    fn plain_http_is_for_this_machine_alone_and_has_to_be_allowed() {
        for (url, allowed) in [
            ("http://127.0.0.1:8080/hook", Ok(Reach::ThisMachine)),
            ("http://[::1]:8080/hook", Ok(Reach::ThisMachine)),
            ("http://localhost/hook", Ok(Reach::ThisMachine)),
            ("http://hooks.example.com/", Err(InvalidTarget::NotHttps)),
            ("http://10.0.0.1/", Err(InvalidTarget::NotHttps)),
            ("http://[::ffff:127.0.0.1]/", Err(InvalidTarget::NotHttps)),
            ("ftp://localhost/", Err(InvalidTarget::NotHttps)),
        ] {
            assert_eq!(parsed(url), [Err(InvalidTarget::NotHttps), allowed], "{url}");
        }
    }

    #[test]
    fn what_is_no_plain_url_is_refused() {
        for (text, expected) in [
            ("", InvalidTarget::NotAUrl),
            ("hooks.example.com", InvalidTarget::NotAUrl),
            ("https://", InvalidTarget::NotAUrl),
            ("https://256.1.1.1/", InvalidTarget::NotAUrl),
            ("data:text/plain,a", InvalidTarget::NotAUrl),
            ("https://ada@example.com/", InvalidTarget::NotPlain),
            ("https://ada:pass@example.com/", InvalidTarget::NotPlain),
            ("https://example.com/#part", InvalidTarget::NotPlain),
        ] {
            assert_eq!(parsed(text), [Err(expected); 2], "{text}");
        }
    }

    #[test]
    fn a_target_does_not_print_its_path() {
        let target = Target::parse("https://example.com/path?query", false).unwrap();
        let text = format!("{target:?}");
        assert!(text.contains("example.com") && !text.contains("path") && !text.contains("query"), "{text}");
    }
}
