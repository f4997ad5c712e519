//! Bytes in, requests out: listeners, TLS, protocol detection, and the limits of a connection.

mod connection;
mod descriptors;
mod detect;
mod forwarded;
mod limits;
mod listen;
mod open_connections;
mod peer;
mod proxy_header;
mod read_throttle;
pub mod tls;
mod workers;

#[doc(hidden)]
pub use self::forwarded::source_of as forwarded_source_of;
pub(crate) use self::limits::MAX_PROBE_CONNECTIONS;
pub use self::{descriptors::fit_connections, limits::Limits, listen::ListenError};
pub(crate) use self::{
    listen::{Listener, Server},
    workers::Workers,
};
