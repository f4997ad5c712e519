//! A node: wires the listeners and services together, reports health, and drains.

mod control;
mod error;
mod evidence;
mod following;
mod grpc;
mod health;
mod options;
mod prepare;
mod probes;
mod retiring_uses;
mod secret_expiry;
mod shim;
mod upkeep;

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use self::{
    control::{Control, Shared},
    evidence::Recording,
    following::Following,
    health::Health,
    probes::{Dependency, Probes, Readiness},
    shim::issuer,
};
pub use self::{
    error::StartError,
    options::{ControlOptions, ControlPlace, NodeOptions},
    shim::{Shim, ShimOptions},
};
use crate::{
    authority::{Authority, AuthorityOptions},
    credentials::HashPool,
    domain::{Clock, Lane, NodeClock},
    net::{Listener, Server, Workers},
    oauth_http::{self, Endpoints, StrictHttp},
    pb::v1::token_service_server::TokenServiceServer,
    request::AccessLog,
    rpc::{Admission, Streams, TokenRpc},
    store::{Stores, migrate::SchemaError},
    telemetry::{ListenerKind, Metrics, Readings},
};

/// Name of the service for callers, for health checks.
const SERVICE: &str = <TokenServiceServer<TokenRpc> as tonic::server::NamedService>::NAME;

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
    control: Option<Control>,
    following: Following,
    /// Set before the node serves.
    recording: OnceLock<Arc<Recording>>,
    /// The last field, so that it is dropped last and serves probes during the drain.
    probes: Probes,
}

impl Node {
    /// Starts a node, and returns once it serves. The listeners are bound first and report that
    /// the node is not ready, so that a load balancer sees a node that waits for its database.
    pub async fn start(mut options: NodeOptions) -> Result<Self, StartError> {
        let grpc = Listener::bind(options.grpc_addr, ListenerKind::Grpc).await?;
        let shim = Listener::bind(options.http_addr, ListenerKind::Http).await?;
        let issuer = issuer(options.issuer.take(), shim.address, options.tls.is_some());
        let hash_pool = HashPool::start(options.hash_pool).map_err(StartError::HashPool)?;
        let workers = Workers::start(options.workers).map_err(StartError::Workers)?;

        let limits = options.limits.clone();
        let admission = Admission::new(limits.max_requests, limits.request_timeout);
        let rpc = TokenRpc::new(admission.clone());
        let metrics = metrics(rpc.clone(), admission.clone(), options.stores.clone());
        let stores = Lane::ALL.map(|_| Dependency::store());
        let readiness = Readiness::new(stores.into_iter().chain([Dependency::lease()]));
        let probes = Probes::start(options.probe_addr, &metrics, &readiness).await?;

        let saturation = Arc::clone(&readiness.saturation);
        let server = Server::new(limits.clone(), Arc::clone(&metrics), workers, saturation);
        let server = server.behind(options.proxies.clone());
        let health = Health::not_serving(SERVICE).await;
        // One service, with the limits around each call, serves both transports.
        let settings = shim::http_options(issuer.clone(), &limits);
        let endpoints = Endpoints::new(Arc::new(rpc.clone()), settings);
        let forms = StrictHttp { endpoints, has_tls: options.tls.is_some() };
        let streams = Streams::new(server.stop.clone());
        let calls = grpc::service(rpc.clone(), &health, &limits, streams)?;
        let shared = Shared {
            tokens: &rpc,
            admission,
            metrics: Arc::clone(&metrics),
            limits: &limits,
            tls: options.tls.clone(),
            clock: Arc::clone(&options.clock),
            random: Arc::clone(&options.random),
            issuer: &issuer,
        };
        let control = Control::start(options.control.take(), shared).await?;

        let node = Self {
            grpc_addr: grpc.address,
            http_addr: shim.address,
            issuer: issuer.clone(),
            stores: options.stores.clone(),
            health,
            readiness,
            server,
            control,
            following: Following::default(),
            recording: OnceLock::new(),
            probes,
        };
        let random = options.random.as_ref();
        let paths = calls.paths();
        let calls = AccessLog::new(ListenerKind::Grpc, paths, Arc::clone(&metrics), random, calls);
        let forms =
            AccessLog::new(ListenerKind::Http, oauth_http::paths(&issuer), metrics, random, forms);
        node.server.serve(grpc, calls, options.tls.clone());
        node.server.serve(shim, forms, options.tls.clone());

        let (clock, random) = (options.clock.as_ref(), options.random.as_ref());
        let (migrate, patience) = (options.migrate, options.start_timeout);
        prepare::store(&node.stores.issue, clock, random, migrate, patience).await?;
        let audit_days = options.audit_days;
        let interval = options.secret_use_interval;
        node.begin(authority(options, hash_pool, issuer), rpc, audit_days, interval).await?;
        Ok(node)
    }

    /// Opens the authority, starts to follow the change feed, and starts to answer requests.
    async fn begin(
        &self,
        authority: AuthorityOptions,
        rpc: TokenRpc,
        audit_days: u32,
        secret_use_interval: Duration,
    ) -> Result<(), StartError> {
        let authority = Authority::open(authority).await.map_err(SchemaError::from)?;
        let clock: Arc<dyn Clock> = authority.clock();
        let (store, uses) = (Arc::clone(&self.stores.issue), authority.uses());
        let recording = Recording::begin(store, Arc::clone(&clock), uses, secret_use_interval);
        let recording = recording.await.map_err(SchemaError::from)?;
        let _ = self.recording.set(Arc::clone(&recording));
        self.following.begin(authority.follower());
        rpc.begin(authority);
        self.look_after_lease(rpc).await;
        // With the first lease the clock became that of the database, and was not set since.
        self.server.spawn(recording.run(self.server.stop.clone()));
        self.look_after_stores(&clock, audit_days);
        self.readiness.set_serving(true);
        self.health.set_serving().await;
        if let Some(control) = &self.control {
            control.set_serving().await;
        }
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

    /// Address of the control listener for people, such as `unix:/run/jeton/control.sock`; `None`
    /// if there is none.
    #[must_use]
    pub fn control(&self) -> Option<&str> {
        self.control.as_ref().map(|control| control.place.as_str())
    }

    /// Address of the control listener with the actual port; `None` if it has none.
    #[must_use]
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control.as_ref().and_then(|control| control.address)
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
        if let Some(control) = &self.control {
            control.set_not_serving().await;
        }
        self.server.pre_stop().await;
        let administration = async {
            match &self.control {
                Some(control) => control.drain().await,
                None => true,
            }
        };
        let (calls, administration) = tokio::join!(self.server.drain(), administration);
        let clean = calls && administration;
        if let Some(recording) = self.recording.get() {
            recording.end().await;
        }
        // Open requests relied on the lease, so it is given back only now.
        self.following.end().await;
        let stores = async {
            self.stores.issue.close().await;
            self.stores.inspect.close().await;
            if let Some(control) = &self.control {
                control.close().await;
            }
        };
        clean && tokio::time::timeout(CLOSE, stores).await.is_ok()
    }
}

fn authority(options: NodeOptions, hash_pool: HashPool, issuer: String) -> AuthorityOptions {
    AuthorityOptions {
        stores: options.stores,
        clock: Arc::new(NodeClock::new(options.clock)),
        random: options.random,
        hash_pool,
        verified_capacity: options.verified_capacity,
        verified_lifetime: options.verified_lifetime,
        cache: options.cache,
        quota: options.quota,
        issuer,
    }
}

fn metrics(rpc: TokenRpc, admission: Admission, stores: Stores) -> Arc<Metrics> {
    Arc::new(Metrics::of_node(move || Readings {
        authority: rpc.stats(),
        busy: admission.refused(),
        upstream_failures: None,
        stores: Lane::ALL.map(|lane| (lane.as_str(), stores.of(lane).connections())).to_vec(),
    }))
}
