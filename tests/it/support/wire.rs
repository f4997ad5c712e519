//! The four ways in which HTTP reaches a node: 1.1 or 2, with or without TLS.

use std::{net::SocketAddr, sync::Arc};

use ::http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Bytes,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::http::Answer;

#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    /// The certificate to trust, PEM.
    pub(crate) tls: Option<Vec<u8>>,
    pub(crate) is_h2: bool,
}

impl Wire {
    /// Both versions of HTTP to one listener.
    pub(crate) fn both(address: SocketAddr, tls: Option<&[u8]>) -> [Self; 2] {
        [false, true].map(|is_h2| Self { address, tls: tls.map(<[u8]>::to_vec), is_h2 })
    }

    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        match &self.tls {
            None => self.converse(stream, request).await,
            Some(pem) => {
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
                let stream = connector.connect("localhost".try_into().unwrap(), stream).await;
                self.converse(stream.unwrap(), request).await
            }
        }
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Vec<u8>>,
    ) -> Answer {
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        let io = TokioIo::new(stream);
        let response = if self.is_h2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            let path = request.uri().path_and_query().unwrap().as_str();
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            *request.uri_mut() = format!("{scheme}://localhost{path}").parse::<Uri>().unwrap();
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let host = "localhost".parse().unwrap();
            request.headers_mut().entry(header::HOST).or_insert(host);
            sender.send_request(request).await.unwrap()
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}
