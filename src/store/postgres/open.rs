//! How a store on Postgres is opened.

use std::{sync::Arc, time::Duration};

use super::{Address, AddressError, PostgresStore, pool::Primary, route::Route};

/// How a store on Postgres connects.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// How long a connection may take, and how long a caller waits for one.
    pub wait: Duration,
    /// Whether changes are looked for and not listened for. Behind a pooler that pools by
    /// transaction, what is announced would reach the connections of others.
    pub without_listening: bool,
}

impl PostgresOptions {
    /// Listens for changes, and waits for so long for a connection.
    #[must_use]
    pub const fn waiting(wait: Duration) -> Self {
        Self { wait, without_listening: false }
    }
}

impl PostgresStore {
    /// A store at `postgres://user:password@host/database?sslmode=…`. Connections are made when
    /// they are needed, so this succeeds while the database is away.
    ///
    /// # Errors
    /// If the URL cannot be followed to the letter: see [`Address::parse`].
    pub fn at(url: &str, connections: u32, options: PostgresOptions) -> Result<Self, AddressError> {
        let [store] = Self::lanes(url, [connections], options)?;
        Ok(store)
    }

    /// Stores on the same database, each with so many connections of its own, so that callers of
    /// one cannot keep those of another waiting. They share one lease and one change feed.
    pub fn lanes<const N: usize>(
        url: &str,
        connections: [u32; N],
        options: PostgresOptions,
    ) -> Result<[Self; N], AddressError> {
        // Whichever session is asked for, only one on the primary is used.
        let hosts = Address::parse(url)?.hosts().to_vec();
        let route = Route::new(hosts, options.wait, options.without_listening);
        let primary = Arc::new(Primary::new(route, &connections));
        Ok(std::array::from_fn(|lane| Self { primary: Arc::clone(&primary), lane }))
    }
}
