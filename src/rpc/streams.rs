//! Limits for calls whose response is a stream: health `Watch` and reflection.
//!
//! Permit, deadline and outcome of a stream apply until its *body* ends, and not only until its
//! first byte. When the node drains, each stream ends with `UNAVAILABLE`, so an endless watch does
//! not delay the drain.

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response};
use http_body::Frame;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

/// Limits shared by all streams of a node, and by all clones of this value.
#[derive(Debug, Clone)]
pub struct Streams {
    permits: Arc<Semaphore>,
    /// Cancelled when the node drains.
    stop: CancellationToken,
}

impl Streams {
    /// Allows `limit` streams at the same time, all of which end when `stop` is cancelled.
    #[must_use]
    pub fn new(limit: u32, stop: CancellationToken) -> Self {
        Self { permits: Arc::new(Semaphore::new(limit as usize)), stop }
    }

    /// Takes a permit for one stream.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if no permit is free.
    pub(super) fn admit(&self) -> Result<StreamPermit, Status> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many streams are open"))?;
        Ok(StreamPermit { _permit: permit, stop: self.stop.clone() })
    }
}

/// Permit for one stream, given back on drop.
pub(super) struct StreamPermit {
    _permit: OwnedSemaphorePermit,
    stop: CancellationToken,
}

impl StreamPermit {
    /// Moves this permit into the body of `response`, which ends at `deadline` or when the node
    /// drains.
    pub(super) fn follow(
        self,
        response: Response<AxumBody>,
        deadline: Option<Instant>,
    ) -> Response<Body> {
        let stop = self.stop.clone();
        let end = async move {
            let late = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => Status::unavailable("the node is stopping"),
                () = late => Status::deadline_exceeded("the deadline passed"),
            }
        };
        let stream = |body| StreamBody { body, end: Box::pin(end), permit: Some(self) };
        response.map(|body| Body::new(stream(body)))
    }
}

/// The body of a stream.
struct StreamBody {
    body: AxumBody,
    /// Resolves to the status with which this node ends the stream.
    end: BoxFuture<'static, Status>,
    /// `None` once the stream has ended.
    permit: Option<StreamPermit>,
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.permit.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if frame.is_none() {
                self.permit = None;
            }
            return Poll::Ready(frame);
        }
        self.end.as_mut().poll(context).map(|status| {
            self.permit = None;
            let mut trailers = HeaderMap::new();
            // Fails only for a message that is not valid in a header; both messages are valid.
            let _ = status.add_header(&mut trailers);
            Some(Ok(Frame::trailers(trailers)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.permit.is_none()
    }
}
