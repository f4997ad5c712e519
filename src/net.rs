//! Bytes in, requests out: listeners, TLS, protocol detection, and the limits of a connection.

mod activity;
mod connection;
mod control_frames;
mod descriptors;
mod detect;
mod limits;
mod listen;
mod memory;
mod open_connections;
mod open_request;
mod peer;
mod read_throttle;
mod saturation;
pub mod tls;
mod workers;

pub(crate) use self::limits::MAX_PROBE_CONNECTIONS;
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
