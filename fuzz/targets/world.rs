//! A node without sockets: the real service on a real SQLite, with hashes that cost little.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request, http::HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use jeton::{
    authority::{Authority, AuthorityOptions, QuotaOptions},
    cache::CacheOptions,
    credentials::{HashPool, HashPoolOptions},
    domain::{
        About, Actor, Audience, ClientId, ClientQuota, ClientState, Clock, GrantType, HashCost,
        HashCostCap, ManualClock, NodeClock, Quota, QuotaLimit, QuotaMode, Random, Scope,
        SeededRandom, Timestamp, TokenLifetime,
    },
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IssueTokenRequest, RevokeTokenRequest,
        issue_token_request::Grant,
        token_service_server::{TokenService, TokenServiceServer},
    },
    registry::{NewClient, NewSecret, Registry},
    rpc::{Admission, TokenRpc},
    store::{SqliteStore, Store, Stores},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::service::Routes;

use super::{
    http_answer::Answer,
    played_node::{http, options, runtime},
};

const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };

pub(super) const SCOPES: [&str; 2] = ["read", "write"];
pub(super) const AUDIENCE: &str = "https://api.test";

/// Who is registered.
#[derive(Debug, Clone, Copy, arbitrary::Arbitrary)]
pub(super) enum Who {
    /// May ask for tokens.
    Orders,
    /// May introspect them.
    Api,
    /// Has been disabled.
    Disabled,
}

pub(super) struct World {
    runtime: Runtime,
    pub(super) http: Router,
    pub(super) grpc: Router,
    rpc: TokenRpc,
    /// In the order of [`Who`].
    secrets: [String; 3],
    live: RefCell<String>,
    revoked: RefCell<String>,
    clock: Arc<ManualClock>,
    calls: Cell<u32>,
    _directory: TempDir,
}

impl World {
    pub(super) fn new() -> Self {
        let runtime = runtime();
        let directory = directory();
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_micros(1_800_000_000_000_000)));
        let (rpc, secrets) = runtime.block_on(service(directory.path(), clock.clone()));
        let grpc = Routes::new(TokenServiceServer::new(rpc.clone())).prepare().into_axum_router();
        let http = http(Arc::new(rpc.clone()));
        Self {
            runtime,
            http,
            grpc,
            rpc,
            secrets,
            live: RefCell::default(),
            revoked: RefCell::default(),
            clock,
            calls: Cell::default(),
            _directory: directory,
        }
    }

    pub(super) fn call(&self, router: &Router, request: Request) -> Answer {
        self.runtime.block_on(Answer::of(router.clone(), request))
    }

    /// Makes ready for an input. Time goes on, so that the failures of the last one make this one
    /// wait no more; and so there must be new tokens from time to time.
    pub(super) fn next(&self) {
        const STEP: Duration = Duration::from_mins(2);
        self.clock.set(self.clock.now().plus(STEP));
        if self.calls.get().is_multiple_of(500) {
            self.renew();
            self.revoke(&self.live());
            self.revoked.replace(self.live());
            self.renew();
        }
        self.calls.set(self.calls.get().wrapping_add(1));
    }

    pub(super) fn client_id(who: Who) -> &'static str {
        ["orders", "api", "disabled"][who as usize]
    }

    pub(super) fn secret(&self, who: Who) -> &str {
        &self.secrets[who as usize]
    }

    /// The header of a client that authenticates as it should.
    pub(super) fn basic(&self, who: Who) -> HeaderValue {
        let credentials = format!("{}:{}", Self::client_id(who), self.secret(who));
        let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)));
        value.expect("base64 is printable")
    }

    /// A token that can be used.
    pub(super) fn live(&self) -> String {
        self.live.borrow().clone()
    }

    /// A token that was revoked.
    pub(super) fn revoked(&self) -> String {
        self.revoked.borrow().clone()
    }

    /// Makes a new token to use, because an input may have revoked the last.
    pub(super) fn renew(&self) {
        self.live.replace(self.issue());
    }

    fn credentials(&self, who: Who) -> ClientAuthentication {
        let client_id = Self::client_id(who).to_owned();
        ClientAuthentication { client_id, client_secret: self.secret(who).to_owned() }
    }

    fn revoke(&self, token: &str) {
        let request = tonic::Request::new(RevokeTokenRequest {
            token: token.to_owned(),
            token_type_hint: String::new(),
            client_authentication: Some(self.credentials(Who::Orders)),
        });
        self.runtime.block_on(self.rpc.revoke_token(request)).expect("it is the client's own");
    }

    fn issue(&self) -> String {
        let request = tonic::Request::new(IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(self.credentials(Who::Orders)),
            ..IssueTokenRequest::default()
        });
        let answer = self.runtime.block_on(self.rpc.issue_token(request));
        answer.expect("the client may ask for tokens").into_inner().access_token
    }
}

/// The service with its clients. Clock and randomness are ours, so that an input always does the
/// same.
async fn service(directory: &Path, clock: Arc<dyn Clock>) -> (TokenRpc, [String; 3]) {
    let store: Arc<dyn Store> =
        Arc::new(SqliteStore::in_directory(directory, 1, Duration::from_secs(5)));
    let random: Arc<dyn Random> = Arc::new(SeededRandom::default());
    store.migrate(clock.now(), random.as_ref()).await.expect("an empty database is migrated");
    let actor = Actor::operator("fuzz").expect("a fair name");
    let registry =
        Registry::open(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&random), CHEAP, actor)
            .await;
    let registry = registry.expect("the store is ready");
    let mut secrets = Vec::new();
    for who in [Who::Orders, Who::Api, Who::Disabled] {
        let created = registry.create_client(client(who), NewSecret::default()).await;
        secrets.push(created.expect("the name is free").1.expose().to_owned());
    }
    let disabled = ClientId::parse(World::client_id(Who::Disabled)).expect("a fair name");
    let done = registry.set_client_state(&disabled, ClientState::Disabled).await;
    done.expect("the client is there");
    let hash_pool = HashPool::start(HashPoolOptions {
        threads: 1,
        queue: 4,
        share: 4,
        patience: Duration::from_secs(10),
        cost: CHEAP,
        cap: HashCostCap::DEFAULT,
    });
    let hash_pool = hash_pool.expect("a fair cost");
    let authority = Authority::open(AuthorityOptions {
        stores: Stores { issue: Arc::clone(&store), inspect: store },
        clock: Arc::new(NodeClock::new(clock)),
        random,
        hash_pool,
        // Some secrets are remembered from one input to the next, and some are hashed again.
        verified_capacity: 2,
        verified_lifetime: Duration::from_mins(5),
        // Nothing follows the feed here, so every call asks the database.
        cache: CacheOptions {
            clients: 0,
            token_bytes: 0,
            lease: Duration::from_secs(2),
            lifetime: Duration::from_mins(5),
        },
        quota: QuotaOptions {
            mode: QuotaMode::Monitor,
            defaults: Quota {
                tokens_per_second: QuotaLimit::MAX,
                burst: QuotaLimit::MAX,
                live_tokens: QuotaLimit::MAX,
            },
        },
        issuer: options().issuer,
    });
    let authority = authority.await;
    let rpc = TokenRpc::new(Admission::new(16, Duration::from_secs(10)));
    rpc.begin(authority.expect("the store is ready"));
    (rpc, secrets.try_into().expect("three clients"))
}

fn client(who: Who) -> NewClient {
    let audiences = Audience::parse_set([AUDIENCE]).expect("a fair audience");
    let (grants, serves) = match who {
        Who::Api => (BTreeSet::new(), audiences.clone()),
        Who::Orders | Who::Disabled => {
            (BTreeSet::from([GrantType::ClientCredentials]), BTreeSet::new())
        }
    };
    NewClient {
        client_id: Some(ClientId::parse(World::client_id(who)).expect("a fair name")),
        name: String::new(),
        grants,
        scopes: Scope::parse_set(SCOPES).expect("fair scopes"),
        default_scopes: None,
        audiences,
        default_audience: None,
        several_audiences: false,
        serves,
        token_lifetime: TokenLifetime::MAX,
        quota: ClientQuota::default(),
        about: About::default(),
    }
}

/// A directory in memory where there is one: every issued token is flushed.
pub(super) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("a temporary directory can be made")
}
