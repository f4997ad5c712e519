//! The revocation endpoint (RFC 7009): form → `RevokeToken` → 200 with an empty object.
//!
//! Section 2.2 has clients ignore the body; but some, simple-oauth2 among them, parse every
//! response as JSON and fail on an empty one.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};

use serde_json::Map;

use super::{
    Shim, error_response::ErrorResponse, form::Parameter, form_request::FormRequest, json,
};
use crate::pb::v1::RevokeTokenRequest;

pub(super) async fn endpoint(
    State(shim): State<Arc<Shim>>,
    FormRequest { mut form, caller, refusal }: FormRequest,
) -> Result<Response, ErrorResponse> {
    let message = RevokeTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    let revoked = shim.service.revoke_token(caller.request(message)).await;
    revoked.map_err(|status| refusal.of(status))?;
    Ok(json(StatusCode::OK, &Map::new()))
}
