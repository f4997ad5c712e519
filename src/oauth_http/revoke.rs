//! The revocation endpoint (RFC 7009): form → `RevokeToken` → 200 with an empty body.

use super::{Response, error_response::ErrorResponse, form::Parameter, form_request::FormRequest};
use crate::pb::v1::{RevokeTokenRequest, token_service_server::TokenService};

pub(super) async fn answer(
    service: &dyn TokenService,
    FormRequest { mut form, caller }: FormRequest,
) -> Result<Response, ErrorResponse> {
    let message = RevokeTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    service.revoke_token(caller.request(message)).await?;
    Ok(Response::default())
}
