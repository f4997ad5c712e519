//! One that issues, introspects and revokes as its dice fall.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jeton::{
    domain::{Clock, OsRandom, SystemClock, TagKey, TokenText},
    pb::v1::{
        ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        RevokeTokenRequest, issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
};
use tonic::{Request, transport::Channel};

use super::history::{Asked, Claims, History, Told, Who};

/// Dice that fall alike for the same seed; they need not be good.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Xorshift.
    pub(super) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll().is_multiple_of(sides)
    }

    pub(super) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let roll = usize::try_from(self.roll()).unwrap();
        from.get(roll % from.len().max(1))
    }
}

/// What a caller authenticates with.
#[derive(Debug, Clone)]
pub(super) struct Credential {
    pub(super) who: Who,
    pub(super) client: ClientAuthentication,
    pub(super) scopes: Vec<String>,
}

/// The credentials that callers share: what they shall use, and what they once used.
pub(super) struct Held {
    pub(super) live: Credential,
    pub(super) former: Vec<Credential>,
}

pub(super) struct Caller {
    pub(super) grpc: TokenServiceClient<Channel>,
    pub(super) held: Arc<Mutex<Held>>,
    pub(super) history: Arc<History>,
    /// Deadline, in milliseconds.
    pub(super) patience: Arc<AtomicU64>,
    /// Tokens that everybody may ask about.
    pub(super) known: Arc<Mutex<Vec<String>>>,
    /// Tokens to be revoked.
    pub(super) own: Vec<String>,
    pub(super) tag_key: TagKey,
    pub(super) dice: Dice,
}

impl Credential {
    /// Asks what a token is worth, and says whether the caller was refused.
    pub(super) async fn introspect(
        &self,
        grpc: &mut TokenServiceClient<Channel>,
        history: &History,
        token: String,
        patience: Duration,
    ) -> bool {
        let mut asked = Request::new(IntrospectTokenRequest {
            token: token.clone(),
            client_authentication: Some(self.client.clone()),
            ..Default::default()
        });
        asked.set_timeout(patience);
        let began = Instant::now();
        let outcome = grpc.introspect_token(asked).await;
        let told = outcome.map(|answer| {
            let answer = answer.into_inner();
            if !answer.active {
                return Told::Inactive;
            }
            Told::Active(Claims {
                token_id: answer.token_id,
                client_id: answer.client_id,
                subject: answer.subject,
                audiences: answer.audiences,
                scopes: answer.scopes,
            })
        });
        history.note(self.who, began, Asked::Introspect(token), told)
    }
}

impl Caller {
    pub(super) async fn run(mut self, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            let credential = self.credential();
            let is_refused = match self.dice.roll() % 10 {
                0..4 => self.issue(&credential).await,
                4..9 => self.introspect(&credential).await,
                _ => self.revoke(&credential).await,
            };
            // A person would say: as fast as it goes. On two cores that would leave the database
            // none of them. And who keeps failing is made to wait for ever longer.
            let pause = Duration::from_millis(if is_refused { 20 } else { 2 });
            tokio::time::sleep(pause).await;
        }
    }

    /// Mostly the one that works, and now and then one that should not any more.
    fn credential(&mut self) -> Credential {
        let held = self.held.lock().unwrap();
        let former = if self.dice.one_in(16) { self.dice.choose(&held.former) } else { None };
        former.unwrap_or(&held.live).clone()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }

    async fn issue(&mut self, credential: &Credential) -> bool {
        let mut scopes = credential.scopes.clone();
        scopes.retain(|_| !self.dice.one_in(3));
        if scopes.is_empty() {
            scopes = credential.scopes.clone();
        }
        if self.dice.one_in(32) {
            scopes = vec!["of.nobody".to_owned()];
        }
        let mut asked = Request::new(IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(credential.client.clone()),
            scopes: scopes.clone(),
            ..Default::default()
        });
        asked.set_timeout(self.patience());
        let began = Instant::now();
        let outcome = self.grpc.issue_token(asked).await;
        let told = outcome.map(|issued| {
            let issued = issued.into_inner();
            Told::Issued(issued.access_token.clone(), issued.scopes.clone())
        });
        let token = match &told {
            Ok(Told::Issued(token, _)) => Some(token.clone()),
            _ => None,
        };
        let is_refused = self.history.note(credential.who, began, Asked::Issue(scopes), told);
        if let Some(token) = token {
            self.history.past().canaries.push(token.clone());
            // Every fourth is kept from the others, to be revoked.
            if self.dice.one_in(4) {
                self.own.push(token.clone());
            }
            self.known.lock().unwrap().push(token);
        }
        is_refused
    }

    async fn introspect(&mut self, credential: &Credential) -> bool {
        let token = if self.dice.one_in(32) {
            self.forge()
        } else {
            let known = self.known.lock().unwrap();
            let Some(token) = self.dice.choose(&known) else { return false };
            token.clone()
        };
        let patience = self.patience();
        credential.introspect(&mut self.grpc, &self.history, token, patience).await
    }

    /// A token with the tag of the installation that nobody issued: it is worth a query.
    fn forge(&self) -> String {
        let forged = TokenText::mint(SystemClock.now(), &OsRandom, &self.tag_key).unwrap();
        self.history.past().canaries.push(forged.expose().to_owned());
        forged.expose().to_owned()
    }

    async fn revoke(&mut self, credential: &Credential) -> bool {
        let Some(token) = self.own.pop() else { return false };
        let mut asked = Request::new(RevokeTokenRequest {
            token: token.clone(),
            client_authentication: Some(credential.client.clone()),
            ..Default::default()
        });
        asked.set_timeout(self.patience());
        let began = Instant::now();
        let told = self.grpc.revoke_token(asked).await.map(|_| Told::Revoked);
        if told.is_err() {
            self.own.push(token.clone());
        }
        self.history.note(credential.who, began, Asked::Revoke(token), told)
    }
}
