//! The revocation endpoint (RFC 7009): form → `RevokeToken` → 200 with an empty body.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::{Shim, error_response::ErrorResponse, form::Parameter, form_request::FormRequest};
use crate::pb::v1::RevokeTokenRequest;

pub(super) async fn endpoint(
    State(shim): State<Arc<Shim>>,
    FormRequest { mut form, caller }: FormRequest,
) -> Result<StatusCode, ErrorResponse> {
    let message = RevokeTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    shim.service.revoke_token(caller.request(message)).await?;
    Ok(StatusCode::OK)
}
