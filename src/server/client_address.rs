//! Who is at the other end, behind the proxies that are trusted.
//!
//! The client is the peer, unless the peer is a trusted proxy. Then `X-Forwarded-For` is walked from the right, past
//! further trusted proxies, to the first address that is none: everything left of it is hearsay. `Forwarded` (RFC 7239) is
//! read where there is no `X-Forwarded-For`, for nearly every proxy writes the latter, and passes on what a client says in
//! the former. What cannot be read ends the walk at the last address that could.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client's address.
    pub ip: IpAddr,
    /// Whether the client came by TLS, as a trusted proxy says.
    pub https: bool,
    /// Whether the client runs on this machine. Never where somebody says to have forwarded the request, trusted or not:
    /// a proxy on this machine must not make everybody local.
    pub local: bool,
}

impl ClientAddress {
    /// Reads what a request tells.
    #[must_use]
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        let forwarded = [X_FORWARDED_FOR, header::FORWARDED].iter().any(|name| headers.contains_key(name));
        let local = peer.is_loopback() && !forwarded;
        if !is_trusted(peer, trusted) {
            return Self { ip: peer, https: false, local };
        }
        let hops = hops(headers);
        let (ip, proto) = walk(peer, &hops, trusted);
        let said = headers.get(X_FORWARDED_PROTO).and_then(|line| line.to_str().ok()?.split(',').next());
        let https = said.or(proto).is_some_and(|proto| proto.trim().eq_ignore_ascii_case("https"));
        Self { ip, https, local }
    }
}

fn is_trusted(ip: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&ip))
}

/// What a proxy tells of whom it got the request from.
struct Hop<'a> {
    ip: Option<IpAddr>,
    proto: Option<&'a str>,
}

/// What the proxies tell, the nearest first.
fn hops(headers: &HeaderMap) -> Vec<Hop<'_>> {
    if headers.contains_key(X_FORWARDED_FOR) {
        let addresses = lines(headers, X_FORWARDED_FOR).flat_map(|line| line.rsplit(','));
        addresses.map(|text| Hop { ip: address(text.trim()), proto: None }).collect()
    } else {
        let elements = lines(headers, header::FORWARDED).flat_map(|line| rsplit_unquoted(line, b','));
        elements.map(Hop::from_element).collect()
    }
}

/// The lines of a header from the last to the first. One that is no text says nothing.
fn lines(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).iter().rev().map(|line| line.to_str().unwrap_or_default())
}

impl<'a> Hop<'a> {
    /// An element of `Forwarded`: `for="[2001:db8::1]:4711";proto=https`.
    fn from_element(element: &'a str) -> Self {
        let parameters = rsplit_unquoted(element, b';');
        let named = |name: &str| {
            parameters.iter().find_map(|parameter| {
                let (key, value) = parameter.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| unquoted(value.trim()))
            })
        };
        Self { ip: named("for").and_then(address), proto: named("proto") }
    }
}

/// From the peer on, as long as those are trusted who say who came before them; and by what protocol the last one came.
fn walk<'a>(peer: IpAddr, hops: &[Hop<'a>], trusted: &[IpNet]) -> (IpAddr, Option<&'a str>) {
    let (mut client, mut client_proto) = (peer, None);
    for Hop { ip, proto } in hops {
        let Some(ip) = *ip else { break };
        (client, client_proto) = (ip, *proto);
        if !is_trusted(client, trusted) {
            break;
        }
    }
    (client, client_proto)
}

/// The parts from the last to the first, split where no quotes are. Read from the right, where a trusted proxy wrote:
/// a quote that a client left open at the left must not swallow that.
fn rsplit_unquoted(text: &str, separator: u8) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut end, mut quoted) = (Vec::new(), text.len(), false);
    for at in (0..bytes.len()).rev() {
        if bytes[at] == b'"' && !is_escaped(&bytes[..at]) {
            quoted = !quoted;
        } else if bytes[at] == separator && !quoted {
            parts.push(&text[at + 1..end]);
            end = at;
        }
    }
    parts.push(&text[..end]);
    parts
}

/// Whether what stands before a quote takes its meaning away.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// An address, with or without a port, IPv6 in brackets or not; `unknown` and `_hidden` are none.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip = match bare {
        Some(v6) => v6.parse().map(IpAddr::V6).ok(),
        None => text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok(),
    };
    ip.map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests;
