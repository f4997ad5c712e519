//! One open request: it counts for its connection and its listener until its response is sent.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{activity::Activity, open_connections::OpenConnections, read_throttle::ReadThrottle};
use crate::request::Standing;

/// An open request of a connection, until it is dropped, answered or not.
pub(super) struct OpenRequest {
    listener: Arc<OpenConnections>,
    activity: Arc<Activity>,
    throttle: Arc<ReadThrottle>,
    source: IpAddr,
    /// False if the listener has too many open requests, so that this one must be refused.
    pub(super) is_admitted: bool,
    is_answered: bool,
}

impl OpenRequest {
    /// Begins a request of this source on a connection of this listener.
    pub(super) fn begin(
        listener: &Arc<OpenConnections>,
        activity: &Arc<Activity>,
        throttle: &Arc<ReadThrottle>,
        source: IpAddr,
    ) -> Self {
        activity.begin_request();
        Self {
            listener: Arc::clone(listener),
            activity: Arc::clone(activity),
            throttle: Arc::clone(throttle),
            source,
            is_admitted: listener.admit_request(activity),
            is_answered: false,
        }
    }

    /// Waits until the request may run; it holds the permit until its response is sent. A request
    /// that must be refused does not wait.
    pub(super) async fn early_permit(&self) -> Option<OwnedSemaphorePermit> {
        if self.is_admitted { self.activity.early_permit().await } else { None }
    }

    /// Takes note of the response, and makes the request last until the body of it ends.
    pub(super) fn follow<B>(
        mut self,
        response: Response<B>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Response<OpenBody<B>> {
        self.is_answered = true;
        if let Some(standing) = response.extensions().get::<Standing>() {
            self.activity.note(*standing);
            match standing {
                Standing::Authenticated => self.throttle.succeeded(),
                Standing::Failed | Standing::Unfinished => self.throttle.failed(self.source),
            }
        }
        response.map(|body| OpenBody { body, _request: self, _permit: permit })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        // A stranger that resets its requests costs as much as one that fails.
        if !self.is_answered && !self.activity.has_authenticated() {
            self.throttle.failed(self.source);
        }
        self.listener.end_request();
        self.activity.end_request();
    }
}

/// The body of a response, until whose end its request is open.
pub(super) struct OpenBody<B> {
    body: B,
    _request: OpenRequest,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<B: Body + Unpin> Body for OpenBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
