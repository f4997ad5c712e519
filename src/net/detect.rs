//! Protocol detection: the first bytes of a connection decide between HTTP/1.1 and HTTP/2.
//!
//! hyper can detect the protocol as well, but it waits without a timeout and does not report when
//! it is done. Here the caller applies a deadline. The result of ALPN is not consulted: the bytes
//! decide, and a client that negotiated nothing may speak either protocol.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The preface that every HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is certain, which for HTTP/2 takes the whole preface. Also returns the
/// bytes read, because hyper has to read them again.
pub(super) async fn protocol(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<(Protocol, Vec<u8>)> {
    let mut head = Vec::with_capacity(PREFACE.len());
    loop {
        if !PREFACE.starts_with(&head) {
            return Ok((Protocol::Http1, head));
        }
        if head.len() == PREFACE.len() {
            return Ok((Protocol::Http2, head));
        }
        let mut rest = (&mut *stream).take((PREFACE.len() - head.len()) as u64);
        if rest.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_protocol_is_known_however_the_bytes_are_cut() {
        let mut h2 = PREFACE.to_vec();
        h2.extend(b"and more");
        for (sent, expected, most) in [
            (h2.as_slice(), Protocol::Http2, 24),
            (b"POST / HTTP/1.1\r\n\r\n", Protocol::Http1, 24),
            (b"PRI * HTTP/1.1\r\n\r\n", Protocol::Http1, 24),
            (b"\x16\x03\x01", Protocol::Http1, 24),
        ] {
            for step in [1, 2, 7, 23, 64] {
                let mut stream = in_pieces(sent, step);
                let (protocol, head) = protocol(&mut stream).await.unwrap();
                assert_eq!(protocol, expected);
                assert!(sent.starts_with(&head) && head.len() <= most);
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_ends_too_early_is_an_error() {
        for sent in [&b""[..], b"P", &PREFACE[..23]] {
            assert!(protocol(&mut in_pieces(sent, 64)).await.is_err());
        }
    }

    /// A reader of `bytes` that returns at most `step` of them per read.
    fn in_pieces(bytes: &[u8], step: usize) -> impl AsyncRead + Unpin {
        let none: Box<dyn AsyncRead + Unpin> = Box::new(io::Cursor::new(Vec::new()));
        bytes
            .chunks(step)
            .rev()
            .fold(none, |rest, piece| Box::new(io::Cursor::new(piece.to_vec()).chain(rest)))
    }
}
