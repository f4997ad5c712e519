//! The control listener as the configuration describes it.

use std::{net::SocketAddr, sync::Arc};

use super::links;
use crate::{
    config::{Config, ControlAddress},
    node::{ControlOptions, ControlPlace},
    store::{PostgresOptions, PostgresStore, Store, Stores},
};

/// Connections to Postgres for administration, so that it takes none of those for callers.
pub(super) const CONNECTIONS: u32 = 2;

/// Name of the default socket in the data directory.
const SOCKET: &str = "control.sock";

/// The address for other machines, if there is one.
pub(super) const fn address(config: &Config) -> Option<SocketAddr> {
    match config.control.control_addr {
        Some(ControlAddress::Tcp(address)) => Some(address),
        _ => None,
    }
}

/// Options of the control listener; `None` if there is to be none. The data directory has been made
/// by now if the node needs one.
pub(super) fn options(config: &Config, stores: &Stores) -> anyhow::Result<Option<ControlOptions>> {
    let directory = &config.database.directory.data_dir;
    let place = match &config.control.control_addr {
        Some(ControlAddress::Tcp(address)) => ControlPlace::Address(*address),
        Some(ControlAddress::Unix(path)) => ControlPlace::Socket(path.clone()),
        None if directory.is_dir() => ControlPlace::DefaultSocket(directory.join(SOCKET)),
        Some(ControlAddress::None) | None => return Ok(None),
    };
    Ok(Some(ControlOptions {
        place,
        store: store(config, stores)?,
        hash_cost: config.argon2.cost()?,
        secret_lifetime: config.new_secrets.lifetime(),
    }))
}

/// The store for administration. The embedded database has one writer in any case.
fn store(config: &Config, stores: &Stores) -> anyhow::Result<Arc<dyn Store>> {
    let database = &config.database;
    let Some(url) = database.url()? else { return Ok(Arc::clone(&stores.inspect)) };
    links::check_database(database, &url)?;
    let options = PostgresOptions::waiting(database.database_wait_ms.duration());
    Ok(Arc::new(PostgresStore::at(url.expose(), CONNECTIONS, options)?))
}
