//! One HTTP/1.1 connection, with TLS or without.

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, request::Builder};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
};
use tokio_rustls::TlsConnector;

use crate::{BoxError, ClientError};

/// Maximum size of an answer, in bytes. No expected answer is as large.
const MAX_ANSWER: usize = 64 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

/// A connection to a node. It serves one request at a time, as HTTP/1.1 does.
#[derive(Debug)]
pub struct HttpConnection {
    host: String,
    sender: SendRequest<String>,
    driver: AbortHandle,
}

/// The answer to a request.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: StatusCode,
    /// The body, whole.
    pub body: Bytes,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

impl HttpConnection {
    /// Connects to `url`, `http://HOST:PORT` or `https://HOST:PORT`. Over TLS only the certificate
    /// authorities in the PEM file `ca` are trusted.
    ///
    /// # Errors
    /// `Url`, `Authorities` and `Connect`.
    pub async fn connect(url: &str, ca: Option<&Path>) -> Result<Self, ClientError> {
        let not_a_url = || ClientError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| not_a_url())?;
        let (Some(host), Some(scheme)) = (uri.host(), uri.scheme_str()) else {
            return Err(not_a_url());
        };
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        let failed = |error: BoxError| ClientError::Connect(url.to_owned(), error);
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await;
        let stream = stream.map_err(|error| failed(error.into()))?;
        stream.set_nodelay(true).map_err(|error| failed(error.into()))?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        match scheme {
            "http" => Self::over(stream, host).await.map_err(failed),
            "https" => {
                let connector = TlsConnector::from(Arc::new(trusting(ca)?));
                let name = ServerName::try_from(uri.host().unwrap_or_default().to_owned());
                let name = name.map_err(|_| not_a_url())?;
                let stream = connector.connect(name, stream).await;
                Self::over(stream.map_err(|error| failed(error.into()))?, host)
                    .await
                    .map_err(failed)
            }
            _ => Err(not_a_url()),
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: String,
    ) -> Result<Self, BoxError> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection).abort_handle();
        Ok(Self { host, sender, driver })
    }

    /// Posts a form to `path`, with this value of the `Authorization` header.
    ///
    /// # Errors
    /// `Broken`. A status other than 200 is an answer and not an error.
    pub async fn post_form(
        &mut self,
        path: &str,
        authorization: &str,
        form: String,
    ) -> Result<HttpAnswer, ClientError> {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, FORM);
        self.send(request, form).await.map_err(ClientError::Broken)
    }

    /// Gets `path`.
    ///
    /// # Errors
    /// `Broken`. A status other than 200 is an answer and not an error.
    pub async fn get(&mut self, path: &str) -> Result<HttpAnswer, ClientError> {
        self.send(Request::get(path), String::new()).await.map_err(ClientError::Broken)
    }

    async fn send(&mut self, request: Builder, body: String) -> Result<HttpAnswer, BoxError> {
        let request = request.header(header::HOST, &self.host).body(body)?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
        Ok(HttpAnswer { status, body })
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn trusting(ca: Option<&Path>) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let unusable = |error: BoxError| ClientError::Authorities(path.to_owned(), error);
        let certificates = CertificateDer::pem_file_iter(path);
        for certificate in certificates.map_err(|error| unusable(error.into()))? {
            let certificate = certificate.map_err(|error| unusable(error.into()))?;
            roots.add(certificate).map_err(|error| unusable(error.into()))?;
        }
    }
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}
