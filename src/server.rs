//! The wiring of a node: listeners, TLS, limits, health, drain.

mod admin;
mod brake;
mod connection;
mod descriptors;
mod following;
mod health;
mod listen;
mod opening;
mod peer;
mod prepare;
mod shim;
pub mod tls;
mod upkeep;
mod workers;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

use self::{
    admin::{Admin, Need, Readiness},
    following::Following,
    health::Health,
    listen::{Listener, Serving},
    shim::default_issuer,
    tls::Tls,
    workers::Workers,
};
pub use self::{
    descriptors::fit_connections,
    listen::Limits,
    shim::{Shim, ShimOptions},
};
use crate::{
    authority::{Authority, AuthorityOptions, HashPool, HashPoolOptions, MemoryOptions},
    domain::{Cause, Clock, Error, Lane, NodeClock, Random},
    http,
    pb::{self, v1::token_service_server::TokenServiceServer},
    request::AccessLog,
    rpc::{Admission, GrpcService, TokenRpc},
    store::{Stores, migrate::SchemaError},
    telemetry::{Face, Metrics, Readings},
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
    /// Where metrics and probes are served.
    pub admin_addr: Option<SocketAddr>,
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
    /// How much is remembered of the database.
    pub memory: MemoryOptions,
    /// For how many days the audit trail is kept.
    pub audit_days: u32,
    /// The limits of both listeners.
    pub limits: Limits,
    /// Threads that serve connections; with none they are served where the node was started.
    pub workers: usize,
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
    /// The threads that serve connections cannot be started.
    #[error("the threads of the listeners cannot be started")]
    Workers(#[source] io::Error),
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
    readiness: Arc<Readiness>,
    stores: Stores,
    health: Health,
    serving: Serving,
    following: Following,
    /// Last, so that it tells of the drain as well.
    admin: Admin,
}

impl Node {
    /// Starts a node. The listeners are bound first and say that they are not ready, so that a
    /// balancer sees a node that waits for its database; this returns once it serves.
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        let grpc = Listener::bind(options.grpc_addr, Face::Grpc).await?;
        let shim = Listener::bind(options.http_addr, Face::Http).await?;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(shim.address, options.tls.is_some()));
        let hash_pool = HashPool::start(options.hash_pool).map_err(StartError::HashPool)?;
        let workers = Workers::start(options.workers).map_err(StartError::Workers)?;

        let limits = options.limits;
        let admission = Admission::new(limits.max_requests, limits.request_timeout);
        let rpc = TokenRpc::new(admission.clone());
        let metrics = metrics(rpc.clone(), admission, options.stores.clone());
        let readiness =
            Readiness::new(Lane::ALL.map(|_| Need::store()).into_iter().chain([Need::lease()]));
        let admin = Admin::start(options.admin_addr, &metrics, &readiness).await?;

        let (reporter, health_service) = tonic_health::server::health_reporter();
        let health = Health::not_serving(reporter).await;
        // One service, with the limits around each call, serves both transports.
        let forms =
            http::router(Arc::new(rpc.clone()), shim::http_options(issuer.clone(), &limits));
        let calls = grpc_service(rpc.clone(), health_service, &limits)?;

        let node = Self {
            grpc_addr: grpc.address,
            http_addr: shim.address,
            issuer: issuer.clone(),
            stores: options.stores,
            health,
            readiness,
            serving: Serving::new(limits, Arc::clone(&metrics), workers),
            following: Following::default(),
            admin,
        };
        let random = options.random.as_ref();
        let paths = GrpcService::paths();
        let calls = AccessLog::new(Face::Grpc, paths, Arc::clone(&metrics), random, calls);
        let forms = AccessLog::new(Face::Http, http::paths(&issuer), metrics, random, forms);
        node.serving.serve(grpc, calls, options.tls.clone());
        node.serving.serve(shim, forms, options.tls);

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
            clock: Arc::new(NodeClock::new(Arc::clone(&clock))),
            random: options.random,
            hash_pool,
            verified_capacity: options.verified_capacity,
            verified_lifetime: options.verified_lifetime,
            memory: options.memory,
            issuer,
        });
        let authority = authority.await.map_err(SchemaError::from)?;
        let clock: Arc<dyn Clock> = authority.clock();
        node.following.begin(authority.follower());
        rpc.begin(authority);
        node.look_after_lease(rpc).await;
        node.look_after_stores(&clock, options.audit_days);
        node.readiness.set_serving(true);
        node.health.set_serving().await;
        Ok(node)
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

    /// Where metrics and probes are served.
    #[must_use]
    pub const fn admin_addr(&self) -> SocketAddr {
        self.admin.address
    }

    /// The issuer in force.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Stops: health says `NOT_SERVING` at once, open requests finish within their limits, and the
    /// store is closed. True if nothing was cut.
    pub async fn drain(self) -> bool {
        self.readiness.set_serving(false);
        self.health.set_not_serving().await;
        self.serving.pre_stop().await;
        self.health.end_watches().await;
        let clean = self.serving.drain().await;
        // Open requests were answered by the lease: it is given back only now.
        self.following.end().await;
        let stores = async {
            self.stores.issue.close().await;
            self.stores.inspect.close().await;
        };
        clean && tokio::time::timeout(CLOSE, stores).await.is_ok()
    }
}

/// The contract, health and reflection.
fn grpc_service(
    rpc: TokenRpc,
    health: HealthServer<impl tonic_health::pb::health_server::Health>,
    limits: &Limits,
) -> Result<GrpcService, StartError> {
    let tokens = TokenServiceServer::new(rpc).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let others = Routes::new(health).add_service(reflection).prepare().into_axum_router();
    Ok(GrpcService::new(tokens, others, limits.request_timeout))
}

fn metrics(rpc: TokenRpc, admission: Admission, stores: Stores) -> Arc<Metrics> {
    Arc::new(Metrics::new(move || Readings {
        authority: rpc.stats(),
        busy: admission.refused(),
        stores: Lane::ALL.map(|lane| (lane.as_str(), stores.of(lane).connections())).to_vec(),
    }))
}
