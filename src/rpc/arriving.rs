//! The body of a call with a single message, while it arrives.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::Frame;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};
use tonic::Status;

/// Length of the prefix of a message: a flag, and the length of the message in four bytes.
const PREFIX: usize = 5;

/// A request body that must arrive completely before `deadline`, and hold one message.
pub(super) struct Arriving {
    body: Incoming,
    message: OneMessage,
    deadline: Instant,
    /// Timer for `deadline`, created at the first wait: most messages arrive with their headers.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    pub(super) const fn new(body: Incoming, deadline: Instant) -> Self {
        Self { body, message: OneMessage::new(), deadline, sleep: None }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let late = || Some(Err(Status::deadline_exceeded("the message did not arrive in time")));
        // A peer whose frames are always ready would never come to the timer below.
        if this.sleep.is_some() && Instant::now() >= this.deadline {
            return Poll::Ready(late());
        }
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            let broken = |_| Status::cancelled("the message ended early");
            let frame = frame.map(|frame| frame.map_err(broken));
            if let Some(data) = frame.iter().flatten().find_map(Frame::data_ref)
                && !this.message.takes(data)
            {
                let text = "a call of this method has one message; this one has more";
                return Poll::Ready(Some(Err(Status::invalid_argument(text))));
            }
            return Poll::Ready(frame);
        }
        let left = this.deadline.saturating_duration_since(Instant::now());
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(left)));
        sleep.as_mut().poll(context).map(|()| late())
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Finds the end of the first message in bytes that arrive in pieces of any size.
struct OneMessage {
    prefix: [u8; PREFIX],
    seen: usize,
}

impl OneMessage {
    const fn new() -> Self {
        Self { prefix: [0; PREFIX], seen: 0 }
    }

    /// False if these bytes go beyond the first message.
    fn takes(&mut self, data: &[u8]) -> bool {
        for (place, byte) in self.prefix.iter_mut().skip(self.seen).zip(data) {
            *place = *byte;
        }
        self.seen = self.seen.saturating_add(data.len());
        let [_flag, length @ ..] = self.prefix;
        self.seen <= PREFIX || self.seen - PREFIX <= u32::from_be_bytes(length) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_message_is_found_however_it_is_cut() {
        let whole = [&[0, 0, 0, 0, 3][..], b"abc"].concat();
        for step in 1..=8 {
            let mut message = OneMessage::new();
            assert!(whole.chunks(step).all(|piece| message.takes(piece)), "{step}");
            assert!(!message.takes(b"x"), "{step}");
        }
        assert!(!OneMessage::new().takes(&[0, 0, 0, 0, 0, 0]));
        assert!(OneMessage::new().takes(&[0, 0, 0, 0, 0]));
    }
}
