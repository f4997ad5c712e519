//! The header of the PROXY protocol, version 2, with which a proxy begins a connection that it
//! makes for somebody else, before TLS.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use ppp::v2::{Addresses, Command, Header, Protocol};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Length of the fixed part, and position of the length of the rest in its last two bytes.
const FIXED: usize = 16;
const LENGTH: usize = 14;

/// Maximum length of the whole header. The addresses take up to 216 bytes; a proxy may add fields,
/// which are ignored, and a common name of a certificate is among them.
const MAX_BYTES: usize = 4_096;

/// Reads the headers of the proxies in front of one listener.
#[derive(Default)]
pub(super) struct ProxyHeaders {
    /// Whether the last one was missing, so that a proxy that sends none is logged once.
    is_missing: AtomicBool,
}

impl ProxyHeaders {
    /// Reads the header of a connection of `proxy`. Returns the address of whom the proxy connects
    /// for, or its own if it connects for itself or does not know.
    pub(super) async fn read(
        &self,
        proxy: SocketAddr,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<SocketAddr> {
        let announced = read(stream).await;
        // A load balancer that only checks the port closes the connection without a byte.
        let is_invalid = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
        let is_missing = announced.as_ref().is_err_and(is_invalid);
        if !self.is_missing.swap(is_missing, Ordering::Relaxed) && is_missing {
            tracing::warn!(
                proxy = %proxy.ip(),
                "closed a connection of a proxy of --proxy-protocol that began without a header of \
                 the PROXY protocol, version 2; let the proxy send it (HAProxy: send-proxy-v2), or \
                 remove the proxy from --proxy-protocol"
            );
        }
        Ok(announced?.unwrap_or(proxy))
    }
}

/// Reads a header and nothing beyond it. `None` if the proxy speaks for itself, as in a health
/// check, or does not know its peer.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; FIXED];
    stream.read_exact(&mut header).await?;
    let rest = usize::from(u16::from_be_bytes([header[LENGTH], header[LENGTH + 1]]));
    // Of another protocol, the length would be any text.
    if !header.starts_with(ppp::v2::PROTOCOL_PREFIX) || FIXED + rest > MAX_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    header.resize(FIXED + rest, 0);
    stream.read_exact(&mut header[FIXED..]).await?;
    parse(&header)
}

fn parse(header: &[u8]) -> io::Result<Option<SocketAddr>> {
    let header = Header::try_from(header).map_err(|_| io::ErrorKind::InvalidData)?;
    if header.command == Command::Local || header.protocol != Protocol::Stream {
        return Ok(None);
    }
    Ok(match header.addresses {
        Addresses::IPv4(ip) => Some((ip.source_address, ip.source_port).into()),
        Addresses::IPv6(ip) => Some((ip.source_address, ip.source_port).into()),
        Addresses::Unspecified | Addresses::Unix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with this command and family, and this after its fixed part.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [ppp::v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
    }

    /// What is read, and what is left of what follows.
    async fn read_of(header: &[u8]) -> (io::Result<Option<SocketAddr>>, usize) {
        let sent = [header, b"next"].concat();
        let mut stream = &sent[..];
        (read(&mut stream).await, stream.len())
    }

    #[tokio::test]
    async fn the_source_is_read_and_no_byte_more() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[7], &[0; 16], &[0, 9, 0, 80]].concat();
        let with_fields = [&v4[..], &[0x20, 0, 3, 1, 2, 3]].concat();
        for (command, family, rest, source) in [
            (0x21, 0x11, &v4[..], Some("192.0.2.7:4660")),
            (0x21, 0x11, &with_fields, Some("192.0.2.7:4660")),
            (0x21, 0x21, &v6, Some("[2001:db8::7]:9")),
            (0x20, 0x11, &v4, None),
            (0x20, 0x00, &[], None),
            (0x21, 0x00, &[1, 2, 3], None),
            (0x21, 0x31, &[b'/'; 216], None),
            (0x21, 0x11, &[&v4[..], &[0; 4_068]].concat(), Some("192.0.2.7:4660")),
        ] {
            let (read, left) = read_of(&header(command, family, rest)).await;
            let source = source.map(|source| source.parse().unwrap());
            assert_eq!((read.unwrap(), left), (source, 4), "{command:x} {family:x}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        for bytes in [
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4660 80\r\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            header(0x11, 0x11, &v4),
            header(0x22, 0x11, &v4),
            header(0x21, 0x41, &v4),
            header(0x21, 0x11, &v4[..8]),
            header(0x21, 0x11, &[0; 4_081]),
        ] {
            let refused = read_of(&bytes).await.0.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
        let whole = header(0x21, 0x11, &v4);
        let ends = read(&mut &whole[..20]).await.unwrap_err();
        assert_eq!(ends.kind(), io::ErrorKind::UnexpectedEof);
    }
}
