//! The token endpoint (RFC 6749, section 3.2): form → `IssueToken` → JSON.

use http::StatusCode;
use serde::Serialize;
use tonic::Status;

use super::{
    Response,
    form::{Form, Parameter},
    form_request::FormRequest,
    json,
    rate_limit::RateLimit,
};
use crate::pb::v1::{
    ClientCredentialsGrant, IssueTokenRequest, IssueTokenResponse, issue_token_request::Grant,
    token_service_server::TokenService,
};

pub(super) async fn answer(
    service: &dyn TokenService,
    FormRequest { form, caller, refusal }: FormRequest,
) -> Response {
    let answered = service.issue_token(caller.request(message(form))).await;
    // Both an issued token and a refusal may carry the state of the client's quota.
    let metadata = answered.as_ref().map_or_else(Status::metadata, tonic::Response::metadata);
    let rate_limit = RateLimit::of(metadata);
    let mut response = match answered {
        Ok(answer) => json(StatusCode::OK, &TokenResponse::from(answer.into_inner())),
        Err(status) => refusal.of(status).into_response(),
    };
    rate_limit.add_to(response.headers_mut());
    response
}

fn message(mut form: Form) -> IssueTokenRequest {
    // A missing grant type and an unknown one are different errors; the RPC reports both.
    let grant = form.take(Parameter::GrantType).map(|name| match name.as_str() {
        "client_credentials" => Grant::ClientCredentials(ClientCredentialsGrant {}),
        _ => Grant::OtherGrantType(name),
    });
    // Empty pieces are kept: two consecutive spaces are malformed, and the RPC refuses them.
    let scope = form.take(Parameter::Scope);
    let scopes = scope.iter().flat_map(|scope| scope.split(' ')).map(str::to_owned).collect();
    IssueTokenRequest {
        grant,
        scopes,
        resources: form.take_all(Parameter::Resource),
        client_authentication: form.take_client_authentication(),
    }
}

/// The members of RFC 6749, section 5.1, in the order in which they are sent.
#[derive(Serialize)]
struct TokenResponse {
    token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<i64>,
    access_token: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
}

impl From<IssueTokenResponse> for TokenResponse {
    fn from(answer: IssueTokenResponse) -> Self {
        Self {
            token_type: answer.token_type,
            expires_in: answer.expires_in.map(|duration| duration.seconds),
            access_token: answer.access_token,
            scope: answer.scopes.join(" "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(body: &str) -> Option<IssueTokenRequest> {
        Form::parse(body.as_bytes()).ok().map(message)
    }

    #[test]
    fn the_form_becomes_the_message_and_nothing_is_judged() {
        let table = [
            ("", IssueTokenRequest::default()),
            ("grant_type=&scope=", IssueTokenRequest::default()),
            (
                "grant_type=client_credentials&scope=b+a++b+&resource=r&resource=q",
                IssueTokenRequest {
                    grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
                    scopes: ["b", "a", "", "b", ""].map(str::to_owned).to_vec(),
                    resources: ["r", "q"].map(str::to_owned).to_vec(),
                    client_authentication: None,
                },
            ),
            (
                "grant_type=Client_Credentials",
                IssueTokenRequest {
                    grant: Some(Grant::OtherGrantType("Client_Credentials".to_owned())),
                    ..IssueTokenRequest::default()
                },
            ),
        ];
        for (body, expected) in table {
            assert_eq!(message_of(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn the_answer_has_the_members_of_the_rfc() {
        let mut answer = IssueTokenResponse {
            access_token: "jta_1".to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: Some(prost_types::Duration { seconds: 3600, nanos: 0 }),
            scopes: ["a", "b"].map(str::to_owned).to_vec(),
        };
        let json = |answer: &IssueTokenResponse| {
            serde_json::to_string(&TokenResponse::from(answer.clone())).unwrap_or_default()
        };
        let members = r#""token_type":"Bearer","expires_in":3600,"access_token":"jta_1""#;
        assert_eq!(json(&answer), format!(r#"{{{members},"scope":"a b"}}"#));
        answer.scopes.clear();
        assert_eq!(json(&answer), format!("{{{members}}}"));
    }
}
