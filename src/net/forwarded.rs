//! The source of a request that came through trusted proxies, from `Forwarded` (RFC 7239) or
//! `X-Forwarded-For`.
//!
//! Each proxy appends the address of its caller, so the list is read from the right: the source is
//! the first address that is no trusted proxy. Whatever stands to its left was written by that
//! caller, and is not even parsed: no quote in it can swallow what the proxies wrote.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderMap;

/// Maximum hops that are looked at. Behind a chain of trusted proxies there are a few.
const MAX_HOPS: usize = 16;

const FORWARDED: &str = "forwarded";
const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// Reads the last hop of a line: its address, if it has one, and what stands before the hop, if
/// anything.
type LastHop = fn(&str) -> (Option<IpAddr>, Option<&str>);

/// The source of a request from the trusted proxy `peer`: the rightmost hop that is not trusted. A
/// hop without an address (a hidden name, `unknown`, a malformed one) ends the walk at the address
/// before it, and without any usable hop the source is `peer`.
///
/// A proxy writes one of the two headers, and often passes the other one on as its caller wrote it.
/// If both are present and disagree, neither is believed and the source is `peer`.
#[must_use]
pub fn source_of(headers: &HeaderMap, peer: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let forwarded = walk(headers, FORWARDED, last_element, peer, &is_trusted);
    let listed = walk(headers, X_FORWARDED_FOR, last_entry, peer, &is_trusted);
    match (forwarded, listed) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// Walks over the hops of one header. Several lines mean the same as one line with commas. `None`
/// if the header is absent.
fn walk(
    headers: &HeaderMap,
    name: &str,
    last_hop: LastHop,
    peer: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut known = None;
    let mut hops = 0;
    for value in headers.get_all(name).iter().rev() {
        let line = String::from_utf8_lossy(value.as_bytes());
        let mut rest = Some(&*line);
        while let Some(text) = rest {
            let (hop, before) = last_hop(text);
            hops += 1;
            let Some(hop) = hop.filter(|_| hops <= MAX_HOPS) else { return known.or(Some(peer)) };
            known = Some(hop.to_canonical());
            if !is_trusted(hop.to_canonical()) {
                return known;
            }
            rest = before;
        }
    }
    known
}

/// The last entry of `X-Forwarded-For`, which has no standard: an address, and from some proxies a
/// port.
fn last_entry(line: &str) -> (Option<IpAddr>, Option<&str>) {
    let (before, entry) = line.rsplit_once(',').map_or((None, line), |(b, e)| (Some(b), e));
    let entry = entry.trim_matches([' ', '\t']);
    let address = entry.parse().ok();
    let with_port = || entry.parse::<SocketAddr>().ok().map(|address| address.ip());
    (address.or_else(with_port).or_else(|| bracketed(entry).map(IpAddr::V6)), before)
}

/// The last element of `Forwarded`. A malformed one is a hop without an address.
fn last_element(line: &str) -> (Option<IpAddr>, Option<&str>) {
    parse_last_element(line)
        .map_or((None, None), |(node, before)| (node.and_then(address_of), before))
}

/// The node named by `for` in the last element of a line, if any, and what stands before the
/// element. `None` if the element does not follow RFC 7239, section 4.
fn parse_last_element(line: &str) -> Option<(Option<&str>, Option<&str>)> {
    let (mut node, mut rest) = (None, line.trim_end_matches([' ', '\t']));
    loop {
        let (name, value, before) = last_pair(rest)?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
        if let Some(before) = before.strip_suffix(';') {
            rest = before;
            continue;
        }
        let before = before.trim_end_matches([' ', '\t']);
        return match before.strip_suffix(',') {
            None if !before.is_empty() => None,
            before => Some((node, before)),
        };
    }
}

/// The last `name=value` of an element, and what stands before it. In a quoted string every quote
/// but the last is escaped, so the nearest `="` before the last one is its beginning.
fn last_pair(text: &str) -> Option<(&str, &str, &str)> {
    let (before, value) = if let Some(quoted) = text.strip_suffix('"') {
        quoted.rsplit_once("=\"").filter(|(_, value)| is_quotable(value))?
    } else {
        text.rsplit_once('=').filter(|(_, value)| is_token(value))?
    };
    let at = before.rfind(|c: char| !is_token_char(c)).map_or(0, |at| at + 1);
    let (before, name) = before.split_at_checked(at)?;
    is_token(name).then_some((name, value, before))
}

/// A token of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// The inside of a quoted string (section 5.6.4): each quote and each backslash is escaped.
fn is_quotable(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '"' || c == '\\' && chars.next().is_none() {
            return false;
        }
    }
    true
}

/// The address of a node (RFC 7239, section 6): `192.0.2.7`, `192.0.2.7:80` or `[2001:db8::7]:80`.
/// `None` for `unknown`, for a hidden name, and for anything else.
fn address_of(node: &str) -> Option<IpAddr> {
    let (name, port) = match node.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (node, None),
    };
    if !port.is_none_or(is_port) {
        return None;
    }
    let ipv4 = name.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    ipv4.or_else(|| bracketed(name).map(IpAddr::V6))
}

fn bracketed(text: &str) -> Option<Ipv6Addr> {
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// A port, or a hidden one: `_` and a name.
fn is_port(port: &str) -> bool {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_hidden = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match port.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.chars().all(is_hidden),
        None => (1..=5).contains(&port.len()) && is_digits(port),
    }
}

#[cfg(test)]
mod tests;
