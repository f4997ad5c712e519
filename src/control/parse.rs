//! Parses messages into domain values. Beyond this module no field is raw text.

mod client;
mod filter;
mod imported;
mod secret;
mod update;

use std::time::Duration;

use prost_types::Duration as ProtoDuration;
use uuid::Uuid;

pub(super) use self::{
    client::new_client,
    filter::{audit_query, client_filter},
    imported::{imported_secrets, moment},
    secret::secret_change,
    update::client_update,
};
use super::refusal::Refusal;
use crate::{
    domain::{ClientId, Etag, RequestKey, SecretId, Timestamp, TokenId, parse_label},
    pb::v1,
    registry::NewSecret,
};

/// Number of rows in a page unless the caller names another, and the maximum.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;

/// Maximum lifetime of a secret, and of any other duration that is added to now: a hundred years. A
/// time past the year 9999 cannot be stored.
const MAX_SECONDS: u64 = 3_155_760_000;

type Parsed<T> = Result<T, Refusal>;

/// Parses the client id that names a client.
pub(super) fn client_id(text: &str) -> Parsed<ClientId> {
    ClientId::parse(text).map_err(Refusal::of_field("client_id"))
}

/// Parses the etag of a client; `None` if there is none.
pub(super) fn etag(field: &'static str, text: &str) -> Parsed<Option<Etag>> {
    let text = Some(text).filter(|text| !text.is_empty());
    let etag = text.map(Etag::parse).transpose();
    etag.map_err(Refusal::of_field(field))
}

/// Parses the id of a request that may come again; `None` if it has none. `content` is everything
/// else in the request.
pub(super) fn request_key(text: &str, content: &[u8]) -> Parsed<Option<RequestKey>> {
    if text.is_empty() {
        return Ok(None);
    }
    let remedy = "a request id is a UUID in lower case, a random one for each request";
    let id = uuid("request_id", text, remedy)?;
    RequestKey::new(id, content).map(Some).map_err(Refusal::of_field("request_id"))
}

/// Parses the id of a secret.
pub(super) fn secret_id(text: &str) -> Parsed<SecretId> {
    secret_id_in("secret_id", text)
}

/// Parses the id of a secret in this field.
pub(super) fn secret_id_in(field: &'static str, text: &str) -> Parsed<SecretId> {
    let remedy = "a secret id is a UUID in lower case, as ListSecrets lists it";
    uuid(field, text, remedy).map(SecretId)
}

/// Parses the id of a token.
pub(super) fn token_id(text: &str) -> Parsed<TokenId> {
    let remedy = "a token id is a UUID in lower case, the `jti` of the token";
    uuid("token_id", text, remedy).map(TokenId)
}

/// Parses an id. Each has one spelling, so that ids can be compared as texts.
fn uuid(field: &'static str, text: &str, remedy: &str) -> Parsed<Uuid> {
    let id = Uuid::try_parse(text).map_err(|_| Refusal::invalid(field, remedy))?;
    if id.to_string() == text {
        return Ok(id);
    }
    Err(Refusal::invalid(field, format!("write the UUID in lower case with hyphens: {id}")))
}

/// Parses the size of a page.
pub(super) fn page_size(size: i32) -> Parsed<u32> {
    match u32::try_from(size) {
        Ok(0) => Ok(PAGE),
        Ok(size) => Ok(size.min(MAX_PAGE)),
        Err(_) => {
            let remedy = "cannot be negative: leave it out for 50, or send up to 500";
            Err(Refusal::invalid("page_size", remedy))
        }
    }
}

/// Parses a secret to be made at `now`. `default` is its lifetime unless the caller names one.
pub(super) fn new_secret(
    secret: Option<v1::NewSecret>,
    default: Option<Duration>,
    now: Timestamp,
) -> Parsed<NewSecret> {
    let secret = secret.unwrap_or_default();
    let label = parse_label(&secret.label).map_err(Refusal::of_field("secret.label"))?;
    let lifetime = match (secret.expires_in, secret.never_expires) {
        (None, false) => default,
        (None, true) => None,
        (Some(_), true) => {
            let remedy = "send either expires_in or never_expires";
            return Err(Refusal::invalid("secret.never_expires", remedy));
        }
        (Some(asked), false) => {
            let seconds = whole_seconds(asked);
            let seconds = seconds.filter(|seconds| (1..=MAX_SECONDS).contains(seconds));
            let remedy = "a secret works for 1 second to 100 years, in whole seconds";
            let invalid = || Refusal::invalid("secret.expires_in", remedy);
            Some(Duration::from_secs(seconds.ok_or_else(invalid)?))
        }
    };
    Ok(NewSecret { label, expires_at: lifetime.map(|lifetime| now.plus(lifetime)) })
}

/// Parses a duration of whole seconds, which is at most a hundred years; `None` if there is none,
/// or none that takes any time.
pub(super) fn whole_duration(
    field: &'static str,
    asked: Option<ProtoDuration>,
) -> Parsed<Option<Duration>> {
    let Some(asked) = asked else { return Ok(None) };
    let seconds = whole_seconds(asked).filter(|seconds| *seconds <= MAX_SECONDS);
    let invalid = || Refusal::invalid(field, "is 0 seconds to 100 years, in whole seconds");
    let seconds = seconds.ok_or_else(invalid)?;
    Ok(Some(Duration::from_secs(seconds)).filter(|duration| !duration.is_zero()))
}

/// The seconds of a duration; `None` if it is negative or has a fraction.
fn whole_seconds(duration: ProtoDuration) -> Option<u64> {
    u64::try_from(duration.seconds).ok().filter(|_| duration.nanos == 0)
}

/// Field and remedy of a refusal; `None` if the value was parsed.
#[cfg(test)]
fn refused<T>(parsed: Parsed<T>) -> Option<(&'static str, String)> {
    match parsed.err()? {
        Refusal::Invalid { field, remedy } => Some((field, remedy)),
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_of_a_secret_and_the_size_of_a_page_are_bounded() {
        let seconds = |seconds, nanos| Some(ProtoDuration { seconds, nanos });
        let now = Timestamp::from_unix_micros(0);
        for (length, nanos) in [(0, 0), (-1, 0), (1, 1), (3_155_760_001, 0)] {
            let secret = v1::NewSecret { expires_in: seconds(length, nanos), ..Default::default() };
            let told = refused(new_secret(Some(secret), None, now)).unwrap();
            assert_eq!(told.0, "secret.expires_in", "{length}");
        }
        let (year, never) = (Some(Duration::from_hours(365 * 24)), |expires_in| {
            let never_expires = true;
            Some(v1::NewSecret { expires_in, never_expires, ..Default::default() })
        });
        assert_eq!(new_secret(never(None), year, now).unwrap().expires_at, None);
        assert_eq!(
            refused(new_secret(never(seconds(1, 0)), year, now)).unwrap().0,
            "secret.never_expires"
        );
        assert_eq!(refused(page_size(-1)).unwrap().0, "page_size");
        assert_eq!(
            [page_size(0).unwrap(), page_size(9).unwrap(), page_size(501).unwrap()],
            [50, 9, 500]
        );
    }

    #[test]
    fn a_uuid_has_one_spelling_and_the_refusal_shows_it() {
        let id = "8b811a6a-3c5e-4a57-9d0e-0123456789ab";
        assert_eq!(secret_id(id).unwrap().0.to_string(), id);
        for other in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")] {
            let (field, remedy) = refused(secret_id(&other)).unwrap();
            assert!(field == "secret_id" && remedy.ends_with(id), "{remedy}");
        }
        for other in ["", "orders", "jts_canary"] {
            let (_, remedy) = refused(secret_id(other)).unwrap();
            assert!(!remedy.contains("canary"), "{remedy}");
        }
    }

    #[test]
    fn a_request_id_is_optional_and_not_nil() {
        let key = |text: &str| request_key(text, b"content");
        assert!(key("").unwrap().is_none());
        let id = "8b811a6a-3c5e-4a57-9d0e-0123456789ab";
        assert_eq!(key(id).unwrap().unwrap().id().to_string(), id);
        for other in ["x", &id.to_uppercase(), "00000000-0000-0000-0000-000000000000"] {
            assert_eq!(refused(key(other)).unwrap().0, "request_id", "{other}");
        }
    }

    #[test]
    fn tokens_of_administrators_are_short_unless_they_are_shorter() {
        let client = |scope: &str, lifetime| v1::Client {
            scopes: vec![scope.to_owned()],
            token_lifetime: lifetime,
            ..Default::default()
        };
        let lifetime = |client| new_client(Some(client)).unwrap().token_lifetime.seconds();
        assert_eq!(lifetime(client("orders", None)), 3_600);
        assert_eq!(lifetime(client("jeton:read", None)), 900);
        let minute = Some(ProtoDuration { seconds: 60, nanos: 0 });
        assert_eq!(lifetime(client("jeton:read", minute)), 60);
    }
}
