//! One caller of a node, over gRPC or HTTP.

use std::path::Path;

use anyhow::{Context, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Request, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::{Code, transport::Channel};

use super::work::Call;
use crate::{
    cli::endpoint::endpoint,
    pb::v1::{
        ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
        issue_token_request::Grant, token_service_client::TokenServiceClient,
    },
};

/// A caller with one call in flight at a time.
#[derive(Clone)]
pub(super) enum Caller {
    /// gRPC caller. Several share a connection.
    Grpc(TokenServiceClient<Channel>),
    /// HTTP caller. Each has its own connection, because HTTP/1.1 serves one request at a time.
    Http(Http),
}

#[derive(Clone)]
pub(super) struct Http {
    host: String,
    connection: std::sync::Arc<tokio::sync::Mutex<SendRequest<String>>>,
}

impl Caller {
    /// Opens this number of `connections`, with `in_flight` callers on each.
    ///
    /// # Errors
    /// If no node answers at `server`.
    pub(super) async fn connect(
        server: &str,
        ca: Option<&Path>,
        is_http: bool,
        connections: usize,
        in_flight: usize,
    ) -> anyhow::Result<Vec<Self>> {
        let mut callers = Vec::new();
        for _ in 0..connections {
            if is_http {
                for _ in 0..in_flight {
                    callers.push(Self::Http(Http::connect(server).await?));
                }
            } else {
                let channel = endpoint(server, ca)?.connect().await;
                let channel = channel.with_context(|| format!("no node answers at {server}"))?;
                let client = TokenServiceClient::new(channel);
                callers.extend((0..in_flight).map(|_| Self::Grpc(client.clone())));
            }
        }
        Ok(callers)
    }

    /// Makes a call and returns its outcome: `OK`, the gRPC code or HTTP status of the failure, or
    /// `broken` if the connection failed.
    pub(super) async fn ask(&mut self, call: Call) -> String {
        match self {
            Self::Grpc(client) => match ask_grpc(client, call).await {
                Code::Ok => "OK".to_owned(),
                code => format!("{code:?}"),
            },
            Self::Http(http) => http.ask(call).await.unwrap_or_else(|_| "broken".to_owned()),
        }
    }

    /// Issues a token for a later introspection.
    pub(super) async fn issue(&mut self, call: Call) -> anyhow::Result<String> {
        let Self::Grpc(client) = self else {
            anyhow::bail!("tokens to introspect are issued over gRPC")
        };
        let Call::Issue(authentication) = call else { anyhow::bail!("this call issues no token") };
        let request = IssueTokenRequest {
            grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
            client_authentication: Some(authentication),
            ..Default::default()
        };
        let issued = client.issue_token(request).await;
        let issued = issued.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
        Ok(issued.into_inner().access_token)
    }
}

async fn ask_grpc(client: &mut TokenServiceClient<Channel>, call: Call) -> Code {
    let outcome = match call {
        Call::Issue(authentication) => {
            let request = IssueTokenRequest {
                grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
                client_authentication: Some(authentication),
                ..Default::default()
            };
            client.issue_token(request).await.map(drop)
        }
        Call::Introspect(authentication, token) => {
            let request = IntrospectTokenRequest {
                token,
                client_authentication: Some(authentication),
                ..Default::default()
            };
            client.introspect_token(request).await.map(drop)
        }
    };
    outcome.err().map_or(Code::Ok, |status| status.code())
}

impl Http {
    async fn connect(server: &str) -> anyhow::Result<Self> {
        let host = server.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
        ensure!(!host.is_empty(), "--http takes a URL without TLS: http://HOST:PORT");
        let stream = TcpStream::connect(host);
        let stream = stream.await.with_context(|| format!("no node answers at {server}"))?;
        stream.set_nodelay(true)?;
        let (connection, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        let connection = std::sync::Arc::new(tokio::sync::Mutex::new(connection));
        Ok(Self { host: host.to_owned(), connection })
    }

    async fn ask(&self, call: Call) -> anyhow::Result<String> {
        let (path, authentication, form) = match call {
            Call::Issue(authentication) => {
                ("/oauth2/token", authentication, "grant_type=client_credentials".to_owned())
            }
            Call::Introspect(authentication, token) => {
                ("/oauth2/introspect", authentication, format!("token={token}"))
            }
        };
        let pair = format!("{}:{}", authentication.client_id, authentication.client_secret);
        let request = Request::post(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)?;
        let mut connection = self.connection.lock().await;
        connection.ready().await?;
        let answer = connection.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(if status == 200 { "OK".to_owned() } else { status.as_u16().to_string() })
    }
}
