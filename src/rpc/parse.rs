//! Parses messages into domain values. Beyond this module no scope, resource or token is a raw
//! string.

use crate::{
    authority::IssueRequest,
    domain::{Audience, Error, GrantType, Malformed, Scope, TokenText},
    pb::v1::{IssueTokenRequest, issue_token_request::Grant},
};

pub(super) fn issue(message: &IssueTokenRequest) -> Result<IssueRequest, Error> {
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
    let scopes = Scope::parse_set(&message.scopes);
    let resources = Audience::parse_set(&message.resources);
    Ok(IssueRequest {
        grant,
        scopes: scopes.map_err(|Malformed(text)| Error::InvalidScope(text))?,
        resources: resources.map_err(|Malformed(text)| Error::InvalidTarget(text.into()))?,
    })
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
