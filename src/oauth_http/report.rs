//! The endpoint for leaked secrets: form → `ReportLeakedSecret` → 202 with an empty body.

use http::StatusCode;
use http_body_util::Full;

use super::{Response, error_response::ErrorResponse, form::Parameter, form_request::FormRequest};
use crate::pb::v1::{ReportLeakedSecretRequest, token_service_server::TokenService};

pub(super) async fn answer(
    service: &dyn TokenService,
    FormRequest { mut form, caller, .. }: FormRequest,
) -> Result<Response, ErrorResponse> {
    let client_secret = form.take(Parameter::ClientSecret).unwrap_or_default();
    let message = ReportLeakedSecretRequest { client_secret };
    service.report_leaked_secret(caller.request(message)).await?;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
