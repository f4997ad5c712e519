//! Limits for calls whose response is a stream: health `Watch`, reflection, and the methods of the
//! contract that answer with one.
//!
//! The deadline of a stream applies until its *body* ends, and not only until its first byte. When
//! the node drains, each stream ends with `UNAVAILABLE`, so an endless watch does not delay the
//! drain. How many streams are open is bounded with all other requests (`net/open_connections.rs`).

use std::{
    future::pending,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response};
use http_body::Frame;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

/// Ends the streams of a node. Clones end with it.
#[derive(Debug, Clone)]
pub struct Streams {
    /// Cancelled when the node drains.
    stop: CancellationToken,
}

impl Streams {
    /// Streams that end when `stop` is cancelled.
    #[must_use]
    pub const fn new(stop: CancellationToken) -> Self {
        Self { stop }
    }

    /// Ends the body of `response` at `deadline` or when the node drains.
    pub(super) fn follow(
        &self,
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
        let stream = |body| StreamBody { body, end: Box::pin(end), has_ended: false };
        response.map(|body| Body::new(stream(body)))
    }
}

/// The body of a stream.
struct StreamBody {
    body: AxumBody,
    /// Resolves to the status with which this node ends the stream.
    end: BoxFuture<'static, Status>,
    has_ended: bool,
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if frame.is_none() {
                self.has_ended = true;
            }
            return Poll::Ready(frame);
        }
        self.end.as_mut().poll(context).map(|status| {
            self.has_ended = true;
            let mut trailers = HeaderMap::new();
            // Fails only for a message that is not valid in a header; both messages are valid.
            let _ = status.add_header(&mut trailers);
            Some(Ok(Frame::trailers(trailers)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}
