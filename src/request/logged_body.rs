//! A response body that reports the outcome of a gRPC stream, whose status comes in the trailers.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tonic::Status;

use super::{Outcome, log_entry::Entry};

/// Wraps a response body, and ends the log entry of its request when the trailers arrive. If the
/// body is dropped before that, the request counts as cancelled.
pub(crate) struct LoggedBody<B> {
    body: B,
    /// `None` once the request is logged, which is with the response header unless it is a stream.
    entry: Option<Entry>,
}

impl<B> LoggedBody<B> {
    pub(super) const fn new(body: B, entry: Option<Entry>) -> Self {
        Self { body, entry }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.entry.is_some()
            && let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            let status = Status::from_header_map(trailers);
            let outcome = status.as_ref().map_or(Outcome::Ok, Outcome::of_status);
            if let Some(entry) = self.entry.take() {
                entry.end(outcome);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
