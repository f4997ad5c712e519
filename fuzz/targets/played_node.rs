//! The HTTP face before a node that is only played: it keeps the message that it is sent and
//! answers what it is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
};
use jeton::http;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;

use super::http_answer::Answer;

/// Small, so that short inputs reach it too.
pub(super) const MAX_BODY_BYTES: usize = 1_024;

pub(super) struct PlayedNode {
    runtime: Runtime,
    http: Router,
    /// What was received, and what is answered.
    play: Arc<Mutex<(Option<Bytes>, Status)>>,
}

impl PlayedNode {
    pub(super) fn new() -> Self {
        let play = Arc::new(Mutex::new((None, Status::ok(""))));
        let node = Arc::clone(&play);
        let grpc = Router::new().fallback(async move |request: Request| {
            let body = to_bytes(request.into_body(), usize::MAX).await;
            let mut play = node.lock().expect("no call panics while it holds this");
            play.0 = body.ok();
            play.1.clone().into_http::<Body>()
        });
        let http = http::router(http::local(grpc), options());
        Self { runtime: runtime(), http, play }
    }

    /// The answer of the shim, and the message within the one frame that the node received.
    pub(super) fn call(&self, status: Status, request: Request) -> (Answer, Option<Bytes>) {
        *self.play.lock().expect("no call panics while it holds this") = (None, status);
        let answer = self.runtime.block_on(Answer::of(self.http.clone(), request));
        let mut play = self.play.lock().expect("no call panics while it holds this");
        (answer, play.0.take().map(|frame| frame.slice(5..)))
    }
}

/// The options of every shim here.
pub(super) fn options() -> http::Options {
    http::Options {
        issuer: "https://tokens.test".to_owned(),
        max_body_bytes: MAX_BODY_BYTES,
        body_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
    }
}

pub(super) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs few descriptors")
}
