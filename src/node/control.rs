//! The control listener: `ClientService` for administrators. It shares no thread, connection limit
//! or database connection with the listeners for callers.

use std::{net::SocketAddr, sync::Arc};

use tonic::server::NamedService;

use super::{ControlOptions, ControlPlace, StartError, grpc, health::Health};
use crate::{
    control::{ClientRpc, ClientRpcOptions},
    domain::{Clock, Random, chain},
    net::{Limits, ListenError, Listener, MAX_CONTROL_CONNECTIONS, Server, Workers, tls::Tls},
    pb::v1::client_service_server::ClientServiceServer,
    request::AccessLog,
    rpc::{Admission, Streams, TokenRpc},
    store::Store,
    telemetry::{ListenerKind, Metrics},
};

/// Name of the service, for health checks.
const SERVICE: &str = <ClientServiceServer<ClientRpc> as NamedService>::NAME;

/// What the control listener shares with the rest of the node.
pub(super) struct Shared<'a> {
    pub(super) tokens: &'a TokenRpc,
    pub(super) admission: Admission,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: &'a Limits,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) issuer: &'a str,
}

/// The control listener of a node.
pub(super) struct Control {
    /// Its address, for people: a socket address, or `unix:` and a path.
    pub(super) place: String,
    /// Its address with the actual port; `None` for a Unix socket.
    pub(super) address: Option<SocketAddr>,
    store: Arc<dyn Store>,
    server: Server,
    health: Health,
}

impl Control {
    /// Binds the listener and starts to serve. Calls fail with UNAVAILABLE until the node is ready.
    /// `None` if there is to be none, or the default socket cannot be served.
    pub(super) async fn start(
        options: Option<ControlOptions>,
        shared: Shared<'_>,
    ) -> Result<Option<Self>, StartError> {
        let Some(ControlOptions { place, store, hash_cost, secret_lifetime }) = options else {
            return Ok(None);
        };
        let Some((listener, place, address)) = bind(place).await? else { return Ok(None) };
        let limits = Limits { max_connections: MAX_CONTROL_CONNECTIONS, ..shared.limits.clone() };
        let metrics = Arc::clone(&shared.metrics);
        let server =
            Server::new(limits.clone(), Arc::clone(&metrics), Workers::default(), Arc::default());
        let rpc = ClientRpc::new(ClientRpcOptions {
            authority: shared.tokens.shared_authority(),
            admission: shared.admission,
            store: Arc::clone(&store),
            clock: shared.clock,
            random: Arc::clone(&shared.random),
            hash_cost,
            secret_lifetime,
            issuer: shared.issuer.to_owned(),
        });
        let health = Health::not_serving(SERVICE).await;
        let calls = grpc::control(rpc, &health, &limits, Streams::new(server.stop.clone()))?;
        let (paths, random) = (calls.paths(), shared.random.as_ref());
        let calls = AccessLog::new(ListenerKind::Control, paths, metrics, random, calls);
        // A Unix socket leads nowhere else, so it needs no TLS.
        server.serve(listener, calls, shared.tls.filter(|_| address.is_some()));
        Ok(Some(Self { place, address, store, server, health }))
    }

    /// Reports that the node serves.
    pub(super) async fn set_serving(&self) {
        self.health.set_serving().await;
    }

    /// Reports that the node does not serve any more.
    pub(super) async fn set_not_serving(&self) {
        self.health.set_not_serving().await;
    }

    /// Closes the listener and lets open requests finish. True if no connection was cut.
    pub(super) async fn drain(&self) -> bool {
        self.server.drain().await
    }

    /// Closes the store, which may be that of the listeners for callers.
    pub(super) async fn close(&self) {
        self.store.close().await;
    }
}

type Bound = (Listener, String, Option<SocketAddr>);

async fn bind(place: ControlPlace) -> Result<Option<Bound>, ListenError> {
    let kind = ListenerKind::Control;
    let (path, is_default) = match place {
        ControlPlace::Address(address) => {
            let listener = Listener::bind(address, kind).await?;
            let address = listener.address;
            return Ok(Some((listener, address.to_string(), Some(address))));
        }
        ControlPlace::Socket(path) => (path, false),
        ControlPlace::DefaultSocket(path) => (path, true),
    };
    match Listener::bind_unix(&path, kind) {
        Ok(listener) => Ok(Some((listener, format!("unix:{}", path.display()), None))),
        Err(error) if is_default => {
            let cause = chain(&error);
            tracing::warn!(cause, "no control socket; set --control-addr to another, or to none");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
