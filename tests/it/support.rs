//! What the tests stand on: databases, nodes, a plain HTTP client, the binary.

pub(crate) mod binary;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod database;
pub(crate) mod everything;
pub(crate) mod http;
pub(crate) mod node;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod raw_h2;
pub(crate) mod replication;
pub(crate) mod tls;
pub(crate) mod wire;

pub(crate) use database::{Database, Kind};
pub(crate) use node::{TestNode, TestNodeOptions};
