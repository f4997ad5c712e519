//! Bytes in, requests out: listeners, TLS, protocol detection, and the limits of a connection.

mod activity;
mod connection;
mod control_frames;
mod descriptors;
mod detect;
mod forwarded;
mod hyper_limits;
mod limits;
mod listen;
mod memory;
mod open_connections;
mod open_request;
mod peer;
mod proxy_header;
mod read_throttle;
mod saturation;
mod socket;
pub mod tls;
mod workers;

#[doc(hidden)]
pub use self::forwarded::source_of as forwarded_source_of;
pub(crate) use self::limits::{MAX_CONTROL_CONNECTIONS, MAX_PROBE_CONNECTIONS};
pub use self::{
    descriptors::fit_connections,
    limits::Limits,
    listen::ListenError,
    memory::{check_memory, most_memory},
};
pub(crate) use self::{
    listen::{Listener, Server},
    saturation::Saturation,
    workers::Workers,
};
