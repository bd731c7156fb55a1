use std::sync::Arc;
use std::time::Duration;

use axum::http::{Extensions, HeaderValue};
use doorward_domain::Locale;
use thiserror::Error;
use url::Url;

use crate::{Clients, TrustedProxies};

/// What the routes need to know of where they stand.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where clients reach the service; also the issuer's base.
    pub public_url: Url,
    /// The `iss` of access tokens, for the metadata and for introspection.
    pub issuer: String,
    /// The `aud` of access tokens, for introspection.
    pub audience: String,
    /// The services that may ask about tokens.
    pub clients: Clients,
    /// The origins whose pages may use the session cookie, that of `public_url` included.
    pub cookie_origins: OriginList,
    /// The origins whose scripts may read answers (CORS). To use the session cookie as well, an origin has to be
    /// among `cookie_origins` too.
    pub cors_origins: OriginList,
    /// Whose word on the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// How much and how long a request may take.
    pub limits: HttpLimits,
    /// The languages that mails can be in.
    pub languages: Vec<Locale>,
    /// What people see; `None` for no pages at all, not even those that the links of mails open.
    #[cfg(feature = "pages")]
    pub pages: Option<Arc<crate::pages::Pages>>,
}

impl HttpConfig {
    /// A configuration for a service at this URL, with every default.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] when the URL has no origin, as `mailto:` has none.
    pub fn new(public_url: Url) -> Result<Self, InvalidOrigin> {
        let own = Origin::of(&public_url)?;
        let issuer = public_url.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            audience: issuer.clone(),
            issuer,
            clients: Clients::default(),
            cookie_origins: OriginList(vec![own]),
            cors_origins: OriginList::default(),
            trusted_proxies: TrustedProxies::default(),
            limits: HttpLimits::default(),
            languages: Vec::new(),
            #[cfg(feature = "pages")]
            pages: None,
            public_url,
        })
    }

    /// The configuration of the routes that a request has come to; `None` outside of Doorward's layers.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get::<Arc<Self>>().map(|config| &**config)
    }

    /// The path of the public URL, without a slash at the end: what the service's own paths begin with in a link.
    #[cfg(feature = "pages")]
    pub(crate) fn base(&self) -> &str {
        self.public_url.path().trim_end_matches('/')
    }

    /// Whether clients reach the service over TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// How much and how long a request may take.
///
/// # Defaults
///
/// A body within 10 seconds, an answer within 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long a body may take to arrive; then 408.
    pub body_timeout: Duration,
    /// How long an answer may take to be made; then 503.
    pub request_timeout: Duration,
}

impl HttpLimits {
    /// The longest body, in bytes.
    pub const BODY_BYTES: usize = 64 * 1024;
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { body_timeout: Duration::from_secs(10), request_timeout: Duration::from_secs(15) }
    }
}

/// A web origin (RFC 6454): scheme, host, and port where it is not the scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// The text is not an [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be an origin such as https://app.example.com, without a path")]
pub struct InvalidOrigin;

impl Origin {
    /// Reads an origin in the form that browsers send.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`], for `null` and `*` as well.
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let origin = Self::of(&Url::parse(text).map_err(|_| InvalidOrigin)?)?;
        if origin.0 == text { Ok(origin) } else { Err(InvalidOrigin) }
    }

    /// The origin of an `http` or `https` URL.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] for any other scheme.
    pub fn of(url: &Url) -> Result<Self, InvalidOrigin> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidOrigin);
        }
        HeaderValue::from_str(&url.origin().ascii_serialization()).map(Self).map_err(|_| InvalidOrigin)
    }

    pub(crate) const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Origins, compared exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList(pub Vec<Origin>);

impl OriginList {
    /// Whether the `Origin` header names one of them.
    pub(crate) fn contains(&self, header: &HeaderValue) -> bool {
        self.0.iter().any(|origin| origin.0 == header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for text in ["https://example.com", "http://localhost:8080", "https://[::1]:8443"] {
            assert!(Origin::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "*",
            "null",
            "example.com",
            "https://example.com/",
            "https://example.com/a",
            "HTTPS://EXAMPLE.COM",
            "https://example.com:443",
            "https://a@example.com",
            "ftp://example.com",
            "file:///x",
        ] {
            assert_eq!(Origin::parse(text), Err(InvalidOrigin), "{text:?}");
        }
    }
}
