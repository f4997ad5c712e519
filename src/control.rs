//! Administration over gRPC: `ClientService`. The gate finds out who calls and what the contract
//! requires of the caller. Then the call parses its message, and runs a use case of the registry.

mod caller;
mod clients;
mod create;
mod deletion;
mod evidence;
mod gate;
mod giving;
mod import;
mod installation;
mod leaks;
mod parse;
mod refusal;
mod render;
mod secrets;
mod service;
mod tokens;
mod update;
mod watch;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

pub use self::gate::Gate;
use self::{caller::Caller, refusal::Refusal, watch::Watches};
use crate::{
    authority::Authority,
    domain::{Actor, Client, ClientId, Clock, Error, HashCost, Random},
    registry::Registry,
    request::RequestContext,
    rpc::Admission,
    store::Store,
};

/// Calls that may wait for nodes to write down uses of secrets, for some twenty seconds each. Each
/// holds a permit meanwhile, of which some must be left for others who read.
const MAX_WAITS: usize = 4;

/// Dependencies and options of the service.
pub struct ClientRpcOptions {
    /// The authority, which checks tokens. Calls fail until it is set.
    pub authority: Arc<OnceLock<Authority>>,
    /// Limits around each call.
    pub admission: Admission,
    /// Store of the clients.
    pub store: Arc<dyn Store>,
    /// Clock for times that are stored.
    pub clock: Arc<dyn Clock>,
    /// Source of randomness for ids and secrets.
    pub random: Arc<dyn Random>,
    /// Cost of the hashes of new secrets.
    pub hash_cost: HashCost,
    /// Lifetime of new secrets unless the caller names one; `None` if they do not expire.
    pub secret_lifetime: Option<Duration>,
    /// Issuer identifier of the node.
    pub issuer: String,
}

/// The service.
#[derive(Clone)]
pub struct ClientRpc {
    authority: Arc<OnceLock<Authority>>,
    admission: Admission,
    registry: Registry,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    secret_lifetime: Option<Duration>,
    issuer: Arc<str>,
    /// Permits to wait for evidence.
    waits: Arc<Semaphore>,
    /// Who watches the audit trail.
    watches: Watches,
}

impl ClientRpc {
    /// The service. It answers once the authority is set.
    #[must_use]
    pub fn new(options: ClientRpcOptions) -> Self {
        let (store, clock) = (Arc::clone(&options.store), Arc::clone(&options.clock));
        // Each call names its own actor.
        let registry =
            Registry::new(store, clock, options.random, options.hash_cost, Actor::node());
        Self {
            authority: options.authority,
            admission: options.admission,
            registry,
            store: options.store,
            clock: options.clock,
            secret_lifetime: options.secret_lifetime,
            issuer: options.issuer.into(),
            waits: Arc::new(Semaphore::new(MAX_WAITS)),
            watches: Watches::default(),
        }
    }

    /// Runs one call, for the caller whom the gate let through. Without a gate there is none.
    async fn run<M, T, F>(
        &self,
        request: Request<M>,
        call: impl FnOnce(Caller, M) -> F + Send,
    ) -> Result<Response<T>, Status>
    where
        M: Send,
        T: Send,
        F: Future<Output = Result<T, Refusal>> + Send,
    {
        let (_, extensions, message) = request.into_parts();
        if let Some(context) = extensions.get::<RequestContext>() {
            context.record_call();
        }
        let answered = match extensions.get::<Caller>().cloned() {
            Some(caller) => call(caller, message).await,
            None => Err(Refusal::InvalidToken),
        };
        answered.map(Response::new).map_err(Refusal::into_status)
    }

    fn authority(&self) -> Result<&Authority, Error> {
        self.authority.get().ok_or_else(|| Error::unavailable("the database is not ready yet"))
    }

    /// The registry, in which this caller is the actor.
    fn registry_for(&self, caller: &Caller) -> Registry {
        self.registry.acting_as(caller.actor.clone())
    }

    /// Finds a client that the caller may change: everything that a client may do, a caller who
    /// changes it may do soon.
    async fn changeable(&self, caller: &Caller, client_id: &ClientId) -> Result<Client, Refusal> {
        let client = self.registry.record(client_id).await?.client;
        self.giving(caller).await?.check(&client)?;
        Ok(client)
    }
}
