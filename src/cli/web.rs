//! Minimal HTTPS client of `jeton dev`, which posts a form like curl does.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, ensure};
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Maximum size of an answer, in bytes. No expected answer is as large.
const MAX_ANSWER: usize = 64 * 1024;

/// Posts a form over TLS to a listener on this machine and returns the JSON body.
///
/// # Errors
/// If the listener cannot be reached or answers with a status other than 200.
pub(super) async fn post_form(
    address: SocketAddr,
    ca: &Path,
    path: &str,
    authorization: &str,
    form: String,
) -> anyhow::Result<Value> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(address).await.context("the HTTP listener does not answer")?;
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;

    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, authorization)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form)?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    connection.abort();
    ensure!(status == 200, "{path} answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(serde_json::from_slice(&body)?)
}
