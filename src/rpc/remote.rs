//! `TokenService` of a remote node, used by a shim that runs alone.

use std::{net::IpAddr, sync::Arc, time::Instant};

use http::{Extensions, HeaderMap, header::AUTHORIZATION};
use tonic::{Request, Response, Status, metadata::MetadataMap, transport::Channel};

use super::{Admission, rate_limit, upstream_link::UpstreamLink};
use crate::{
    pb::v1::{
        IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse,
        ReportLeakedSecretRequest, ReportLeakedSecretResponse, RevokeTokenRequest,
        RevokeTokenResponse, token_service_client::TokenServiceClient,
        token_service_server::TokenService,
    },
    request::{Method, RequestContext},
};

/// Forwards calls to a node. The concurrency limit and the deadline apply here as they do on the
/// node: while it is down, callers would otherwise queue, each for its own attempt to connect.
#[derive(Debug, Clone)]
pub struct RemoteTokens {
    client: TokenServiceClient<Channel>,
    admission: Admission,
    link: Arc<UpstreamLink>,
}

impl RemoteTokens {
    /// Forwards calls to the node at the other end of `channel`.
    #[must_use]
    pub fn new(channel: Channel, admission: Admission) -> Self {
        Self { client: TokenServiceClient::new(channel), admission, link: Arc::default() }
    }

    /// The link to the node.
    #[must_use]
    pub fn link(&self) -> Arc<UpstreamLink> {
        Arc::clone(&self.link)
    }

    /// Notes the failures of the link.
    fn noted<T>(&self, answered: Result<T, Status>) -> Result<T, Status> {
        answered.map_err(|status| self.link.note(status))
    }
}

/// The outgoing request: its message, with the remaining time as its timeout and the source of the
/// caller (RFC 7239), which the node believes if it trusts this shim. Of the headers that came with
/// the message it has the id of the request, and each `authorization`: the node refuses a second
/// one, as it does for gRPC callers. They are marked as sensitive, so that neither logs nor header
/// compression keep them.
fn forwarded<T>(request: Request<T>, context: &RequestContext) -> Request<T> {
    let (received, _, message) = request.into_parts();
    let mut headers = HeaderMap::with_capacity(4);
    for value in received.into_headers().get_all(AUTHORIZATION) {
        let mut value = value.clone();
        value.set_sensitive(true);
        headers.append(AUTHORIZATION, value);
    }
    if let Some(id) = &context.id {
        headers.insert("x-request-id", id.clone());
    }
    let metadata = MetadataMap::from_headers(headers);
    let mut request = Request::from_parts(metadata, Extensions::new(), message);
    let hop = match context.source {
        Some(IpAddr::V4(source)) => Some(format!("for={source}")),
        Some(IpAddr::V6(source)) => Some(format!("for=\"[{source}]\"")),
        None => None,
    };
    if let Some(hop) = hop.and_then(|hop| hop.parse().ok()) {
        request.metadata_mut().insert("forwarded", hop);
    }
    if let Some(deadline) = context.deadline {
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    }
    request
}

#[tonic::async_trait]
impl TokenService for RemoteTokens {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let call = async |request, context: RequestContext| {
            self.noted(self.client.clone().issue_token(forwarded(request, &context)).await)
        };
        let answered = self.admission.run(Method::IssueToken, request, call).await?;
        Ok(rate_limit::forwarded(answered.into_inner()))
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let call = async |request, context: RequestContext| {
            let answer = self.client.clone().introspect_token(forwarded(request, &context)).await;
            Ok(self.noted(answer)?.into_inner())
        };
        self.admission.run(Method::IntrospectToken, request, call).await
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let call = async |request, context: RequestContext| {
            let answer = self.client.clone().revoke_token(forwarded(request, &context)).await;
            Ok(self.noted(answer)?.into_inner())
        };
        self.admission.run(Method::RevokeToken, request, call).await
    }

    async fn report_leaked_secret(
        &self,
        request: Request<ReportLeakedSecretRequest>,
    ) -> Result<Response<ReportLeakedSecretResponse>, Status> {
        let call = async |request, context: RequestContext| {
            let request = forwarded(request, &context);
            Ok(self.noted(self.client.clone().report_leaked_secret(request).await)?.into_inner())
        };
        self.admission.run(Method::ReportLeakedSecret, request, call).await
    }
}
