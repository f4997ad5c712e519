//! The revocation endpoint (RFC 7009): form → `RevokeToken` → 200 with nothing in it.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::{Shim, error_response::ErrorResponse, form::Parameter, form_request::FormRequest};
use crate::pb::v1::RevokeTokenRequest;

pub(super) async fn endpoint(
    State(shim): State<Arc<Shim>>,
    FormRequest { mut form, authorization }: FormRequest,
) -> Result<StatusCode, ErrorResponse> {
    let message = RevokeTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    let request = shim.rpc_request(authorization, message);
    shim.within_deadline(shim.client().revoke_token(request)).await?;
    Ok(StatusCode::OK)
}
