//! A node: wires the listeners and services together, reports health, and drains.

mod error;
mod following;
mod health;
mod options;
mod prepare;
mod probes;
mod secret_expiry;
mod shim;
mod upkeep;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;

pub use self::{
    error::StartError,
    options::NodeOptions,
    shim::{Shim, ShimOptions},
};
use self::{
    following::Following,
    health::Health,
    probes::{Dependency, Probes, Readiness},
    shim::default_issuer,
};
use crate::{
    authority::{Authority, AuthorityOptions},
    credentials::HashPool,
    domain::{Clock, Lane, NodeClock},
    net::{Limits, Listener, Server, Workers},
    oauth_http::{self, StrictHttp},
    pb::{self, v1::token_service_server::TokenServiceServer},
    request::AccessLog,
    rpc::{Admission, GrpcService, Streams, TokenRpc},
    store::{Stores, migrate::SchemaError},
    telemetry::{ListenerKind, Metrics, Readings},
};

/// Maximum gRPC message in bytes. A request holds a token and credentials; as a form it is smaller.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Timeout for closing the store. It waits for connections in use, and one of them may run a
/// statement that a silent database never answers.
const CLOSE: Duration = Duration::from_secs(2);

/// A running node.
pub struct Node {
    grpc_addr: SocketAddr,
    http_addr: SocketAddr,
    issuer: String,
    readiness: Arc<Readiness>,
    stores: Stores,
    health: Health,
    server: Server,
    following: Following,
    /// The last field, so that it is dropped last and serves probes during the drain.
    probes: Probes,
}

impl Node {
    /// Starts a node, and returns once it serves. The listeners are bound first and report that
    /// the node is not ready, so that a load balancer sees a node that waits for its database.
    pub async fn start(options: NodeOptions) -> Result<Self, StartError> {
        let grpc = Listener::bind(options.grpc_addr, ListenerKind::Grpc).await?;
        let shim = Listener::bind(options.http_addr, ListenerKind::Http).await?;
        let issuer =
            options.issuer.unwrap_or_else(|| default_issuer(shim.address, options.tls.is_some()));
        let hash_pool = HashPool::start(options.hash_pool).map_err(StartError::HashPool)?;
        let workers = Workers::start(options.workers).map_err(StartError::Workers)?;

        let limits = options.limits;
        let admission = Admission::new(limits.max_requests, limits.request_timeout);
        let rpc = TokenRpc::new(admission.clone());
        let metrics = metrics(rpc.clone(), admission, options.stores.clone());
        let stores = Lane::ALL.map(|_| Dependency::store());
        let readiness = Readiness::new(stores.into_iter().chain([Dependency::lease()]));
        let probes = Probes::start(options.probe_addr, &metrics, &readiness).await?;

        let saturation = Arc::clone(&readiness.saturation);
        let server = Server::new(limits.clone(), Arc::clone(&metrics), workers, saturation);
        let server = server.behind(options.proxies);
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let health = Health::not_serving(reporter).await;
        // One service, with the limits around each call, serves both transports.
        let router =
            oauth_http::router(Arc::new(rpc.clone()), shim::http_options(issuer.clone(), &limits));
        let forms = StrictHttp { router, has_tls: options.tls.is_some() };
        let streams = Streams::new(server.stop.clone());
        let calls = grpc_service(rpc.clone(), health_service, &limits, streams)?;

        let node = Self {
            grpc_addr: grpc.address,
            http_addr: shim.address,
            issuer: issuer.clone(),
            stores: options.stores,
            health,
            readiness,
            server,
            following: Following::default(),
            probes,
        };
        let random = options.random.as_ref();
        let paths = GrpcService::paths();
        let calls = AccessLog::new(ListenerKind::Grpc, paths, Arc::clone(&metrics), random, calls);
        let forms =
            AccessLog::new(ListenerKind::Http, oauth_http::paths(&issuer), metrics, random, forms);
        node.server.serve(grpc, calls, options.tls.clone());
        node.server.serve(shim, forms, options.tls);

        let clock = options.clock;
        prepare::store(
            &node.stores.issue,
            clock.as_ref(),
            options.random.as_ref(),
            options.migrate,
            options.start_timeout,
        )
        .await?;
        let authority = AuthorityOptions {
            stores: node.stores.clone(),
            clock: Arc::new(NodeClock::new(clock)),
            random: options.random,
            hash_pool,
            verified_capacity: options.verified_capacity,
            verified_lifetime: options.verified_lifetime,
            cache: options.cache,
            quota: options.quota,
            issuer,
        };
        node.begin(authority, rpc, options.audit_days).await?;
        Ok(node)
    }

    /// Opens the authority, starts to follow the change feed, and starts to answer requests.
    async fn begin(
        &self,
        authority: AuthorityOptions,
        rpc: TokenRpc,
        audit_days: u32,
    ) -> Result<(), StartError> {
        let authority = Authority::open(authority).await.map_err(SchemaError::from)?;
        let clock: Arc<dyn Clock> = authority.clock();
        self.following.begin(authority.follower());
        rpc.begin(authority);
        self.look_after_lease(rpc).await;
        self.look_after_stores(&clock, audit_days);
        self.readiness.set_serving(true);
        self.health.set_serving().await;
        Ok(())
    }

    /// Address of the gRPC listener, with the actual port if 0 was requested.
    #[must_use]
    pub const fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Address of the HTTP listener, with the actual port if 0 was requested.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Address of the probe listener, with the actual port.
    #[must_use]
    pub const fn probe_addr(&self) -> SocketAddr {
        self.probes.address
    }

    /// The issuer identifier of this node.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Drains and stops the node: health reports `NOT_SERVING` immediately, open requests finish
    /// within their limits, and the store is closed. True if no connection was cut and the store
    /// closed in time.
    pub async fn drain(self) -> bool {
        self.readiness.set_serving(false);
        self.health.set_not_serving().await;
        self.server.pre_stop().await;
        let clean = self.server.drain().await;
        // Open requests relied on the lease, so it is given back only now.
        self.following.end().await;
        let stores = async {
            self.stores.issue.close().await;
            self.stores.inspect.close().await;
        };
        clean && tokio::time::timeout(CLOSE, stores).await.is_ok()
    }
}

/// The gRPC services: tokens, health and reflection.
fn grpc_service(
    rpc: TokenRpc,
    health: HealthServer<impl tonic_health::pb::health_server::Health>,
    limits: &Limits,
    streams: Streams,
) -> Result<GrpcService, StartError> {
    let tokens = TokenServiceServer::new(rpc).max_decoding_message_size(MAX_MESSAGE_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let others = Routes::new(health).add_service(reflection).prepare().into_axum_router();
    Ok(GrpcService::new(tokens, others, limits.request_timeout, streams))
}

fn metrics(rpc: TokenRpc, admission: Admission, stores: Stores) -> Arc<Metrics> {
    Arc::new(Metrics::of_node(move || Readings {
        authority: rpc.stats(),
        busy: admission.refused(),
        upstream_failures: None,
        stores: Lane::ALL.map(|lane| (lane.as_str(), stores.of(lane).connections())).to_vec(),
    }))
}
