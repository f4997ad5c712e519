//! The four ways in which HTTP reaches a node: 1.1 or 2, with or without TLS.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ::http::{Request, Uri, header};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    body::Bytes,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpSocket,
};
use tokio_rustls::TlsConnector;

use super::http::Answer;

/// A body of any kind: with a length or without, with trailers, or one that never ends.
pub(crate) type AnyBody = BoxBody<Bytes, Infallible>;

/// A connection, before anything was said on it.
pub(crate) type Stream = Box<dyn Duplex>;

pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    /// The certificate to trust, PEM.
    pub(crate) tls: Option<Vec<u8>>,
    pub(crate) is_h2: bool,
    /// The address of this machine that it comes from: Linux has sixteen million.
    pub(crate) from: IpAddr,
    /// The connections that were made, of clones too.
    pub(crate) uses: Arc<AtomicUsize>,
}

impl Wire {
    /// Both versions of HTTP to one listener.
    pub(crate) fn both(address: SocketAddr, tls: Option<&[u8]>) -> [Self; 2] {
        [false, true].map(|is_h2| Self {
            address,
            tls: tls.map(<[u8]>::to_vec),
            is_h2,
            from: Ipv4Addr::LOCALHOST.into(),
            uses: Arc::default(),
        })
    }

    /// What a message about it calls it.
    pub(crate) fn name(&self) -> String {
        let version = if self.is_h2 { "HTTP/2" } else { "HTTP/1.1" };
        format!("{version} {} TLS", if self.tls.is_some() { "with" } else { "without" })
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Answer {
        self.open().await.send(request).await
    }

    pub(crate) async fn connect(&self) -> Stream {
        self.uses.fetch_add(1, Ordering::Relaxed);
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(self.from, 0)).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        // Small frames would otherwise wait for acknowledgements of those before them.
        stream.set_nodelay(true).unwrap();
        let Some(pem) = &self.tls else { return Box::new(stream) };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocol: &[u8] = if self.is_h2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Box::new(connector.connect("localhost".try_into().unwrap(), stream).await.unwrap())
    }

    /// A connection for as many requests as one likes, one after the other.
    pub(crate) async fn open(&self) -> Line {
        let io = TokioIo::new(self.connect().await);
        if self.is_h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            Line::Two(sender, scheme)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Line::One(sender)
        }
    }
}

/// An open connection.
pub(crate) enum Line {
    One(http1::SendRequest<AnyBody>),
    Two(http2::SendRequest<AnyBody>, &'static str),
}

impl Line {
    pub(crate) async fn send(&mut self, request: Request<Vec<u8>>) -> Answer {
        let request = request.map(|body| Full::new(Bytes::from(body)).boxed());
        self.try_send(request).await.unwrap()
    }

    /// The same with any body, and on a connection that may have ended.
    pub(crate) async fn try_send(
        &mut self,
        mut request: Request<AnyBody>,
    ) -> hyper::Result<Answer> {
        let response = match self {
            Self::One(sender) => {
                sender.ready().await?;
                let host = "localhost".parse().unwrap();
                request.headers_mut().entry(header::HOST).or_insert(host);
                sender.send_request(request).await?
            }
            Self::Two(sender, scheme) => {
                sender.ready().await?;
                let path = request.uri().path_and_query().unwrap();
                let authority = request.uri().authority().map_or("localhost", |host| host.as_str());
                let uri = format!("{scheme}://{authority}{path}");
                *request.uri_mut() = uri.parse::<Uri>().unwrap();
                sender.send_request(request).await?
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}
