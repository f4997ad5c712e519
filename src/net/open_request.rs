//! One open request: it counts for its connection and its listener until its response is sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use super::{activity::Activity, open_connections::OpenConnections};

/// An open request of a connection, until it is dropped, answered or not.
pub(super) struct OpenRequest {
    listener: Arc<OpenConnections>,
    pub(super) activity: Arc<Activity>,
    /// False if the listener has too many open requests, so that this one must be refused.
    pub(super) is_admitted: bool,
}

impl OpenRequest {
    /// Begins a request of a connection of this listener.
    pub(super) fn begin(listener: &Arc<OpenConnections>, activity: &Arc<Activity>) -> Self {
        activity.begin_request();
        let is_admitted = listener.admit_request(activity);
        Self { listener: Arc::clone(listener), activity: Arc::clone(activity), is_admitted }
    }

    /// The body of its response, until whose end the request is open.
    pub(super) const fn follow<B>(
        self,
        body: B,
        turn: Option<OwnedSemaphorePermit>,
    ) -> OpenBody<B> {
        OpenBody { body, _request: self, _turn: turn }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.listener.end_request();
        self.activity.end_request();
    }
}

/// The body of a response, until whose end its request is open.
pub(super) struct OpenBody<B> {
    body: B,
    _request: OpenRequest,
    _turn: Option<OwnedSemaphorePermit>,
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
