//! A node in this process, with both faces on ports of its own, and clients to call it as.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jeton::{
    authority::QuotaOptions,
    cache::CacheOptions,
    config::Proxies,
    credentials::HashPoolOptions,
    domain::{
        About, Actor, Audience, Client, ClientId, ClientQuota, ClientSecret, Clock, GrantType,
        HashCost, HashCostCap, OsRandom, Quota, QuotaLimit, QuotaMode, Scope, SystemClock,
        TokenLifetime,
    },
    net::{Limits, tls::Tls},
    node::{ControlOptions, ControlPlace, Node, NodeOptions},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest,
        IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse, RevokeTokenRequest,
        issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
    registry::{NewClient, NewSecret, Registry},
    store::{Store, Stores},
};
use tonic::{Status, transport::Channel};

use super::{Database, Kind, everything};

/// Cheap on purpose: what a hash costs matters to no test but those of the hash itself.
pub(crate) const CHEAP: HashCost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };

/// Who changes something in a test.
pub(crate) fn operator() -> Actor {
    Actor::operator("tests").unwrap()
}

pub(crate) const CACHE: CacheOptions = CacheOptions {
    clients: 1_000,
    token_bytes: 1024 * 1024,
    lease: Duration::from_secs(2),
    lifetime: Duration::from_mins(5),
};

/// For tests of what happens at the database, which a node that remembers does not always ask.
pub(crate) const NO_CACHE: CacheOptions = CacheOptions { clients: 0, token_bytes: 0, ..CACHE };

/// Quotas: a rate, a burst, and a ceiling of live tokens.
pub(crate) fn quota(mode: QuotaMode, rate: i64, burst: i64, live: i64) -> QuotaOptions {
    let limit = |number| QuotaLimit::new(number).unwrap();
    let (tokens_per_second, burst, live_tokens) = (limit(rate), limit(burst), limit(live));
    QuotaOptions { mode, defaults: Quota { tokens_per_second, burst, live_tokens } }
}

#[derive(Clone)]
pub(crate) struct TestNodeOptions {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) hash_queue: usize,
    pub(crate) hash_cost: HashCost,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) proxies: Proxies,
    pub(crate) cache: CacheOptions,
    pub(crate) quota: QuotaOptions,
    /// Where administrators call, if they may.
    pub(crate) control: Option<ControlPlace>,
    pub(crate) secret_use_interval: Duration,
}

impl Default for TestNodeOptions {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            limits: Limits { drain_timeout: Duration::from_secs(5), ..Limits::default() },
            hash_queue: 256,
            hash_cost: CHEAP,
            tls: None,
            proxies: Proxies::default(),
            cache: CACHE,
            quota: quota(QuotaMode::Monitor, 50, 500, 1_000_000),
            control: None,
            // No test sees a writing that it does not ask for: a command that blocks the runtime of
            // its test would find the one file of SQLite locked.
            secret_use_interval: Duration::from_hours(1),
        }
    }
}

pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) registry: Registry,
    pub(crate) grpc: TokenServiceClient<Channel>,
    /// Last, so that it goes away after everything that uses it.
    pub(crate) database: Database,
}

/// What a test knows of a client.
pub(crate) struct Credentials {
    pub(crate) client: Client,
    pub(crate) secret: ClientSecret,
}

impl Credentials {
    pub(crate) fn id(&self) -> &str {
        self.client.client_id.as_str()
    }

    pub(crate) fn secret(&self) -> &str {
        self.secret.expose()
    }

    pub(crate) fn message(&self) -> ClientAuthentication {
        ClientAuthentication {
            client_id: self.id().to_owned(),
            client_secret: self.secret().to_owned(),
        }
    }
}

/// The options of a node on this store, on ports that the system chooses.
pub(crate) fn node_options(store: Arc<dyn Store>, options: &TestNodeOptions) -> NodeOptions {
    NodeOptions {
        control: options.control.clone().map(|place| ControlOptions {
            place,
            store: Arc::clone(&store),
            hash_cost: options.hash_cost,
            secret_lifetime: None,
        }),
        stores: Stores { issue: Arc::clone(&store), inspect: store },
        clock: Arc::clone(&options.clock),
        random: Arc::new(OsRandom),
        grpc_addr: "127.0.0.1:0".parse().unwrap(),
        http_addr: "127.0.0.1:0".parse().unwrap(),
        probe_addr: Some("127.0.0.1:0".parse().unwrap()),
        tls: options.tls.clone(),
        proxies: options.proxies.clone(),
        issuer: None,
        migrate: true,
        start_timeout: Duration::from_secs(10),
        hash_pool: HashPoolOptions {
            threads: 1,
            queue: options.hash_queue,
            share: options.hash_queue,
            patience: Duration::from_secs(10),
            cost: options.hash_cost,
            cap: HashCostCap::DEFAULT,
        },
        verified_capacity: 100,
        verified_lifetime: Duration::from_mins(5),
        cache: options.cache,
        quota: options.quota,
        audit_days: 90,
        secret_use_interval: options.secret_use_interval,
        limits: options.limits.clone(),
        workers: 1,
    }
}

impl TestNode {
    pub(crate) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, TestNodeOptions::default()).await
    }

    pub(crate) async fn start_with(kind: Kind, options: TestNodeOptions) -> Self {
        Self::on(Database::new(kind).await, options).await
    }

    /// A node on a database that may have been used before.
    pub(crate) async fn on(database: Database, options: TestNodeOptions) -> Self {
        let store = database.store();
        Self::with_store(database, store, options).await
    }

    /// A node that reaches its database by this store.
    pub(crate) async fn with_store(
        database: Database,
        store: Arc<dyn Store>,
        options: TestNodeOptions,
    ) -> Self {
        everything::keep_log_of_this_process();
        let node = Node::start(node_options(Arc::clone(&store), &options)).await.unwrap();
        let registry = Registry::open(
            Arc::clone(&store),
            Arc::clone(&options.clock),
            Arc::new(OsRandom),
            options.hash_cost,
            operator(),
        )
        .await
        .unwrap();
        let url = format!("http://{}", node.grpc_addr());
        // Lazy, since a node with TLS would refuse it.
        let grpc = TokenServiceClient::new(Channel::from_shared(url).unwrap().connect_lazy());
        Self { node, store, registry, grpc, database }
    }

    /// A second node on the database of the first.
    pub(crate) async fn beside(first: &Self, options: TestNodeOptions) -> Self {
        Self::on(first.database.shared(), options).await
    }

    /// A client of scopes `read` and `write` whose tokens are for `https://api.test`.
    pub(crate) async fn client(&self, client_id: &str) -> Credentials {
        self.register(new_client(client_id)).await
    }

    /// A resource server for `https://api.test` that may not ask for tokens.
    pub(crate) async fn resource_server(&self, client_id: &str) -> Credentials {
        self.register(NewClient {
            grants: BTreeSet::new(),
            scopes: BTreeSet::new(),
            audiences: BTreeSet::new(),
            serves: audiences(&["https://api.test"]),
            ..new_client(client_id)
        })
        .await
    }

    pub(crate) async fn register(&self, new: NewClient) -> Credentials {
        let (client, secret) =
            self.registry.create_client(new, NewSecret::default()).await.unwrap();
        everything::note_secrets_in(secret.expose());
        Credentials { client, secret }
    }

    pub(crate) async fn issue(&self, caller: &Credentials) -> Result<IssueTokenResponse, Status> {
        let request = issue_request(caller);
        let issued = self.grpc.clone().issue_token(request).await.map_err(kept)?.into_inner();
        everything::note_secrets_in(&issued.access_token);
        Ok(issued)
    }

    pub(crate) async fn introspect(
        &self,
        caller: &Credentials,
        token: &str,
    ) -> Result<IntrospectTokenResponse, Status> {
        let request = IntrospectTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(caller.message()),
        };
        Ok(self.grpc.clone().introspect_token(request).await?.into_inner())
    }

    pub(crate) async fn revoke(&self, caller: &Credentials, token: &str) -> Result<(), Status> {
        let request = RevokeTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(caller.message()),
        };
        self.grpc.clone().revoke_token(request).await.map(|_| ())
    }
}

/// A refusal, kept for whoever looks for secrets in it.
fn kept(refusal: Status) -> Status {
    everything::keep("refusals", &format!("{refusal:?}"));
    refusal
}

pub(crate) fn issue_request(caller: &Credentials) -> IssueTokenRequest {
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication: Some(caller.message()),
        ..Default::default()
    }
}

pub(crate) fn new_client(client_id: &str) -> NewClient {
    NewClient {
        client_id: Some(ClientId::parse(client_id).unwrap()),
        name: String::new(),
        grants: BTreeSet::from([GrantType::ClientCredentials]),
        scopes: Scope::parse_set(["read", "write"]).unwrap(),
        default_scopes: None,
        audiences: audiences(&["https://api.test"]),
        default_audience: None,
        several_audiences: false,
        serves: BTreeSet::new(),
        token_lifetime: TokenLifetime::DEFAULT,
        quota: ClientQuota::default(),
        about: About::default(),
    }
}

pub(crate) fn audiences(names: &[&str]) -> BTreeSet<Audience> {
    Audience::parse_set(names).unwrap()
}
