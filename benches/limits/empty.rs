//! The yardsticks E and H: servers that do nothing, in a process of their own.

use std::env;

use jeton::pb::v1::{
    IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse,
    ReportLeakedSecretRequest, ReportLeakedSecretResponse, RevokeTokenRequest, RevokeTokenResponse,
    token_service_server::{TokenService, TokenServiceServer},
};
use tonic::{Request, Response, Status, transport::Server};

/// What tells this program to be the empty servers.
pub(crate) const ARGUMENT: &str = "--empty-servers";

const JSON: &str = r#"{"token_type":"Bearer","expires_in":3600,"access_token":"ca19a540f54478e"}"#;

struct Empty;

#[tonic::async_trait]
impl TokenService for Empty {
    async fn issue_token(
        &self,
        _: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        Ok(Response::new(IssueTokenResponse::default()))
    }

    async fn introspect_token(
        &self,
        _: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        Ok(Response::new(IntrospectTokenResponse::default()))
    }

    async fn revoke_token(
        &self,
        _: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn report_leaked_secret(
        &self,
        _: Request<ReportLeakedSecretRequest>,
    ) -> Result<Response<ReportLeakedSecretResponse>, Status> {
        Ok(Response::new(ReportLeakedSecretResponse {}))
    }
}

/// Reads the form, as anything that serves it must.
async fn form(body: String) -> ([(&'static str, &'static str); 1], &'static str) {
    let pairs = form_urlencoded::parse(body.as_bytes()).count();
    assert!(pairs > 0);
    ([("content-type", "application/json")], JSON)
}

/// Serves both until it is killed.
pub(crate) async fn serve() {
    let after = |name: &str| env::args().skip_while(|argument| argument != name).nth(1).unwrap();
    let grpc = after("--grpc-addr").parse().unwrap();
    let http = tokio::net::TcpListener::bind(after("--http-addr")).await.unwrap();
    let router = axum::Router::new().route("/{*path}", axum::routing::post(form));
    tokio::spawn(async move { axum::serve(http, router).await });
    let server = Server::builder().add_service(TokenServiceServer::new(Empty)).serve(grpc);
    eprintln!("listening");
    server.await.unwrap();
}
