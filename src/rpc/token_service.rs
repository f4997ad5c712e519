//! Implementation of `jeton.v1.TokenService`.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use prost_types::{Duration, Timestamp as ProtoTimestamp};
use tonic::{Request, Response, Status};
use tracing::Span;

use super::{Admission, caller, parse, rate_limit, status};
use crate::{
    authority::{ActiveToken, AuthenticatedClient, Authority, Introspection, IssuedToken},
    credentials::Credentials,
    domain::{Audience, Error, Scope, Timestamp},
    pb::v1::{
        IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse,
        ReportLeakedSecretRequest, ReportLeakedSecretResponse, RevokeTokenRequest,
        RevokeTokenResponse, token_service_server::TokenService,
    },
    request::{Method, RequestContext, lane_of},
    stats::Stats,
};

/// Token type of every token (RFC 6750).
const BEARER: &str = "Bearer";

/// The service. Its authority is set once the database is ready; until then every call fails with
/// UNAVAILABLE.
#[derive(Clone)]
pub struct TokenRpc {
    authority: Arc<OnceLock<Authority>>,
    admission: Admission,
}

impl TokenRpc {
    /// The service, still without an authority.
    #[must_use]
    pub fn new(admission: Admission) -> Self {
        Self { authority: Arc::default(), admission }
    }

    /// The place of the authority, for the service that administrators call.
    #[must_use]
    pub fn shared_authority(&self) -> Arc<OnceLock<Authority>> {
        Arc::clone(&self.authority)
    }

    /// Sets the authority, after which calls are served. A second authority is ignored.
    pub fn begin(&self, authority: Authority) {
        let _ = self.authority.set(authority);
    }

    /// Whether calls can be answered. False until the authority is set, and while it lacks a lease
    /// that its database requires.
    #[must_use]
    pub fn may_answer(&self) -> bool {
        self.authority.get().is_some_and(Authority::may_answer)
    }

    /// Counters of the authority; `None` until it is set.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        self.authority.get().map(Authority::stats)
    }

    fn authority(&self) -> Result<&Authority, Error> {
        self.authority.get().ok_or_else(|| Error::unavailable("the database is not ready yet"))
    }

    async fn issue(
        &self,
        request: Request<IssueTokenRequest>,
        context: RequestContext,
    ) -> Result<IssuedToken, Error> {
        let authority = self.authority()?;
        let (metadata, _, message) = request.into_parts();
        let credentials = caller::credentials(&metadata, message.client_authentication.as_ref());
        let caller = authenticate(authority, credentials, Method::IssueToken, &context).await?;
        authority.issue(&caller, parse::issue(&message)?).await
    }

    async fn introspect(
        &self,
        request: Request<IntrospectTokenRequest>,
        context: RequestContext,
    ) -> Result<Introspection, Error> {
        let authority = self.authority()?;
        let (metadata, _, message) = request.into_parts();
        let credentials = caller::credentials(&metadata, message.client_authentication.as_ref());
        let caller =
            authenticate(authority, credentials, Method::IntrospectToken, &context).await?;
        authority.introspect(&caller, parse::token(&message.token)?.as_ref()).await
    }

    async fn revoke(
        &self,
        request: Request<RevokeTokenRequest>,
        context: RequestContext,
    ) -> Result<(), Error> {
        let authority = self.authority()?;
        let (metadata, _, message) = request.into_parts();
        let credentials = caller::credentials(&metadata, message.client_authentication.as_ref());
        let caller = authenticate(authority, credentials, Method::RevokeToken, &context).await?;
        match parse::token(&message.token)? {
            Some(token) => authority.revoke(&caller, &token).await,
            None => Ok(()),
        }
    }

    /// Nobody is authenticated: the text is the proof. A source that reports without end is told to
    /// wait where its connection is not slowed.
    async fn report(
        &self,
        request: Request<ReportLeakedSecretRequest>,
        context: RequestContext,
    ) -> Result<(), Error> {
        let authority = self.authority()?;
        if context.is_throttled {
            return Err(Error::queue_full(RequestContext::THROTTLE_WAIT));
        }
        let secret = parse::leaked_secret(&request.get_ref().client_secret)?;
        authority.report_leak(secret, &context).await
    }
}

/// Authenticates the caller and adds its client id to all later log lines of this request. Earlier
/// lines do not name it, because an id that is not authenticated is arbitrary text.
async fn authenticate(
    authority: &Authority,
    credentials: Result<Credentials, Error>,
    method: Method,
    context: &RequestContext,
) -> Result<AuthenticatedClient, Error> {
    let caller = match credentials {
        Ok(credentials) => authority.authenticate(credentials, lane_of(method), context).await,
        Err(error) => Err(error),
    };
    let caller = caller.map_err(|error| match error {
        Error::InvalidClient if context.is_throttled => {
            Error::too_many_failures(RequestContext::THROTTLE_WAIT)
        }
        error => error,
    })?;
    Span::current().record("client_id", caller.client_id().as_str());
    Ok(caller)
}

#[tonic::async_trait]
impl TokenService for TokenRpc {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let call = async |request, context| {
            let issued = self.issue(request, context).await.map_err(status::from_error)?;
            Ok((answer(&issued), issued.quota))
        };
        let answered = self.admission.run(Method::IssueToken, request, call).await?;
        let (message, quota) = answered.into_inner();
        Ok(rate_limit::response(message, quota))
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let call = async |request, context| {
            let found = self.introspect(request, context).await.map_err(status::from_error)?;
            Ok(match found {
                Introspection::Inactive => IntrospectTokenResponse::default(),
                Introspection::Active(token) => active(&token),
            })
        };
        self.admission.run(Method::IntrospectToken, request, call).await
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let call = async |request, context| {
            self.revoke(request, context).await.map_err(status::from_error)?;
            Ok(RevokeTokenResponse {})
        };
        self.admission.run(Method::RevokeToken, request, call).await
    }

    async fn report_leaked_secret(
        &self,
        request: Request<ReportLeakedSecretRequest>,
    ) -> Result<Response<ReportLeakedSecretResponse>, Status> {
        let call = async |request, context| {
            self.report(request, context).await.map_err(status::from_error)?;
            Ok(ReportLeakedSecretResponse {})
        };
        self.admission.run(Method::ReportLeakedSecret, request, call).await
    }
}

fn answer(issued: &IssuedToken) -> IssueTokenResponse {
    IssueTokenResponse {
        access_token: issued.token.expose().to_owned(),
        token_type: BEARER.to_owned(),
        expires_in: Some(Duration {
            seconds: i64::try_from(issued.expires_in.as_secs()).unwrap_or(i64::MAX),
            nanos: 0,
        }),
        scopes: texts(&issued.granted.scopes, Scope::as_str),
    }
}

fn active(token: &ActiveToken) -> IntrospectTokenResponse {
    IntrospectTokenResponse {
        active: true,
        scopes: texts(&token.granted.scopes, Scope::as_str),
        client_id: token.client.client_id.as_str().to_owned(),
        subject: token.client.client_id.as_str().to_owned(),
        audiences: texts(&token.granted.audiences, Audience::as_str),
        issuer: token.issuer.to_string(),
        token_id: token.id.0.to_string(),
        issue_time: Some(seconds(token.issued_at)),
        not_before_time: Some(seconds(token.issued_at)),
        expire_time: Some(seconds(token.expires_at)),
        token_type: BEARER.to_owned(),
    }
}

fn texts<T>(values: &BTreeSet<T>, text: fn(&T) -> &str) -> Vec<String> {
    values.iter().map(|value| text(value).to_owned()).collect()
}

fn seconds(moment: Timestamp) -> ProtoTimestamp {
    ProtoTimestamp { seconds: moment.unix_seconds(), nanos: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A future is copied several times before it is polled first, whole. Built without
    /// optimization, one of these takes twice as much as in a release.
    #[test]
    fn the_future_of_a_call_is_small() {
        let rpc = TokenRpc::new(Admission::new(1, std::time::Duration::from_secs(1)));
        let issue = rpc.issue_token(Request::new(IssueTokenRequest::default()));
        let introspect = rpc.introspect_token(Request::new(IntrospectTokenRequest::default()));
        let revoke = rpc.revoke_token(Request::new(RevokeTokenRequest::default()));
        let sizes = [size_of_val(&*issue), size_of_val(&*introspect), size_of_val(&*revoke)];
        assert!(sizes.iter().all(|size| *size <= 3_072), "{sizes:?}");
    }
}
