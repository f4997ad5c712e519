//! Messages to values. Past this file no raw string names a scope, a resource or a token.

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
                "the grant is missing: send grant_type=client_credentials",
            ));
        }
    };
    let scopes = Scope::parse_set(&message.scopes);
    let resources = Audience::parse_set(&message.resources);
    Ok(IssueRequest {
        grant,
        scopes: scopes.map_err(|Malformed(text)| Error::InvalidScope(text))?,
        resources: resources.map_err(|Malformed(text)| Error::InvalidTarget(text))?,
    })
}

/// Reads a token. None for a text that no token ever had: it reads as an unknown one.
///
/// # Errors
/// `InvalidRequest` if there is no token at all.
pub(super) fn token(text: &str) -> Result<Option<TokenText>, Error> {
    if text.is_empty() {
        return Err(Error::InvalidRequest("the token is missing: send it as token=..."));
    }
    Ok(TokenText::parse(text).ok())
}
