//! The HTTP face before a node that is only played: it keeps the message that it is sent and
//! answers what it is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, extract::Request};
use jeton::{
    oauth_http,
    pb::v1::{
        IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse,
        ReportLeakedSecretRequest, ReportLeakedSecretResponse, RevokeTokenRequest,
        RevokeTokenResponse, token_service_server::TokenService,
    },
};
use prost::Message;
use tokio::runtime::{Builder, Runtime};
use tonic::{Response, Status};

use super::http_answer::Answer;

/// Small, so that short inputs reach it too.
pub(super) const MAX_BODY_BYTES: usize = 1_024;

pub(super) struct PlayedNode {
    runtime: Runtime,
    http: Router,
    play: Arc<Mutex<Play>>,
}

/// The message that was received, and the status that every call is answered with.
struct Play {
    received: Option<Vec<u8>>,
    status: Status,
}

/// The service of the node.
struct Player(Arc<Mutex<Play>>);

impl Player {
    fn answer<T>(&self, request: &tonic::Request<impl Message>) -> Result<Response<T>, Status> {
        let mut play = self.0.lock().expect("no call panics while it holds this");
        play.received = Some(request.get_ref().encode_to_vec());
        Err(play.status.clone())
    }
}

#[tonic::async_trait]
impl TokenService for Player {
    async fn issue_token(
        &self,
        request: tonic::Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        self.answer(&request)
    }

    async fn introspect_token(
        &self,
        request: tonic::Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        self.answer(&request)
    }

    async fn revoke_token(
        &self,
        request: tonic::Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        self.answer(&request)
    }

    async fn report_leaked_secret(
        &self,
        request: tonic::Request<ReportLeakedSecretRequest>,
    ) -> Result<Response<ReportLeakedSecretResponse>, Status> {
        self.answer(&request)
    }
}

impl PlayedNode {
    pub(super) fn new() -> Self {
        let play = Arc::new(Mutex::new(Play { received: None, status: Status::ok("") }));
        let http = http(Arc::new(Player(Arc::clone(&play))));
        Self { runtime: runtime(), http, play }
    }

    /// The answer of the shim, and the message that the node received.
    pub(super) fn call(&self, status: Status, request: Request) -> (Answer, Option<Vec<u8>>) {
        let ready = Play { received: None, status };
        *self.play.lock().expect("no call panics while it holds this") = ready;
        let answer = self.runtime.block_on(Answer::of(self.http.clone(), request));
        let mut play = self.play.lock().expect("no call panics while it holds this");
        (answer, play.received.take())
    }
}

/// The HTTP face of a service, as a router, which the calls over gRPC go through too.
pub(super) fn http(service: Arc<dyn TokenService>) -> Router {
    let endpoints = oauth_http::Endpoints::new(service, options());
    Router::new().fallback(async move |request: Request| endpoints.answer(request).await)
}

/// The options of every shim here.
pub(super) fn options() -> oauth_http::Options {
    oauth_http::Options {
        issuer: "https://tokens.test".to_owned(),
        max_body_bytes: MAX_BODY_BYTES,
        body_timeout: Duration::from_secs(10),
    }
}

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs few descriptors")
}
