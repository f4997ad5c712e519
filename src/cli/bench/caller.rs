//! One caller of a node, over gRPC or HTTP.

use std::{path::Path, sync::Arc};

use anyhow::{Context, ensure};
use jeton_client::{HttpConnection, endpoint, request};
use tokio::sync::Mutex;
use tonic::{Code, transport::Channel};

use super::work::Call;
use crate::pb::v1::token_service_client::TokenServiceClient;

/// A caller with one call in flight at a time.
#[derive(Clone)]
pub(super) enum Caller {
    /// gRPC caller. Several share a connection.
    Grpc(TokenServiceClient<Channel>),
    /// HTTP caller. Each has its own connection, because HTTP/1.1 serves one request at a time.
    Http(Http),
}

#[derive(Clone)]
pub(super) struct Http(Arc<Mutex<HttpConnection>>);

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

    /// Issues a token for a later introspection or revocation.
    pub(super) async fn issue(&mut self, call: Call) -> anyhow::Result<String> {
        let Self::Grpc(client) = self else { anyhow::bail!("tokens are issued over gRPC") };
        let Call::Issue(authentication) = call else { anyhow::bail!("this call issues no token") };
        let issued = client.issue_token(request::issue(Some(authentication))).await;
        let issued = issued.map_err(|status| anyhow::anyhow!("{}", status.message()))?;
        Ok(issued.into_inner().access_token)
    }
}

async fn ask_grpc(client: &mut TokenServiceClient<Channel>, call: Call) -> Code {
    let outcome = match call {
        Call::Issue(authentication) => {
            client.issue_token(request::issue(Some(authentication))).await.map(drop)
        }
        Call::Introspect(authentication, token) => {
            let request = request::introspect(token, Some(authentication));
            client.introspect_token(request).await.map(drop)
        }
        Call::Revoke(authentication, token) => {
            client.revoke_token(request::revoke(token, Some(authentication))).await.map(drop)
        }
    };
    outcome.err().map_or(Code::Ok, |status| status.code())
}

impl Http {
    async fn connect(server: &str) -> anyhow::Result<Self> {
        ensure!(server.starts_with("http://"), "--http takes a URL without TLS: http://HOST:PORT");
        let connection = HttpConnection::connect(server, None).await?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    async fn ask(&self, call: Call) -> anyhow::Result<String> {
        let (path, authentication, form) = match call {
            Call::Issue(authentication) => {
                ("/oauth2/token", authentication, "grant_type=client_credentials".to_owned())
            }
            Call::Introspect(authentication, token) => {
                ("/oauth2/introspect", authentication, format!("token={token}"))
            }
            Call::Revoke(authentication, token) => {
                ("/oauth2/revoke", authentication, format!("token={token}"))
            }
        };
        let basic = request::basic(&authentication.client_id, &authentication.client_secret);
        let answer = self.0.lock().await.post_form(path, &basic, form).await?;
        let status = answer.status;
        Ok(if status == 200 { "OK".to_owned() } else { status.as_u16().to_string() })
    }
}
