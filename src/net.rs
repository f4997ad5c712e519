//! Bytes in, requests out: listeners, TLS, protocol detection, and the limits of a connection.

mod connection;
mod descriptors;
mod detect;
mod limits;
mod listen;
mod open_connections;
mod peer;
mod read_throttle;
pub mod tls;
mod workers;

pub(crate) use self::limits::MAX_PROBE_CONNECTIONS;
pub use self::{descriptors::fit_connections, limits::Limits, listen::ListenError};
pub(crate) use self::{
    listen::{Listener, Server},
    workers::Workers,
};
