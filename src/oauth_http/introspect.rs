//! The introspection endpoint (RFC 7662): form → `IntrospectToken` → JSON.

use http::StatusCode;
use serde::Serialize;

use super::{
    Response, error_response::ErrorResponse, form::Parameter, form_request::FormRequest, json,
};
use crate::pb::v1::{
    IntrospectTokenRequest, IntrospectTokenResponse, token_service_server::TokenService,
};

pub(super) async fn answer(
    service: &dyn TokenService,
    FormRequest { mut form, caller, refusal }: FormRequest,
) -> Result<Response, ErrorResponse> {
    let message = IntrospectTokenRequest {
        token: form.take(Parameter::Token).unwrap_or_default(),
        token_type_hint: form.take(Parameter::TokenTypeHint).unwrap_or_default(),
        client_authentication: form.take_client_authentication(),
    };
    let answered = service.introspect_token(caller.request(message)).await;
    let answer = answered.map_err(|status| refusal.of(status))?.into_inner();
    Ok(json(StatusCode::OK, &Introspection::from(answer)))
}

/// The members of RFC 7662, section 2.2, in the order in which they are sent.
#[derive(Default, Serialize)]
struct Introspection {
    active: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<Audience>,
    #[serde(skip_serializing_if = "String::is_empty")]
    iss: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    jti: String,
}

/// One audience is a string, several are an array (RFC 7519, section 4.1.3).
#[derive(Serialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl From<IntrospectTokenResponse> for Introspection {
    fn from(answer: IntrospectTokenResponse) -> Self {
        if !answer.active {
            // An inactive token has no other member, whatever the node sends.
            return Self::default();
        }
        Self {
            active: true,
            scope: answer.scopes.join(" "),
            client_id: answer.client_id,
            token_type: answer.token_type,
            exp: answer.expire_time.map(|time| time.seconds),
            iat: answer.issue_time.map(|time| time.seconds),
            nbf: answer.not_before_time.map(|time| time.seconds),
            sub: answer.subject,
            aud: audience(answer.audiences),
            iss: answer.issuer,
            jti: answer.token_id,
        }
    }
}

fn audience(mut audiences: Vec<String>) -> Option<Audience> {
    if audiences.len() > 1 {
        return Some(Audience::Several(audiences));
    }
    audiences.pop().map(Audience::One)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn answer() -> IntrospectTokenResponse {
        IntrospectTokenResponse {
            active: true,
            scopes: ["a", "b"].map(str::to_owned).to_vec(),
            client_id: "orders".to_owned(),
            subject: "orders".to_owned(),
            audiences: vec!["https://api".to_owned()],
            issuer: "https://auth".to_owned(),
            token_id: "1".to_owned(),
            issue_time: Some(Timestamp { seconds: 10, nanos: 0 }),
            not_before_time: Some(Timestamp { seconds: 11, nanos: 0 }),
            expire_time: Some(Timestamp { seconds: 12, nanos: 0 }),
            token_type: "Bearer".to_owned(),
        }
    }

    fn json(answer: IntrospectTokenResponse) -> String {
        serde_json::to_string(&Introspection::from(answer)).unwrap_or_default()
    }

    #[test]
    fn an_active_token_has_the_members_of_the_rfc() {
        let expected = concat!(
            r#"{"active":true,"scope":"a b","client_id":"orders","token_type":"Bearer","#,
            r#""exp":12,"iat":10,"nbf":11,"sub":"orders","aud":"https://api","#,
            r#""iss":"https://auth","jti":"1"}"#,
        );
        assert_eq!(json(answer()), expected);
    }

    #[test]
    fn one_audience_is_a_string_and_several_are_an_array() {
        let with = |audiences: &[&str]| {
            let audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
            json(IntrospectTokenResponse { audiences, ..answer() })
        };
        assert!(with(&["a"]).contains(r#""aud":"a""#));
        assert!(with(&["a", "b"]).contains(r#""aud":["a","b"]"#));
        assert!(!with(&[]).contains("aud"));
    }

    #[test]
    fn nothing_is_said_of_an_inactive_token() {
        let inactive = IntrospectTokenResponse { active: false, ..answer() };
        assert_eq!(json(inactive), r#"{"active":false}"#);
    }
}
