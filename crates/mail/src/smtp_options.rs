use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use url::{Host, Url};

use crate::Sender;

/// Where the mail server is and how it is spoken to.
///
/// # Defaults
///
/// | setting | default |
/// |---|---|
/// | security | `starttls` for `smtp://`, `tls` for `smtps://` |
/// | port | 587 for `starttls`, 465 for `tls` (RFC 8314 section 3), 25 for `none` |
/// | user name, password | those of the URL; without any, the server is not logged in to |
/// | hello name | the domain of the sender's address |
#[derive(Clone, Debug)]
pub struct SmtpOptions {
    /// `smtp://` or `smtps://` and a host, with user name, password and port if need be. What cannot stand in a
    /// URL is percent-encoded.
    pub url: SecretString,
    /// How the connection is secured, where the scheme does not say enough.
    pub security: Option<SmtpSecurity>,
    /// Takes the place of the user name in the URL. Not percent-encoded.
    pub username: Option<String>,
    /// Takes the place of the password in the URL. Not percent-encoded.
    pub password: Option<SecretString>,
    /// Certificates (PEM) to trust besides those of the platform.
    pub ca_file: Option<PathBuf>,
    /// Whom mail comes from, and where bounces go.
    pub from: Sender,
    /// What this program calls itself in `EHLO`: a domain, or an address in brackets.
    pub hello_name: Option<String>,
}

/// How the connection to the mail server is secured.
///
/// Certificates are always checked; nothing falls back to plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the command `STARTTLS` on (RFC 3207). A server without it is not used.
    StartTls,
    /// TLS from the start (RFC 8314 section 3.3).
    Tls,
    /// None: whoever is on the way reads passwords and tokens. For a server on the same machine.
    None,
}

/// The text names no way of securing a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be starttls, tls or none")]
pub struct InvalidSecurity;

impl FromStr for SmtpSecurity {
    type Err = InvalidSecurity;

    fn from_str(text: &str) -> Result<Self, InvalidSecurity> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "tls" => Ok(Self::Tls),
            "none" => Ok(Self::None),
            _ => Err(InvalidSecurity),
        }
    }
}

/// The options name no mail server. Says nothing of the URL itself, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidSmtpUrl {
    /// It is not a URL of a mail server.
    #[error("must be smtp:// or smtps://, a host, and at most a user name, a password and a port")]
    Url,
    /// The scheme and the security contradict each other.
    #[error("smtps:// is TLS from the start; another security needs smtp://")]
    Security,
    /// A user name without a password, or a password without a user name.
    #[error("a user name and a password are given together or not at all")]
    Credentials,
    /// The hello name is none.
    #[error("the hello name must be a domain or an address in brackets")]
    HelloName,
}

/// What the options come to.
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: SmtpSecurity,
    pub(crate) credentials: Option<(String, SecretString)>,
    pub(crate) hello_name: String,
}

impl SmtpOptions {
    /// Options that differ from the defaults in nothing.
    #[must_use]
    pub const fn new(url: SecretString, from: Sender) -> Self {
        Self { url, security: None, username: None, password: None, ca_file: None, from, hello_name: None }
    }

    pub(crate) fn server(&self) -> Result<Server, InvalidSmtpUrl> {
        let url = Url::parse(self.url.expose_secret()).map_err(|_| InvalidSmtpUrl::Url)?;
        // A parameter such as `?tls=..` may be meant to change the security; to ignore it would be worse.
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidSmtpUrl::Url);
        }
        let host = match url.host().ok_or(InvalidSmtpUrl::Url)? {
            Host::Domain("") => return Err(InvalidSmtpUrl::Url),
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        let security = match (url.scheme(), self.security) {
            ("smtp", security) => security.unwrap_or(SmtpSecurity::StartTls),
            ("smtps", None | Some(SmtpSecurity::Tls)) => SmtpSecurity::Tls,
            ("smtps", Some(_)) => return Err(InvalidSmtpUrl::Security),
            _ => return Err(InvalidSmtpUrl::Url),
        };
        let port = url.port().unwrap_or(match security {
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::None => 25,
        });
        let hello_name = self.hello_name.clone().unwrap_or_else(|| self.from.domain().to_owned());
        if !is_hello_name(&hello_name) {
            return Err(InvalidSmtpUrl::HelloName);
        }
        Ok(Server { host, port, security, credentials: self.credentials(&url)?, hello_name })
    }

    fn credentials(&self, url: &Url) -> Result<Option<(String, SecretString)>, InvalidSmtpUrl> {
        let decoded = |text: &str| {
            percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| InvalidSmtpUrl::Url)
        };
        let username = match &self.username {
            Some(username) => username.clone(),
            None => decoded(url.username())?,
        };
        let password = match (&self.password, url.password()) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(password)) => Some(SecretString::from(decoded(password)?)),
            (None, None) => None,
        };
        match (username.is_empty(), password) {
            (false, Some(password)) => Ok(Some((username, password))),
            (true, None) => Ok(None),
            _ => Err(InvalidSmtpUrl::Credentials),
        }
    }
}

/// Nothing in it can end the command that it is a part of.
fn is_hello_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 255 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-[]:".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sender;

    fn options(url: &str) -> SmtpOptions {
        SmtpOptions::new(url.into(), sender())
    }

    #[test]
    fn the_scheme_says_how_the_connection_is_secured() {
        for (url, security, expected) in [
            ("smtp://mail.example.com", None, (SmtpSecurity::StartTls, 587)),
            ("smtps://mail.example.com/", None, (SmtpSecurity::Tls, 465)),
            ("smtp://mail.example.com:2525", None, (SmtpSecurity::StartTls, 2525)),
            ("smtp://mail.example.com", Some(SmtpSecurity::None), (SmtpSecurity::None, 25)),
            ("smtp://mail.example.com", Some(SmtpSecurity::Tls), (SmtpSecurity::Tls, 465)),
        ] {
            let server = SmtpOptions { security, ..options(url) }.server().ok().unwrap();
            assert_eq!((server.security, server.port), expected, "{url}");
            assert_eq!((server.host.as_str(), server.hello_name.as_str()), ("mail.example.com", "example.com"));
        }
        for security in [SmtpSecurity::None, SmtpSecurity::StartTls] {
            let options = SmtpOptions { security: Some(security), ..options("smtps://mail.example.com") };
            assert_eq!(options.server().err(), Some(InvalidSmtpUrl::Security));
        }
    }

    #[test]
    fn an_address_of_version_6_loses_its_brackets() {
        assert_eq!(options("smtp://[::1]:25").server().ok().unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_mail_server_is_refused() {
        for url in [
            "",
            "mail.example.com",
            "smtp://",
            "https://mail.example.com",
            "smtp://mail.example.com?tls=none",
            "smtp://mail.example.com/inbox",
            "smtp://mail.example.com#x",
        ] {
            assert_eq!(options(url).server().err(), Some(InvalidSmtpUrl::Url), "{url:?}");
        }
        let options = SmtpOptions { hello_name: Some("a\r\nRSET".to_owned()), ..options("smtp://a.example") };
        assert_eq!(options.server().err(), Some(InvalidSmtpUrl::HelloName));
    }

    #[test]
    fn options_take_the_place_of_what_the_url_says() {
        let credentials = |options: SmtpOptions| {
            let credentials = options.server().map(|server| server.credentials);
            credentials.map(|both| both.map(|(user, password)| (user, password.expose_secret().to_owned())))
        };
        let both = |user: &str, password: &str| Ok(Some((user.to_owned(), password.to_owned())));
        assert_eq!(credentials(options("smtp://a.example")), Ok(None));
        assert_eq!(credentials(options("smtp://ada%40b:p%2Fw@a.example")), both("ada@b", "p/w"));
        let over = SmtpOptions { password: Some("%2F".into()), ..options("smtp://ada:x@a.example") };
        assert_eq!(credentials(over), both("ada", "%2F"));
        let over = SmtpOptions { username: Some("eve".to_owned()), ..options("smtp://ada:x@a.example") };
        assert_eq!(credentials(over), both("eve", "x"));
        assert_eq!(credentials(options("smtp://ada@a.example")), Err(InvalidSmtpUrl::Credentials));
        assert!(!format!("{:?}", options("smtp://ada:hunter2@a.example")).contains("hunter2"));
    }
}
