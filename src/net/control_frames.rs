//! A limit on HTTP/2 control frames, which cost the node work and the peer a few bytes each.
//!
//! A peer that sends `SETTINGS`, `PING` or `WINDOW_UPDATE` without end keeps a thread busy, and the
//! HTTP/2 library answers each frame. Here the frames are counted as they are read. A peer may send
//! some per request and a few per second; one that sends more loses its connection. `HEADERS`,
//! `CONTINUATION` and `DATA` are not counted: the HTTP/2 library bounds them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::{AsyncRead, ReadBuf};

/// Control frames that a connection may send in any case, per request, and per second of its life.
/// A client acknowledges settings and pings, pings to measure its bandwidth, and opens its window
/// for each response.
const FREE: u64 = 1_000;
const PER_REQUEST: u64 = 16;
const PER_SECOND: u64 = 20;

/// Length of a frame header, and where the type is in it (RFC 9113, section 4.1).
const HEADER: usize = 9;
const TYPE: usize = 3;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// A reader of the bytes of a peer, which fails once there are too many control frames.
pub(super) struct MeteredReader<R> {
    reader: R,
    /// `None` for HTTP/1.1, which has no frames.
    meter: Option<Meter>,
}

impl<R> MeteredReader<R> {
    /// A reader that counts no frames.
    pub(super) const fn unmetered(reader: R) -> Self {
        Self { reader, meter: None }
    }

    /// A reader of HTTP/2 frames, the first byte being the first after the preface. `requests`
    /// counts the requests of the connection.
    pub(super) fn new(reader: R, requests: Arc<AtomicU64>) -> Self {
        Self { reader, meter: Some(Meter::new(requests)) }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for MeteredReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(context, buffer))?;
        let is_within = self.meter.as_mut().is_none_or(|m| m.read(&buffer.filled()[before..]));
        Poll::Ready(if is_within { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) })
    }
}

/// Counts the control frames in a stream of bytes that arrives in pieces of any size.
struct Meter {
    requests: Arc<AtomicU64>,
    began: Instant,
    control_frames: u64,
    header: [u8; HEADER],
    /// Bytes of the current header that have been read.
    filled: usize,
    /// Bytes of the current payload that are still to come.
    payload: usize,
}

impl Meter {
    fn new(requests: Arc<AtomicU64>) -> Self {
        let (began, header) = (Instant::now(), [0; HEADER]);
        Self { requests, began, control_frames: 0, header, filled: 0, payload: 0 }
    }

    /// Counts what has been read. False if there were too many control frames.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.payload.min(bytes.len());
            self.payload -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled == HEADER {
                self.filled = 0;
                let [high, middle, low, ..] = self.header;
                self.payload = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.control_frames += u64::from(self.is_control_frame());
            }
        }
        self.control_frames <= FREE || self.control_frames <= self.allowed()
    }

    const fn is_control_frame(&self) -> bool {
        !matches!(self.header[TYPE], DATA | HEADERS | CONTINUATION)
    }

    fn allowed(&self) -> u64 {
        let requests = self.requests.load(Ordering::Relaxed);
        FREE + PER_REQUEST * requests + PER_SECOND * self.began.elapsed().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let header = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&header[..], payload].concat()
    }

    #[test]
    fn control_frames_are_counted_however_the_bytes_are_cut() {
        let sent = [
            frame(HEADERS, 4, &[7; 300]),
            frame(PING, 0, &[6; 8]),
            frame(DATA, 0, &[0; 5]),
            frame(CONTINUATION, 0, &[]),
            frame(4, 0, &[]),
            frame(3, 0, &[0; 4]),
        ]
        .concat();
        for step in [1, 2, 8, 9, 10, 17, 1_000] {
            let mut meter = Meter::new(Arc::default());
            assert!(sent.chunks(step).all(|piece| meter.read(piece)));
            assert_eq!(meter.control_frames, 3, "PING, SETTINGS, RST_STREAM; {step}");
        }
    }

    #[test]
    fn requests_earn_control_frames() {
        let requests = Arc::new(AtomicU64::new(0));
        let mut meter = Meter::new(Arc::clone(&requests));
        let ping = frame(PING, 0, &[0; 8]);
        assert!((0..FREE).all(|_| meter.read(&ping)));
        requests.store(1, Ordering::Relaxed);
        assert!((0..PER_REQUEST).all(|_| meter.read(&ping)));
        // In case the test was held up for a second or more.
        assert!(!(0..=PER_SECOND * 60).all(|_| meter.read(&ping)));
    }
}
