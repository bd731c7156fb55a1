//! Asking the issuer, within limits.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use doorward_auth::token::InvalidJwks;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use thiserror::Error;
use url::{Host, Url};

/// How long the issuer may take to answer what it has at hand.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why an answer of the issuer is of no use.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("the issuer does not answer")]
    Unreachable(#[from] reqwest::Error),
    #[error("the issuer answers {0}")]
    Status(StatusCode),
    #[error("the issuer's answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("the issuer's answer is no text")]
    NoText,
    #[error("the issuer's answer is no key set")]
    Keys(#[from] InvalidJwks),
    #[error("the issuer's answer is no list of revocations")]
    Revocations(#[from] serde_json::Error),
}

/// Whether what travels between here and the URL's host is safe from others: TLS, or it stays on this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        None => false,
    }
}

/// A client for one URL that was found safe.
pub(super) fn client_for(url: &Url) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        // Whoever can have the issuer redirect must not choose the keys, nor see the client's secret.
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(PATIENCE)
        .user_agent(concat!("doorward-verifier/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "https" {
        builder.build()
    } else {
        // What is plain must not leave the machine through a proxy of the environment. It needs no certificates
        // either, and a bare container has none.
        builder.no_proxy().tls_certs_only(Vec::new()).build()
    }
}

/// The text of a 200, which has to arrive in full within `patience` and to be `longest` bytes at most.
pub(super) async fn text(request: RequestBuilder, longest: usize, patience: Duration) -> Result<String, FetchError> {
    let mut response = request.timeout(patience).send().await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > longest {
            return Err(FetchError::TooLong(longest));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| FetchError::NoText)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_safe_on_this_machine_alone() {
        for (text, expected) in [
            ("https://auth.example.com/", true),
            ("http://localhost:8080/auth", true),
            ("http://127.0.0.1:8080/", true),
            ("http://[::1]:8080/", true),
            ("http://auth.example.com/", false),
            ("http://localhost.example.com/", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://127.0.0.1@example.com/", false),
            ("http://10.0.0.1/", false),
            ("ftp://localhost/", false),
            ("file:///etc/keys.json", false),
        ] {
            assert_eq!(is_safe(&Url::parse(text).unwrap()), expected, "{text}");
        }
    }
}
