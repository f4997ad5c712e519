//! Where a request comes from. The address of the connection, never a header: anybody can write
//! `X-Forwarded-For`.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::task::futures::TaskLocalFuture;

use super::brake::Brake;

tokio::task_local! {
    /// Of the request that this task serves. An extension of the request would end at the shim,
    /// which makes a request of its own in the caller's name.
    static PEER: Peer;
}

/// The other side of a connection.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) source: IpAddr,
    pub(super) brake: Arc<Brake>,
}

/// The source of the request at hand, if it came over a network.
pub(super) fn source() -> Option<IpAddr> {
    PEER.try_with(|peer| peer.source).ok()
}

/// Notes that the request at hand was turned away, so that its connection is read more slowly if
/// that happens often.
pub(super) fn note_failure() {
    let _ = PEER.try_with(|peer| peer.brake.failed());
}

/// Serves a request in the name of this peer. Not an async fn, which would hold the request's whole
/// state twice: as its argument, and while it waits.
pub(super) fn serving<F: Future>(peer: Peer, serving: F) -> TaskLocalFuture<Peer, F> {
    PEER.scope(peer, serving)
}

/// One source is one machine or household: an IPv6 network of 64 bits is handed out whole, so its
/// addresses count as one.
pub(super) fn source_of(peer: SocketAddr) -> IpAddr {
    match peer.ip().to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_are_one_source() {
        let rows = [
            ("192.0.2.7:1", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:1", "192.0.2.7"),
            ("[2001:db8:1:2:3:4:5:6]:1", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]:1", "2001:db8:1:2::"),
        ];
        for (peer, source) in rows {
            assert_eq!(source_of(peer.parse().unwrap()).to_string(), source);
        }
    }
}
