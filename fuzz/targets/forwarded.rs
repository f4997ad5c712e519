//! The source of a request behind proxies, beside a strict reading of `Forwarded` from the left.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jeton::fuzzing::forwarded_source_of;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

pub(super) fn target(data: &[u8]) {
    let Some(read) = source("forwarded", data) else { return };
    if let Some(hops) = str::from_utf8(data).ok().and_then(line) {
        assert_eq!(read, walk(&hops));
    }
    // Whatever a caller writes, the proxy in front of it decides.
    let appended = [data, b", for=192.0.2.7;proto=\"ht\\\"tps\""].concat();
    assert_eq!(source("forwarded", &appended), Some(CALLER));
    let appended = [data, b",192.0.2.7"].concat();
    assert_eq!(source("x-forwarded-for", &appended), Some(CALLER));
}

fn is_trusted(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
}

/// None if these bytes are no value of a header.
fn source(name: &'static str, value: &[u8]) -> Option<IpAddr> {
    let value = HeaderValue::from_bytes(value).ok()?;
    let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
    Some(forwarded_source_of(&headers, PEER, is_trusted))
}

fn walk(hops: &[Option<IpAddr>]) -> IpAddr {
    let mut known = PEER;
    for hop in hops.iter().rev().take(16) {
        let Some(hop) = hop else { break };
        known = hop.to_canonical();
        if !is_trusted(known) {
            break;
        }
    }
    known
}

/// The hops of a line that follows RFC 7239 from end to end.
fn line(text: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut rest = text.trim_end_matches([' ', '\t']);
    let mut hops = Vec::new();
    loop {
        let (hop, after) = element(rest)?;
        hops.push(hop);
        let after = after.trim_start_matches([' ', '\t']);
        if after.is_empty() {
            return Some(hops);
        }
        rest = after.strip_prefix(',')?.trim_start_matches([' ', '\t']);
    }
}

fn element(mut rest: &str) -> Option<(Option<IpAddr>, &str)> {
    let mut node = None;
    loop {
        let (name, after) = token(rest)?;
        let (value, after) = value(after.strip_prefix('=')?)?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
        match after.strip_prefix(';') {
            Some(after) => rest = after,
            None => return Some((node.and_then(|node| address(&node)), after)),
        }
    }
}

fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// A value as it was written, without the quotes around it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, after)| (value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.extend([c, chars.next()?.1]),
            c => value.push(c),
        }
    }
    None
}

fn address(node: &str) -> Option<IpAddr> {
    let (name, port) = if let Some(rest) = node.strip_prefix('[') {
        let (name, port) = rest.split_once(']')?;
        (IpAddr::V6(name.parse::<Ipv6Addr>().ok()?), port)
    } else {
        let (name, port) = node.split_at(node.find(':').unwrap_or(node.len()));
        (IpAddr::V4(name.parse::<Ipv4Addr>().ok()?), port)
    };
    let hidden = |port: &str| port.len() > 1 && port.starts_with('_') && is_hidden(&port[1..]);
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        hidden(port) || is_number && (1..=5).contains(&port.len())
    };
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(name)
}

fn is_hidden(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
