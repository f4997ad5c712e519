//! The revocation endpoint (RFC 7009): form → `RevokeToken` → 200 with an empty object.
//!
//! Section 2.2 has clients ignore the body; but some, simple-oauth2 among them, parse every
//! response as JSON and fail on an empty one.

use http::StatusCode;
use serde_json::Map;

use super::{
    Response, error_response::ErrorResponse, form::Parameter, form_request::FormRequest, json,
};
use crate::pb::v1::{RevokeTokenRequest, token_service_server::TokenService};

pub(super) async fn answer(
    service: &dyn TokenService,
    FormRequest { mut form, caller, refusal }: FormRequest,
) -> Result<Response, ErrorResponse> {
    let message = RevokeTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    let revoked = service.revoke_token(caller.request(message)).await;
    revoked.map_err(|status| refusal.of(status))?;
    Ok(json(StatusCode::OK, &Map::new()))
}
