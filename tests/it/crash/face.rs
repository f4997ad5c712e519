//! The faces of a node that may die at any moment, as a caller sees them.

use std::{error::Error, net::SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use jeton::pb::v1::{
    ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest, RevokeTokenRequest,
    issue_token_request::Grant, token_service_client::TokenServiceClient,
};
use serde_json::Value;
use tokio::net::TcpStream;
use tonic::{Code, Status, transport::Channel};

use crate::support::{
    binary::Served,
    http::{Answer, FORM, basic},
    node::Credentials,
};

const TOKEN: &str = "/oauth2/token";
const INTROSPECT: &str = "/oauth2/introspect";
const REVOKE: &str = "/oauth2/revoke";

/// What a call came to, of which only the first is an acknowledgement.
pub(super) enum Outcome<T> {
    Done(T),
    /// UNAVAILABLE or 503.
    Unavailable,
    /// The connection ended before there was a whole answer.
    Gone,
}

/// One face of a node, as a caller sees it.
#[derive(Clone)]
pub(super) enum Face {
    Grpc(TokenServiceClient<Channel>),
    Http(SocketAddr),
}

impl Face {
    pub(super) async fn both(served: &Served) -> [Self; 2] {
        let grpc = TokenServiceClient::connect(format!("http://{}", served.grpc)).await.unwrap();
        [Self::Grpc(grpc), Self::Http(served.http)]
    }

    pub(super) async fn issue(&mut self, caller: &Credentials) -> Outcome<String> {
        match self {
            Self::Grpc(client) => {
                let asked = IssueTokenRequest {
                    grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
                    client_authentication: Some(caller.message()),
                    ..Default::default()
                };
                over_grpc(client.issue_token(asked).await, |issued| issued.access_token)
            }
            Self::Http(_) => {
                let form = "grant_type=client_credentials";
                let issued = self.post(TOKEN, caller, form).await;
                issued.map(|answer| answer["access_token"].as_str().unwrap().to_owned())
            }
        }
    }

    pub(super) async fn revoke(&mut self, caller: &Credentials, token: &str) -> Outcome<()> {
        match self {
            Self::Grpc(client) => {
                let asked = RevokeTokenRequest {
                    token: token.to_owned(),
                    client_authentication: Some(caller.message()),
                    ..Default::default()
                };
                over_grpc(client.revoke_token(asked).await, |_| ())
            }
            Self::Http(_) => self.post(REVOKE, caller, &format!("token={token}")).await.map(|_| ()),
        }
    }

    pub(super) async fn is_active(&mut self, caller: &Credentials, token: &str) -> Outcome<bool> {
        match self {
            Self::Grpc(client) => {
                let asked = IntrospectTokenRequest {
                    token: token.to_owned(),
                    client_authentication: Some(caller.message()),
                    ..Default::default()
                };
                over_grpc(client.introspect_token(asked).await, |seen| seen.active)
            }
            Self::Http(_) => {
                let seen = self.post(INTROSPECT, caller, &format!("token={token}")).await;
                seen.map(|answer| answer["active"].as_bool().unwrap())
            }
        }
    }

    async fn post(&self, path: &str, caller: &Credentials, form: &str) -> Outcome<Value> {
        let Self::Http(address) = self else { unreachable!("gRPC has no forms") };
        match converse(*address, path, caller, form).await {
            Err(_) => Outcome::Gone,
            Ok(answer) if answer.status == 200 => Outcome::Done(answer.json()),
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{path}: {answer:?}");
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
                Outcome::Unavailable
            }
        }
    }
}

impl<T> Outcome<T> {
    fn map<U>(self, read: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(value) => Outcome::Done(read(value)),
            Self::Unavailable => Outcome::Unavailable,
            Self::Gone => Outcome::Gone,
        }
    }
}

fn over_grpc<T, U>(
    answer: Result<tonic::Response<T>, Status>,
    read: impl FnOnce(T) -> U,
) -> Outcome<U> {
    match answer {
        Ok(answer) => Outcome::Done(read(answer.into_inner())),
        // What the node itself says comes with details; what the channel says of a dead one not.
        Err(status) if status.details().is_empty() => Outcome::Gone,
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            Outcome::Unavailable
        }
    }
}

/// An answer that came whole: half of one is no acknowledgement.
async fn converse(
    address: SocketAddr,
    path: &str,
    caller: &Credentials,
    form: &str,
) -> Result<Answer, Box<dyn Error + Send + Sync>> {
    let request = Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, FORM)
        .header(header::AUTHORIZATION, basic(caller.id(), caller.secret()))
        .body(Full::new(Bytes::from(form.to_owned())))?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
