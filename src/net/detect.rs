//! The first bytes of a connection: which HTTP it speaks.
//!
//! hyper finds that out as well, but waits for it without end, and says to nobody when it has. So
//! it is done here, where a deadline stands around it. What was negotiated under TLS is not asked:
//! the bytes decide, and a client that negotiated nothing may speak either.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads up to where the protocol is known, for HTTP/2 the whole preface. The bytes that were read
/// are handed on, since they are for hyper to read again.
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

    /// Bytes that arrive in pieces.
    fn in_pieces(bytes: &[u8], step: usize) -> impl AsyncRead + Unpin {
        let none: Box<dyn AsyncRead + Unpin> = Box::new(io::Cursor::new(Vec::new()));
        bytes
            .chunks(step)
            .rev()
            .fold(none, |rest, piece| Box::new(io::Cursor::new(piece.to_vec()).chain(rest)))
    }
}
