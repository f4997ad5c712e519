//! Credentials of the caller: exactly one method per request (RFC 6749, section 2.3).

use tonic::metadata::MetadataMap;

use super::basic;
use crate::{
    credentials::Credentials,
    domain::{ClientId, ClientSecret, Error, ForeignSecret, Malformed, PresentedCredential},
    pb::v1::ClientAuthentication,
};

/// Extracts the credentials from the metadata or from the message.
///
/// # Errors
/// `InvalidRequest` for two methods or two headers in one request. `InvalidClient` for none, for
/// another scheme, and for a text that cannot be a client id or secret of ours: it is refused for
/// its form alone, so the refusal says nothing about any client.
pub(super) fn credentials(
    metadata: &MetadataMap,
    message: Option<&ClientAuthentication>,
) -> Result<Credentials, Error> {
    let mut headers = metadata.get_all("authorization").iter();
    let (header, second) = (headers.next(), headers.next());
    if second.is_some() || header.is_some_and(|header| basic::is_joined(header.as_bytes())) {
        return Err(Error::InvalidRequest("send exactly one authorization header"));
    }
    match (header, message) {
        (None, None) => Err(Error::InvalidClient),
        (None, Some(message)) => parse(&message.client_id, &message.client_secret),
        (Some(header), message) => {
            if message.is_some_and(|message| !message.client_secret.is_empty()) {
                return Err(Error::InvalidRequest(
                    "authenticate either by the authorization header or by parameters, not by both",
                ));
            }
            let basic = header.to_str().ok().and_then(basic::parse).ok_or(Error::InvalidClient)?;
            if message.is_some_and(|message| {
                !message.client_id.is_empty() && message.client_id != basic.client_id
            }) {
                return Err(Error::InvalidRequest(
                    "client_id differs from the one in the authorization header",
                ));
            }
            parse(&basic.client_id, &basic.client_secret)
        }
    }
}

fn parse(client_id: &str, client_secret: &str) -> Result<Credentials, Error> {
    let parse = || -> Result<Credentials, Malformed> {
        // A text without a tag can only be a secret that was imported with its client.
        let credential = match ClientSecret::parse(client_secret) {
            Ok(secret) => PresentedCredential::Secret(secret),
            Err(_) => PresentedCredential::Foreign(ForeignSecret::parse(client_secret)?),
        };
        Ok(Credentials { client_id: ClientId::parse(client_id)?, credential })
    };
    parse().map_err(|_| Error::InvalidClient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{SeededRandom, TagKey};
    use base64::{Engine, engine::general_purpose::STANDARD};

    fn secret() -> String {
        let random = SeededRandom::default();
        ClientSecret::generate(&random, &TagKey::from_bytes([1; 32])).unwrap().expose().to_owned()
    }

    fn metadata(headers: &[String]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for header in headers {
            metadata.append("authorization", header.parse().unwrap());
        }
        metadata
    }

    fn message(client_id: &str, client_secret: &str) -> ClientAuthentication {
        ClientAuthentication { client_id: client_id.into(), client_secret: client_secret.into() }
    }

    type Expected = fn(&Result<Credentials, Error>) -> bool;

    #[test]
    fn exactly_one_method_authenticates() {
        let secret = secret();
        let basic = format!("Basic {}", STANDARD.encode(format!("orders:{secret}")));
        let one = [basic.clone()];
        let two = [basic.clone(), basic];
        let none: [String; 0] = [];
        let ok: Expected = |outcome| outcome.is_ok();
        let client: Expected = |outcome| matches!(outcome, Err(Error::InvalidClient));
        let request: Expected = |outcome| matches!(outcome, Err(Error::InvalidRequest(_)));
        let rows: [(&str, &[String], Option<ClientAuthentication>, Expected); 10] = [
            ("header alone", &one, None, ok),
            ("message alone", &none, Some(message("orders", &secret)), ok),
            ("header and the same id", &one, Some(message("orders", "")), ok),
            ("header and nothing said", &one, Some(message("", "")), ok),
            ("nothing", &none, None, client),
            ("id without a secret", &none, Some(message("orders", "")), client),
            ("secret without an id", &none, Some(message("", &secret)), client),
            ("two headers", &two, None, request),
            ("header and a secret", &one, Some(message("orders", &secret)), request),
            ("header and another id", &one, Some(message("billing", "")), request),
        ];
        for (name, headers, message, expected) in rows {
            let outcome = credentials(&metadata(headers), message.as_ref());
            assert!(expected(&outcome), "{name}: {outcome:?}");
        }
    }

    #[test]
    fn an_unknown_scheme_and_bytes_that_are_no_text_do_not_authenticate() {
        let bearer = metadata(&["Bearer abc".to_owned()]);
        assert!(matches!(credentials(&bearer, None), Err(Error::InvalidClient)));
        let strange = metadata(&["Basic na\u{ef}ve".to_owned()]);
        assert!(matches!(credentials(&strange, None), Err(Error::InvalidClient)));
    }
}
