//! One that calls both nodes and writes down what it was told.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jeton::{
    domain::{ClientId, SecretId},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        RevokeTokenRequest, issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
};
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use super::history::{Asked, Call, History, Told};

/// A secret as its holder knows it.
pub(super) struct Secret {
    pub(super) number: u32,
    pub(super) id: SecretId,
    pub(super) client_id: ClientId,
    pub(super) text: String,
}

/// A token as its holder knows it.
pub(super) struct Token {
    number: u32,
    text: String,
    /// That it was issued with.
    pub(super) secret: Arc<Secret>,
}

/// What all callers share.
pub(super) struct Shared {
    pub(super) history: History,
    pub(super) nodes: [SocketAddr; 2],
    /// It sees all tokens, and nobody touches it.
    pub(super) resource_server: Arc<Secret>,
    /// The secrets of each client that are of use now.
    pub(super) live: Vec<Mutex<Vec<Arc<Secret>>>>,
    /// Every token that was ever issued.
    pub(super) tokens: Mutex<Vec<Arc<Token>>>,
    pub(super) answered: AtomicUsize,
    pub(super) stop: AtomicBool,
    /// Calls that nobody waits for.
    pub(super) tracker: TaskTracker,
    /// Every caller, and each time that it was told to wait, has an address of its own.
    sources: AtomicU32,
}

impl Shared {
    pub(super) fn new(
        history: History,
        nodes: [SocketAddr; 2],
        resource_server: Arc<Secret>,
        clients: usize,
    ) -> Self {
        Self {
            history,
            nodes,
            resource_server,
            live: (0..clients).map(|_| Mutex::default()).collect(),
            tokens: Mutex::default(),
            answered: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            tracker: TaskTracker::new(),
            sources: AtomicU32::new(0),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Clients to both nodes, from an address that nobody has called from: a node makes those
    /// wait that failed too often, by their address.
    fn connect(&self) -> [TokenServiceClient<Channel>; 2] {
        let number = self.sources.fetch_add(1, Ordering::Relaxed) % (1 << 22);
        let source = IpAddr::V4(Ipv4Addr::from(0x7f40_0001 + number));
        self.nodes.map(|address| {
            let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
            let endpoint = endpoint.local_address(Some(source));
            let endpoint = endpoint.connect_timeout(Duration::from_millis(500));
            TokenServiceClient::new(endpoint.connect_lazy())
        })
    }
}

/// A sequence that a seed repeats (splitmix64).
#[derive(Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((word ^ (word >> 31)) % bound as u64).unwrap()
    }

    /// Dice of their own for the one of this number.
    pub(super) fn of(seed: u64, number: usize) -> Self {
        let mut dice = Self(seed ^ (number as u64) << 32);
        dice.below(1);
        dice
    }
}

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    nodes: Mutex<[TokenServiceClient<Channel>; 2]>,
    /// When it gives a call up. Its outcome is then unknown.
    patience: Duration,
}

impl Actor {
    pub(super) fn new(shared: Arc<Shared>, patience: Duration) -> Arc<Self> {
        let nodes = Mutex::new(shared.connect());
        Arc::new(Self { shared, nodes, patience })
    }

    /// Asks for a token; none is told of if none came.
    pub(super) async fn issue(&self, node: usize, secret: &Arc<Secret>) -> Option<Arc<Token>> {
        let asked = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(authentication(secret)),
            ..Default::default()
        };
        let mut issued = None;
        let answer = async |mut grpc: TokenServiceClient<Channel>| {
            let text = grpc.issue_token(self.request(asked)).await?.into_inner().access_token;
            let mut tokens = self.shared.tokens.lock().unwrap();
            let number = u32::try_from(tokens.len()).unwrap();
            let token = Arc::new(Token { number, text, secret: Arc::clone(secret) });
            tokens.push(Arc::clone(&token));
            issued = Some(token);
            Ok(Told::Issued { token: number })
        };
        self.call(node, secret, Asked::Issue, answer).await;
        issued
    }

    /// Asks for a token's worth, as the resource server.
    pub(super) async fn introspect(&self, node: usize, token: &Token) -> Told {
        let caller = &self.shared.resource_server;
        let asked = IntrospectTokenRequest {
            token: token.text.clone(),
            client_authentication: Some(authentication(caller)),
            ..Default::default()
        };
        let answer = async |mut grpc: TokenServiceClient<Channel>| {
            let answer = grpc.introspect_token(self.request(asked)).await?.into_inner();
            Ok(match answer.active {
                true if answer.client_id != token.secret.client_id.as_str() => Told::Garbled,
                true => Told::Active,
                false => Told::Inactive,
            })
        };
        self.call(node, caller, Asked::Introspect { token: token.number }, answer).await
    }

    /// Revokes a token, as its owner.
    pub(super) async fn revoke(&self, node: usize, token: &Token) -> Told {
        let asked = RevokeTokenRequest {
            token: token.text.clone(),
            client_authentication: Some(authentication(&token.secret)),
            ..Default::default()
        };
        let answer = async |mut grpc: TokenServiceClient<Channel>| {
            grpc.revoke_token(self.request(asked)).await.map(|_| Told::Done)
        };
        self.call(node, &token.secret, Asked::Revoke { token: token.number }, answer).await
    }

    /// Makes a change while both nodes are asked about this token without a pause, so that what
    /// they keep is read before, during and after.
    pub(super) async fn amid_questions<T>(
        self: &Arc<Self>,
        token: &Arc<Token>,
        change: impl Future<Output = T>,
    ) -> T {
        // A node that does not answer now is not waited for: it shall be asked when it is too late.
        let both = async { tokio::join!(self.introspect(0, token), self.introspect(1, token)) };
        let _ = tokio::time::timeout(Duration::from_millis(200), both).await;
        let is_done = Arc::new(AtomicBool::new(false));
        for node in 0..2 {
            let (actor, token, is_done) = (Arc::clone(self), Arc::clone(token), is_done.clone());
            self.shared.tracker.spawn(async move {
                while !is_done.load(Ordering::Relaxed) {
                    let told = actor.introspect(node, &token).await;
                    if told == Told::Inactive {
                        // A change may be waited for long. Others shall have a turn meanwhile.
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                }
            });
        }
        let done = change.await;
        is_done.store(true, Ordering::Relaxed);
        done
    }

    async fn call(
        &self,
        node: usize,
        caller: &Secret,
        asked: Asked,
        answer: impl AsyncFnOnce(TokenServiceClient<Channel>) -> Result<Told, Status>,
    ) -> Told {
        let grpc = self.nodes.lock().unwrap()[node].clone();
        let began = self.shared.history.now();
        let told = answer(grpc).await.unwrap_or_else(|status| told(&status));
        let ended = self.shared.history.now();
        let caller = Some(caller.number);
        self.shared.history.add(Call { node: Some(node), caller, asked, told, began, ended });
        match told {
            Told::Failed(code) => {
                if code == Code::ResourceExhausted {
                    *self.nodes.lock().unwrap() = self.shared.connect();
                }
                // As it was told: it comes back a little later.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            _ => _ = self.shared.answered.fetch_add(1, Ordering::Relaxed),
        }
        told
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.patience);
        request
    }
}

fn authentication(secret: &Secret) -> ClientAuthentication {
    ClientAuthentication {
        client_id: secret.client_id.to_string(),
        client_secret: secret.text.clone(),
    }
}

fn told(status: &Status) -> Told {
    match status.code() {
        Code::Unauthenticated => Told::Refused,
        code @ (Code::Unavailable
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::ResourceExhausted) => Told::Failed(code),
        // A connection that breaks under a call has no code: tonic makes one up, without the
        // reason that a node would give.
        code @ (Code::Unknown | Code::Internal) if status.get_details_error_info().is_none() => {
            Told::Failed(code)
        }
        code => Told::Fault(code),
    }
}
