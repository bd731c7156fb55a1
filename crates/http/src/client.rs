use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue};
use doorward_domain::{Client, RequestId, UserAgent};
use ipnet::IpNet;

use crate::config::HttpConfig;
use crate::language;

/// Whose word on where a request came from is taken, and which header it stands in.
///
/// # Defaults
///
/// Nobody's; `X-Forwarded-For`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Who is trusted.
    pub proxies: Proxies,
    /// Where the trusted proxies write. One header alone is read: whoever is trusted with one passes the other on as the
    /// client wrote it.
    pub header: ForwardedHeader,
}

/// The proxies that are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// Those in these networks.
    Networks(Vec<IpNet>),
    /// So many, one behind the other, whatever their addresses are. Nobody else may reach the service.
    Hops(u8),
}

impl Default for Proxies {
    fn default() -> Self {
        Self::Networks(Vec::new())
    }
}

/// The header in which proxies say where a request came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The address of a client, from the connection and what trusted proxies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The peer itself, unless it is a trusted proxy. Then the rightmost hop that is not one: everything to the
    /// left of it was written by somebody whom nobody vouches for. A chain with anything unreadable in the way
    /// falls back to the peer.
    #[must_use]
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let peer = peer.to_canonical();
        let found = match &trusted.proxies {
            Proxies::Hops(0) => None,
            // The last proxy is the peer, and what it wrote is where the one before it, or the client, came from.
            Proxies::Hops(hops) => {
                hops_from_right(headers, trusted.header).into_iter().nth(usize::from(*hops) - 1).flatten()
            }
            Proxies::Networks(networks) => {
                let is_trusted = |address: IpAddr| networks.iter().any(|network| network.contains(&address));
                let mut chain = hops_from_right(headers, trusted.header).into_iter();
                is_trusted(peer)
                    .then(|| chain.find(|hop| hop.is_none_or(|address| !is_trusted(address))))
                    .flatten()
                    .flatten()
            }
        };
        Self(found.unwrap_or(peer))
    }
}

/// Every hop that the header names, the nearest first, `None` for one that cannot be read. Several headers are one list, in
/// order (RFC 9110 section 5.3). Each hop is read by itself: what a client puts to the left hides nothing on the right.
fn hops_from_right(headers: &HeaderMap, header: ForwardedHeader) -> Vec<Option<IpAddr>> {
    let (name, read): (_, fn(&str) -> Option<IpAddr>) = match header {
        ForwardedHeader::XForwardedFor => ("x-forwarded-for", |hop| IpAddr::from_str(hop).ok()),
        ForwardedHeader::Forwarded => ("forwarded", forwarded_for),
    };
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b','));
    let read = |hop| read(std::str::from_utf8(hop).ok()?.trim()).map(|address| address.to_canonical());
    hops.map(read).collect()
}

/// The address in an element of `Forwarded` (RFC 7239 section 4), with or without a port; `None` for an obfuscated or unknown
/// one, and for whatever is not written as the RFC has it.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut nodes = element.split(';').filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let (Some(node), None) = (nodes.next(), nodes.next()) else { return None };
    let node = match node.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => node,
    };
    let (address, port) = if let Some(rest) = node.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (address, port) = node.split_at(node.find(':').unwrap_or(node.len()));
        (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), port)
    };
    is_port(port).then_some(address)
}

/// Whether it is a colon and a port, or nothing.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
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
    use super::*;

    fn networks() -> Proxies {
        Proxies::Networks(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn resolve(peer: &str, forwarded: &[&str]) -> String {
        let trusted = TrustedProxies { proxies: networks(), header: ForwardedHeader::XForwardedFor };
        resolve_by(&trusted, "x-forwarded-for", peer, forwarded)
    }

    fn resolve_by(trusted: &TrustedProxies, header: &'static str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(header, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        ClientAddress::resolve(peer.parse().unwrap(), &headers, trusted).0.to_string()
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
            // What somebody has put to the left of it is not looked at, whatever it is.
            (&["\u{e9}, 198.51.100.7"][..], "198.51.100.7"),
            (&["\u{e9}", "198.51.100.7"][..], "198.51.100.7"),
            (&["junk, , 198.51.100.7"][..], "198.51.100.7"),
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

    #[test]
    fn so_many_hops_are_counted_from_the_right_whatever_their_addresses_are() {
        for (hops, forwarded, expected) in [
            (1, &["1.1.1.1, 198.51.100.7"][..], "198.51.100.7"),
            (2, &["1.1.1.1, 198.51.100.7, 192.0.2.1"][..], "198.51.100.7"),
            (2, &["198.51.100.7", "192.0.2.1"][..], "198.51.100.7"),
            // Fewer than there are proxies: the request did not come through all of them.
            (2, &["198.51.100.7"][..], "203.0.113.9"),
            (1, &[][..], "203.0.113.9"),
            (1, &["198.51.100.7, unknown"][..], "203.0.113.9"),
            (2, &["198.51.100.7, unknown"][..], "198.51.100.7"),
            (0, &["198.51.100.7"][..], "203.0.113.9"),
        ] {
            let trusted = TrustedProxies { proxies: Proxies::Hops(hops), header: ForwardedHeader::default() };
            let resolved = resolve_by(&trusted, "x-forwarded-for", "203.0.113.9", forwarded);
            assert_eq!(resolved, expected, "{hops} {forwarded:?}");
        }
    }

    #[test]
    fn one_header_is_read_and_never_the_other() {
        let forwarded = TrustedProxies { proxies: networks(), header: ForwardedHeader::Forwarded };
        assert_eq!(resolve_by(&forwarded, "x-forwarded-for", "10.0.0.1", &["198.51.100.7"]), "10.0.0.1");
        let x_forwarded = TrustedProxies { proxies: networks(), header: ForwardedHeader::XForwardedFor };
        assert_eq!(resolve_by(&x_forwarded, "forwarded", "10.0.0.1", &["for=198.51.100.7"]), "10.0.0.1");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_writes_it() {
        let trusted = TrustedProxies { proxies: networks(), header: ForwardedHeader::Forwarded };
        for (forwarded, expected) in [
            ("for=198.51.100.7", "198.51.100.7"),
            ("For=198.51.100.7;proto=https;by=10.0.0.1", "198.51.100.7"),
            ("proto=https; for=\"198.51.100.7:4711\"", "198.51.100.7"),
            ("for=\"[2001:db8::1]\"", "2001:db8::1"),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=\"[::ffff:198.51.100.7]\"", "198.51.100.7"),
            ("for=1.1.1.1, for=198.51.100.7, for=10.2.3.4", "198.51.100.7"),
            // What cannot be read is nobody, and what is left of it is not looked at.
            ("for=198.51.100.7, for=unknown", "10.0.0.1"),
            ("for=198.51.100.7, for=_hidden", "10.0.0.1"),
            ("for=198.51.100.7:http", "10.0.0.1"),
            ("for=198.51.100.7;for=1.1.1.1", "10.0.0.1"),
            ("for=\"198.51.100.7", "10.0.0.1"),
            ("for=2001:db8::1", "10.0.0.1"),
            ("by=198.51.100.7", "10.0.0.1"),
            ("198.51.100.7", "10.0.0.1"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(resolve_by(&trusted, "forwarded", "10.0.0.1", &[forwarded]), expected, "{forwarded}");
        }
    }
}
