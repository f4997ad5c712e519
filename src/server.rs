//! The wiring of a node: listeners, TLS, limits, health, drain.

mod connection;
mod descriptors;
mod health;
mod listen;
mod opening;
mod peer;
pub(crate) mod policy;
mod prepare;
mod shim;
pub mod tls;
mod upkeep;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tonic::service::Routes;

pub use self::{
    descriptors::fit_connections,
    listen::Limits,
    shim::{Shim, ShimOptions},
};
use self::{
    health::Health,
    listen::{Listener, Serving},
    tls::Tls,
};
use crate::{
    authority::{Authority, AuthorityOptions, HashPool, HashPoolOptions, Stores},
    domain::{Cause, Clock, Error, Random},
    http,
    pb::{self, v1::token_service_server::TokenServiceServer},
    rpc::TokenRpc,
    store::migrate::SchemaError,
};

/// Requests over gRPC hold a token and credentials; a form of the same is smaller still.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How long the store may take to close. Its connections wait for whoever still uses them, which
/// may be a statement that a silent database never answers.
const CLOSE: Duration = Duration::from_secs(2);

/// What a node is made of.
pub struct NodeOptions {
    /// The ways to where everything is kept.
    pub stores: Stores,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The randomness.
    pub random: Arc<dyn Random>,
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// TLS for both, if any.
    pub tls: Option<Arc<Tls>>,
    /// The issuer; by default made from the HTTP address.
    pub issuer: Option<String>,
    /// Whether the schema is migrated, or only checked.
    pub migrate: bool,
    /// How long to wait for the database.
    pub start_timeout: Duration,
    /// The hash pool.
    pub hash_pool: HashPoolOptions,
    /// The most secrets that are remembered as verified.
    pub verified_capacity: usize,
    /// For how long they are; zero for not at all.
    pub verified_lifetime: Duration,
    /// The limits of both listeners.
    pub limits: Limits,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be had.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What was to be served there.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The hash pool cannot be started.
    #[error("secrets cannot be hashed")]
    HashPool(#[source] Cause),
    /// The schema cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The database does not answer.
    #[error("the database did not answer within {} seconds", .0.as_secs())]
    NoDatabase(Duration, #[source] Error),
    /// Reflection cannot be built from the descriptors.
    #[error("the descriptors of the contract cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A running node.
pub struct Node {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    issuer: String,
    stores: Stores,
    health: Health,
    serving: Serving,
}

impl Node {
    /// Starts a node. The listeners are bound first and say that they are not ready, so that a
    /// balancer sees a node that waits for its database; this returns once it serves.
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        let grpc = Listener::bind(options.grpc_addr, "gRPC").await?;
        let shim = Listener::bind(options.http_addr, "HTTP").await?;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(shim.address, options.tls.is_some()));
        let hash_pool = HashPool::start(options.hash_pool).map_err(StartError::HashPool)?;

        let rpc = TokenRpc::default();
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let health = Health::not_serving(reporter).await;
        let tokens =
            TokenServiceServer::new(rpc.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let routes = Routes::new(tokens).add_service(health_service).add_service(reflection);
        // One router with the policy on it serves both faces, since a call within the process
        // passes none of the layers of a listener.
        let grpc_router = policy::apply(routes.prepare().into_axum_router(), &options.limits);
        let http_router = http::router(
            http::local(grpc_router.clone()),
            shim::http_options(issuer.clone(), &options.limits),
        );

        let node = Self {
            grpc_addr: grpc.address,
            http_addr: shim.address,
            issuer: issuer.clone(),
            stores: options.stores,
            health,
            serving: Serving::new(options.limits),
        };
        node.serving.serve(grpc, grpc_router, options.tls.clone());
        node.serving.serve(shim, http_router, options.tls);

        let clock = options.clock;
        prepare::store(
            &node.stores.issue,
            clock.as_ref(),
            options.random.as_ref(),
            options.migrate,
            options.start_timeout,
        )
        .await?;
        let authority = Authority::open(AuthorityOptions {
            stores: node.stores.clone(),
            clock: Arc::clone(&clock),
            random: options.random,
            hash_pool,
            verified_capacity: options.verified_capacity,
            verified_lifetime: options.verified_lifetime,
            issuer,
        });
        rpc.begin(authority.await.map_err(SchemaError::from)?);
        node.look_after_stores(&clock);
        node.health.set_serving().await;
        Ok(node)
    }

    fn look_after_stores(&self, clock: &Arc<dyn Clock>) {
        let stop = || self.serving.stop.clone();
        let store = Arc::clone(&self.stores.issue);
        self.serving.spawn(upkeep::upkeep(store, Arc::clone(clock), stop()));
        for store in [&self.stores.issue, &self.stores.inspect] {
            self.serving.spawn(upkeep::watch(Arc::clone(store), stop()));
        }
    }

    /// Where gRPC is served; the port is the real one if 0 was asked for.
    #[must_use]
    pub const fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where HTTP is served.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The issuer in force.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Stops: health says `NOT_SERVING` at once, open requests finish within their limits, and the
    /// store is closed. True if nothing was cut.
    pub async fn drain(self) -> bool {
        self.health.set_not_serving().await;
        self.serving.pre_stop().await;
        self.health.end_watches().await;
        let clean = self.serving.drain().await;
        let stores = async {
            self.stores.issue.close().await;
            self.stores.inspect.close().await;
        };
        clean && tokio::time::timeout(CLOSE, stores).await.is_ok()
    }
}

/// `localhost` for addresses that stand for this machine, so that the self-signed certificate and
/// the issuer agree.
fn default_issuer(address: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let ip = address.ip();
    if ip.is_loopback() || ip.is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}
