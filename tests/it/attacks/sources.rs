//! Where attackers come from: threads of the lowest priority, so that they do not take the time of
//! the node and of the honest callers on the same machine, and addresses of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rustix::{process::setpriority_process, thread::gettid};
use tokio::{
    net::{TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
};

/// Where most attacks come from.
pub(super) const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 66));

/// One of many addresses of an attacker.
pub(super) fn address(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x7f00_0100 + u32::try_from(number).unwrap()))
}

/// A runtime with threads of the lowest priority.
pub(super) fn attacker_runtime() -> Runtime {
    let lowest = || setpriority_process(Some(gettid()), 19).unwrap();
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(lowest)
        .build()
        .unwrap()
}

/// Connects from this address; an error if the node does not take the connection.
pub(super) async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
