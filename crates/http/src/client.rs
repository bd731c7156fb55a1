use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use doorward_domain::{Client, RequestId, UserAgent};
use ipnet::IpNet;

use crate::config::HttpConfig;
use crate::language;

/// The networks whose word on where a request came from is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of a client, from the connection and `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The peer itself, unless it is a trusted proxy. Then the rightmost hop that is not one: everything to the
    /// left of it was written by somebody whom nobody vouches for. A chain with anything unreadable in the way
    /// falls back to the peer.
    #[must_use]
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let peer = peer.to_canonical();
        if !trusted.contains(peer) {
            return Self(peer);
        }
        // Several headers are one list, in order (RFC 9110 section 5.3).
        let lines: Vec<&str> = match headers.get_all("x-forwarded-for").iter().map(|line| line.to_str()).collect() {
            Ok(lines) => lines,
            Err(_) => return Self(peer),
        };
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            match IpAddr::from_str(hop.trim()) {
                Ok(address) if trusted.contains(address.to_canonical()) => {}
                Ok(address) => return Self(address.to_canonical()),
                Err(_) => return Self(peer),
            }
        }
        Self(peer)
    }
}

/// Where a request came from, for the security log.
///
/// Among Doorward's routes, and in those that are served beside them, a trusted proxy is believed; elsewhere the address
/// is that of the connection.
#[derive(Clone, Debug)]
pub struct ComesFrom(pub Client);

impl ComesFrom {
    pub(crate) fn of(parts: &Parts) -> Self {
        let config = HttpConfig::of(&parts.extensions);
        let nobody = TrustedProxies::default();
        let trusted = config.map_or(&nobody, |config| &config.trusted_proxies);
        let languages = config.map_or(&[][..], |config| &config.languages);
        let user_agent = parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        Self(Client {
            ip: peer(&parts.extensions).map(|peer| ClientAddress::resolve(peer, &parts.headers, trusted).0),
            user_agent: user_agent.map(|text| UserAgent::sanitized(&text)),
            request_id: parts.extensions.get::<RequestId>().cloned(),
            locale: language::preferred(&parts.headers, languages),
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ComesFrom {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

/// The other end of the connection, where the server says so.
fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn resolve(peer: &str, forwarded: &[&str]) -> String {
        let trusted = TrustedProxies(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        ClientAddress::resolve(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(resolve("203.0.113.9", &["198.51.100.7"]), "203.0.113.9");
        assert_eq!(resolve("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(resolve("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(resolve("::ffff:10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn the_rightmost_untrusted_hop_counts() {
        for (forwarded, expected) in [
            (&["1.1.1.1, 198.51.100.7"][..], "198.51.100.7"),
            (&["1.1.1.1, 198.51.100.7, 10.9.9.9"][..], "198.51.100.7"),
            (&["1.1.1.1", "198.51.100.7"][..], "198.51.100.7"),
            (&["2001:db8::1, fd00::2"][..], "2001:db8::1"),
            (&["10.1.1.1"][..], "10.0.0.1"),
        ] {
            assert_eq!(resolve("10.0.0.1", forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_falls_back_to_the_peer() {
        for forwarded in ["", "unknown", "_hidden", "198.51.100.7:80", "[2001:db8::1]", "1.1.1.1, junk", "\u{e9}"] {
            assert_eq!(resolve("10.0.0.1", &[forwarded]), "10.0.0.1", "{forwarded:?}");
        }
    }
}
