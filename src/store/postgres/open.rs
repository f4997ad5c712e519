//! Opening of a store on Postgres.

use std::{sync::Arc, time::Duration};

use super::{Address, AddressError, PostgresStore, pool::Primary, route::Route};

/// Connection options of a store on Postgres.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// Timeout for opening a connection, and for waiting for a free one.
    pub wait: Duration,
    /// Whether the change feed polls instead of using LISTEN. Behind a transaction pooler,
    /// notifications would reach the connections of others.
    pub without_listening: bool,
}

impl PostgresOptions {
    /// Options with the timeout `wait` and with LISTEN.
    #[must_use]
    pub const fn waiting(wait: Duration) -> Self {
        Self { wait, without_listening: false }
    }
}

impl PostgresStore {
    /// Creates a store from a URL such as `postgres://user:password@host/database?sslmode=…`.
    /// Connections are opened on demand, so this succeeds while the database is down.
    ///
    /// # Errors
    /// If the URL cannot be honoured exactly: see [`Address::parse`].
    pub fn at(url: &str, connections: u32, options: PostgresOptions) -> Result<Self, AddressError> {
        let [store] = Self::lanes(url, [connections], options)?;
        Ok(store)
    }

    /// Creates one store per lane, all on the same database. `connections` holds the maximum of
    /// each lane. Lanes share no connections, so the callers of one cannot delay those of another.
    /// They share one lease and one change feed.
    ///
    /// # Errors
    /// As for [`PostgresStore::at`].
    pub fn lanes<const N: usize>(
        url: &str,
        connections: [u32; N],
        options: PostgresOptions,
    ) -> Result<[Self; N], AddressError> {
        // Whatever `target_session_attrs` asks for, only sessions on the primary are used.
        let hosts = Address::parse(url)?.hosts().to_vec();
        let route = Route::new(hosts, options.wait, options.without_listening);
        let primary = Arc::new(Primary::new(route, &connections));
        Ok(std::array::from_fn(|lane| Self { primary: Arc::clone(&primary), lane }))
    }
}
