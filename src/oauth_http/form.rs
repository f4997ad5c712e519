//! Strict parser for form bodies (RFC 6749, section 3.2 and appendix B), shared by all endpoints.
//!
//! The steps run in this order: split at `&`, split at the first `=`, decode, refuse repeated
//! names, refuse control characters, and only then drop parameters without a value. If those were
//! dropped earlier, `token=&token=x` would pass.
//!
//! axum's form parser is not used: it reports errors in plain text with another status, keeps
//! broken percent-encoding as it is and lets U+FFFD through.

use crate::form_encoding::{DecodeError, decode_any_text, refuse_control_characters};
use crate::pb::v1::ClientAuthentication;

/// Maximum number of parameters. No request needs more, and the bound keeps parsing cheap.
const MAX_PARAMETERS: usize = 64;

/// The parameters that an endpoint reads or that carry credentials. All others are ignored, even if
/// repeated, as RFC 6749 requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameter {
    GrantType,
    Scope,
    Resource,
    ClientId,
    ClientSecret,
    ClientAssertion,
    ClientAssertionType,
    Token,
    TokenTypeHint,
}

impl Parameter {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "grant_type" => Self::GrantType,
            "scope" => Self::Scope,
            "resource" => Self::Resource,
            "client_id" => Self::ClientId,
            "client_secret" => Self::ClientSecret,
            "client_assertion" => Self::ClientAssertion,
            "client_assertion_type" => Self::ClientAssertionType,
            "token" => Self::Token,
            "token_type_hint" => Self::TokenTypeHint,
            _ => return None,
        })
    }

    /// Only `resource` may be given more than once (RFC 8707, section 2).
    fn may_repeat(self) -> bool {
        self == Self::Resource
    }
}

/// The known parameters of a body that have a value. It has no `Debug`, because it holds secrets.
pub(super) struct Form(Vec<(Parameter, String)>);

/// Why a body is not a valid form. Each text says how to fix the body and echoes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("there are more than 64 parameters; send only those that the endpoint reads")]
    TooManyParameters,
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    #[error("a parameter is given more than once; only resource may be repeated")]
    Repeated,
}

impl Form {
    pub(super) fn parse(body: &[u8]) -> Result<Self, FormError> {
        if pieces(body).count() > MAX_PARAMETERS {
            return Err(FormError::TooManyParameters);
        }
        let mut form = Vec::new();
        for (name, value) in pieces(body) {
            let (name, value) = (decode_any_text(name)?, decode_any_text(value)?);
            if let Some(parameter) = Parameter::named(&name) {
                form.push((parameter, value));
            }
        }
        for (position, (parameter, _)) in form.iter().enumerate() {
            let earlier = form.iter().take(position);
            if !parameter.may_repeat() && earlier.map(|(other, _)| other).any(|o| o == parameter) {
                return Err(FormError::Repeated);
            }
        }
        for (_, value) in &form {
            refuse_control_characters(value)?;
        }
        // "Parameters sent without a value MUST be treated as if they were omitted" (section 3.2).
        form.retain(|(_, value)| !value.is_empty());
        Ok(Self(form))
    }

    /// Removes and returns the value of a parameter that occurs at most once.
    pub(super) fn take(&mut self, wanted: Parameter) -> Option<String> {
        self.take_all(wanted).pop()
    }

    /// Removes and returns all values of a parameter, in the order of the body.
    pub(super) fn take_all(&mut self, wanted: Parameter) -> Vec<String> {
        self.0
            .extract_if(.., |(parameter, _)| *parameter == wanted)
            .map(|(_, value)| value)
            .collect()
    }

    /// Whether there is a client assertion (RFC 7521, section 4.2): an authentication method that
    /// Jeton does not support, and one too many if the request also uses another method.
    pub(super) fn has_client_assertion(&self) -> bool {
        self.has(Parameter::ClientAssertion) || self.has(Parameter::ClientAssertionType)
    }

    /// Whether the body says, or tries to say, which client sends it.
    pub(super) fn names_a_client(&self) -> bool {
        let is_named = self.has(Parameter::ClientId) || self.has(Parameter::ClientSecret);
        is_named || self.has_client_assertion()
    }

    pub(super) fn has(&self, wanted: Parameter) -> bool {
        self.0.iter().any(|(parameter, _)| *parameter == wanted)
    }

    /// Removes and returns the credentials in the body, even if one half is missing: the RPC
    /// decides whether they suffice and whether they may be combined with a header.
    pub(super) fn take_client_authentication(&mut self) -> Option<ClientAuthentication> {
        match (self.take(Parameter::ClientId), self.take(Parameter::ClientSecret)) {
            (None, None) => None,
            (client_id, client_secret) => Some(ClientAuthentication {
                client_id: client_id.unwrap_or_default(),
                client_secret: client_secret.unwrap_or_default(),
            }),
        }
    }
}

/// Whether a query string contains a known parameter. A name that cannot be decoded is unknown.
pub(super) fn query_names_a_parameter(query: &str) -> bool {
    pieces(query.as_bytes())
        .filter_map(|(name, _)| decode_any_text(name).ok())
        .any(|name| Parameter::named(&name).is_some())
}

/// The names and values, undecoded. `;` is not a separator, and a piece without `=` is a name with
/// an empty value.
fn pieces(form: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    form.split(|byte| *byte == b'&').map(|piece| {
        let equals_sign = piece.iter().position(|byte| *byte == b'=');
        equals_sign.map_or((piece, &[][..]), |at| (&piece[..at], &piece[at + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Parameter::{ClientId, ClientSecret, GrantType, Resource, Scope, Token};
    use super::*;

    /// A body and the parameters expected from it.
    type Reading = (&'static [u8], &'static [(Parameter, &'static str)]);

    fn parsed(body: &[u8]) -> Result<Vec<(Parameter, String)>, FormError> {
        Form::parse(body).map(|form| form.0)
    }

    #[test]
    fn known_parameters_are_read() {
        let table: [Reading; 17] = [
            (b"", &[]),
            (b"&&", &[]),
            (b"grant_type=client_credentials", &[(GrantType, "client_credentials")]),
            (b"%67rant_typ%65=a", &[(GrantType, "a")]),
            (b"scope=a+b%20c", &[(Scope, "a b c")]),
            (b"token=+%25%26%2B%C2%A3%E2%82%AC", &[(Token, " %&+\u{a3}\u{20ac}")]),
            (b"token=a=b=c", &[(Token, "a=b=c")]),
            (b"token=a;scope=b", &[(Token, "a;scope=b")]),
            (
                b"resource=a&resource=b&resource=a",
                &[(Resource, "a"), (Resource, "b"), (Resource, "a")],
            ),
            // A parameter without a value counts as omitted.
            (b"scope=&grant_type&client_secret=&resource=", &[]),
            // Unknown parameters are ignored, repeated or not, whatever they contain.
            (b"foo=1&foo=2&=3&redirect_uri=x&token=t", &[(Token, "t")]),
            (b"note=%00&no%0Ate=&token=t", &[(Token, "t")]),
            (b"Scope=a&scope[]=b&scope%00=c", &[]),
            (b"{\"token\":\"t\"}", &[]),
            (b"\xef\xbb\xbftoken=t&scope=a", &[(Scope, "a")]), // a byte order mark is not sniffed
            (b"\ntoken=t", &[]),
            (b"client_id=a&client_secret=b", &[(ClientId, "a"), (ClientSecret, "b")]),
        ];
        for (body, parameters) in table {
            let expected = parameters.iter().map(|(p, value)| (*p, (*value).to_owned())).collect();
            assert_eq!(parsed(body), Ok(expected), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn malformed_bodies_are_refused_with_their_cause() {
        use DecodeError::{BadPercent, ControlCharacter, NotUtf8};
        use FormError::{Repeated, Undecodable};
        let table: [(&[u8], FormError); 22] = [
            (b"token=a&token=b", Repeated),
            (b"token=a&token=a", Repeated),
            (b"token=1&%74oken=2", Repeated),
            (b"token=&token=1", Repeated),
            (b"token=1&token", Repeated),
            (b"grant_type=a&resource=b&resource=c&grant_type=a", Repeated),
            (b"client_assertion=a&client_assertion=a", Repeated),
            (b"token=%", Undecodable(BadPercent)),
            (b"token=%z", Undecodable(BadPercent)),
            (b"token=%zz", Undecodable(BadPercent)),
            (b"token=%2", Undecodable(BadPercent)),
            (b"%=1", Undecodable(BadPercent)),
            (b"%2=1", Undecodable(BadPercent)),
            (b"foo=%zz", Undecodable(BadPercent)),
            (b"token=%ff", Undecodable(NotUtf8)),
            (b"token=\xff", Undecodable(NotUtf8)),
            (b"\xff=1", Undecodable(NotUtf8)),
            (b"token=%c0%80", Undecodable(NotUtf8)),
            (b"token=%ed%a0%80", Undecodable(NotUtf8)),
            (b"token=%00", Undecodable(ControlCharacter)),
            (b"token=t\n", Undecodable(ControlCharacter)),
            // Of two faults, the one found by the earlier step is reported.
            (b"token=%00&token=%zz", Undecodable(BadPercent)),
        ];
        for (body, fault) in table {
            assert_eq!(parsed(body), Err(fault), "{}", body.escape_ascii());
        }
        assert_eq!(parsed(b"token=%00&token=a"), Err(Repeated));
    }

    #[test]
    fn sixty_four_parameters_are_enough() {
        let parameters = |count: usize| vec!["a=1"; count].join("&").into_bytes();
        assert_eq!(parsed(&parameters(64)), Ok(vec![]));
        assert_eq!(parsed(&parameters(65)), Err(FormError::TooManyParameters));
        assert_eq!(parsed(&[b'&'; 16 * 1024]), Err(FormError::TooManyParameters));
    }

    #[test]
    fn credentials_are_passed_on_whole_or_half() {
        let table: [(&[u8], &[&str]); 5] = [
            (b"client_id=a&client_secret=b", &["a", "b"]),
            (b"client_id=a", &["a", ""]),
            (b"client_id=&client_secret=b", &["", "b"]),
            (b"client_id=&client_secret=", &[]),
            (b"token=t", &[]),
        ];
        for (body, expected) in table {
            let mut form = Form::parse(body).unwrap_or(Form(vec![]));
            let read = form.take_client_authentication();
            let read = read.map_or(vec![], |both| vec![both.client_id, both.client_secret]);
            assert_eq!(read, expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn parameters_in_the_query_are_found_however_spelled() {
        for query in ["scope=a", "x=1&token", "client%5Fsecret=", "%74oken=%zz", "client_assertion"]
        {
            assert!(query_names_a_parameter(query), "{query}");
        }
        for query in ["", "x=token", "Token=a", "tokens=1", "%zz=1&%=token", "a;token=1"] {
            assert!(!query_names_a_parameter(query), "{query}");
        }
    }

    proptest! {
        #[test]
        fn every_body_is_answered(body: Vec<u8>) {
            let _ = Form::parse(&body);
        }

        /// Bodies made of the characters that the parser acts on reach more code than random bytes.
        #[test]
        fn what_was_read_is_clean(
            body in "(token|scope|resource|%74oken|x|%|%00|%ff|=|&|\\+|;|\n|a){0,24}",
        ) {
            if let Ok(parameters) = parsed(body.as_bytes()) {
                prop_assert!(parameters.iter().all(|(_, value)| !value.is_empty()));
                prop_assert!(parameters.iter().all(|(_, value)| !value.contains(char::is_control)));
                let tokens = parameters.iter().filter(|(parameter, _)| *parameter == Token);
                prop_assert!(tokens.count() <= 1);
            }
        }
    }
}
