//! The proxies of these tests are 10.0.0.0/8, and 10.0.0.1 is the peer of the connection.

use super::*;

const PEER: &str = "10.0.0.1";

/// The source of a request with these lines of headers, `f` for Forwarded, `x` for the other.
fn source(lines: &[(char, &str)]) -> String {
    let mut headers = HeaderMap::new();
    for (which, value) in lines {
        let name = if *which == 'f' { FORWARDED } else { X_FORWARDED_FOR };
        headers.append(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
    source_of(&headers, PEER.parse().unwrap(), is_trusted).to_string()
}

#[test]
fn the_rightmost_hop_that_is_no_proxy_is_the_source() {
    for (value, expected) in [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=192.0.2.7;proto=https;by=10.0.0.1", "192.0.2.7"),
        ("proto=https;host=\"a,for=1.1.1.1\";for=192.0.2.7", "192.0.2.7"),
        ("for=\"192.0.2.7:4711\"", "192.0.2.7"),
        ("for=\"192.0.2.7:_hidden\"", "192.0.2.7"),
        ("for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ("for=\"[::ffff:192.0.2.7]\"", "192.0.2.7"),
        ("for=198.51.100.1, for=192.0.2.7", "192.0.2.7"),
        ("for=192.0.2.7, for=10.0.0.2,\tfor=10.0.0.3 ", "192.0.2.7"),
        ("for=10.0.0.9, for=10.0.0.2", "10.0.0.9"),
    ] {
        assert_eq!(source(&[('f', value)]), expected, "{value}");
    }
    for (value, expected) in [
        ("192.0.2.7", "192.0.2.7"),
        ("198.51.100.1, 192.0.2.7,10.0.0.2", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
    ] {
        assert_eq!(source(&[('x', value)]), expected, "{value}");
    }
}

#[test]
fn lines_count_in_their_order() {
    for which in ['f', 'x'] {
        let hop = |address| if which == 'f' { format!("for={address}") } else { address };
        let lines = ["198.51.100.1", "192.0.2.7", "10.0.0.2"].map(|a| hop(a.to_owned()));
        let lines: Vec<_> = lines.iter().map(|line| (which, line.as_str())).collect();
        assert_eq!(source(&lines), "192.0.2.7");
    }
}

/// The caller wrote everything to the left of its own address.
#[test]
fn nothing_to_the_left_of_the_source_matters() {
    for left in ["for=\"", "\"", "for=1.1.1.1;for=", "=\"", "\\", ";;;", "for=\"\\", "é", ",,"] {
        assert_eq!(source(&[('f', &format!("{left}, for=192.0.2.7"))]), "192.0.2.7", "{left}");
        assert_eq!(source(&[('x', &format!("{left}, 192.0.2.7"))]), "192.0.2.7", "{left}");
    }
}

#[test]
fn a_hop_without_an_address_ends_the_walk_at_the_last_one_known() {
    for hop in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:80\"",
        "proto=https",
        "for=",
        "for",
        "",
        "for=2001:db8::7",
        "for=\"2001:db8::7\"",
        "for=192.0.2.7:80",
        "for=\"192.0.2.7:\"",
        "for=\"192.0.2.7:123456\"",
        "for=\"192.0.2.7:_\"",
        "for=\"[192.0.2.7]\"",
        "for=192.0.2.7;for=192.0.2.7",
        "for=192.0.2.7;;by=10.0.0.1",
        "for=192.0.2.7; by=10.0.0.1",
        "for = 192.0.2.7",
        "for=\"192.0.2.7",
        "for=192.0.2.7\"",
        "for=\"192.0.2\\.7\"",
        "for=\"192.0.2.7\" x",
        "for=192.0.2.007",
    ] {
        assert_eq!(source(&[('f', &format!("for=192.0.2.7, {hop}"))]), PEER, "{hop}");
        let lines = format!("for=192.0.2.7, {hop}, for=10.0.0.2");
        assert_eq!(source(&[('f', &lines)]), "10.0.0.2", "{hop}");
    }
    for hop in ["unknown", "_hidden", "", "localhost", "1.2.3.4.5", "for=192.0.2.7", "192.0.2.7:x"]
    {
        assert_eq!(source(&[('x', &format!("192.0.2.7, {hop}"))]), PEER, "{hop}");
    }
}

#[test]
fn two_headers_that_disagree_are_not_believed() {
    assert_eq!(source(&[('f', "for=192.0.2.7"), ('x', "192.0.2.8")]), PEER);
    assert_eq!(source(&[('f', "for=192.0.2.7"), ('x', "garbage")]), PEER);
    assert_eq!(source(&[('f', "for=192.0.2.7"), ('x', "192.0.2.7")]), "192.0.2.7");
    assert_eq!(source(&[]), PEER);
}

#[test]
fn a_long_list_costs_no_more_than_its_end() {
    let proxies = vec!["10.0.0.2"; 1_000].join(",");
    assert_eq!(source(&[('x', &format!("192.0.2.7,{proxies}"))]), "10.0.0.2");
}
