//! Parses messages into domain values. Beyond this module no scope, resource, token or secret is a
//! raw string.

use crate::{
    domain::{ClientSecret, Error, GrantType, TokenRequest, TokenText},
    pb::v1::{IssueTokenRequest, issue_token_request::Grant},
};

pub(super) fn issue(message: &IssueTokenRequest) -> Result<TokenRequest, Error> {
    let grant = match message.grant {
        Some(Grant::ClientCredentials(_)) => GrantType::ClientCredentials,
        Some(Grant::OtherGrantType(_)) => return Err(Error::UnsupportedGrantType),
        None => {
            return Err(Error::InvalidRequest(
                "the grant is missing: set client_credentials, or over HTTP send \
                 grant_type=client_credentials",
            ));
        }
    };
    TokenRequest::parse(grant, &message.scopes, &message.resources)
}

/// Parses a token. Returns `None` for a text that does not have the form of a token; it is then
/// treated as an unknown token.
///
/// # Errors
/// `InvalidRequest` if `text` is empty.
pub(super) fn token(text: &str) -> Result<Option<TokenText>, Error> {
    if text.is_empty() {
        return Err(Error::InvalidRequest("the token is missing: send it as token"));
    }
    Ok(TokenText::parse(text).ok())
}

/// Parses a secret that is reported as leaked. A text that cannot be one is refused, so that its
/// holder notices that it was cut short. The refusal tells nothing about any secret.
///
/// # Errors
/// `InvalidRequest` unless `text` has the form of a secret.
pub(super) fn leaked_secret(text: &str) -> Result<ClientSecret, Error> {
    if text.is_empty() {
        return Err(Error::InvalidRequest("the secret is missing: send it as client_secret"));
    }
    ClientSecret::parse(text).map_err(|_| {
        Error::InvalidRequest(
            "this is no client secret: send jts_ and the 75 characters after it, complete and not \
             encoded; tokens (jta_) are not reported but revoked",
        )
    })
}
