//! The requests of a client, as messages and as headers.

use base64::{Engine, engine::general_purpose::STANDARD};
use jeton_proto::v1::{
    ClientAuthentication, ClientCredentialsGrant, IntrospectTokenRequest, IssueTokenRequest,
    RevokeTokenRequest, issue_token_request::Grant,
};

/// The value of the `Authorization` header for these credentials, as `curl -u` writes it
/// (RFC 7617).
#[must_use]
pub fn basic(client_id: &str, client_secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{client_secret}")))
}

/// Asks for a token by the client-credentials grant. `None` where the credentials are in the
/// metadata.
#[must_use]
pub fn issue(client_authentication: Option<ClientAuthentication>) -> IssueTokenRequest {
    IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client_authentication,
        ..Default::default()
    }
}

/// Asks whether a token is active.
#[must_use]
pub fn introspect(
    token: String,
    client_authentication: Option<ClientAuthentication>,
) -> IntrospectTokenRequest {
    IntrospectTokenRequest { token, client_authentication, ..Default::default() }
}

/// Revokes a token.
#[must_use]
pub fn revoke(
    token: String,
    client_authentication: Option<ClientAuthentication>,
) -> RevokeTokenRequest {
    RevokeTokenRequest { token, client_authentication, ..Default::default() }
}
