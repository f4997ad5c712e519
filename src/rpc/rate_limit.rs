//! The `RateLimit` fields, which tell a client the state of its quota
//! (draft-ietf-httpapi-ratelimit-headers-10): metadata over gRPC, header fields over HTTP.
//!
//! ```text
//! ratelimit-policy: "rate";q=500;w=10, "live";q=1000000;w=3600
//! ratelimit: "rate";r=499;t=1, "live";r=999999;t=3840
//! ```
//!
//! `q` tokens in `w` seconds; `r` tokens now, and `q` again after `t` seconds without a request.

use std::{
    fmt,
    io::{Cursor, Write},
    time::Duration,
};

use tonic::{
    Response, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use crate::{
    domain::{QuotaKind, QuotaState},
    pb::RATE_LIMIT_FIELDS,
};

/// Longest value: two limits with two numbers each.
const LONGEST: usize = 128;

/// A response with the state of the quota in its metadata.
pub(super) fn response<T>(message: T, state: Option<QuotaState>) -> Response<T> {
    let mut response = Response::new(message);
    if let Some(state) = state {
        insert(response.metadata_mut(), &state);
    }
    response
}

/// A refusal with the state of the quota in its metadata.
pub(super) fn with_state(mut refusal: Status, state: &QuotaState) -> Status {
    insert(refusal.metadata_mut(), state);
    refusal
}

/// The response of a node elsewhere, with these fields of its metadata and no others.
pub(super) fn forwarded<T>(response: Response<T>) -> Response<T> {
    let (mut metadata, message, _) = response.into_parts();
    let mut response = Response::new(message);
    for field in RATE_LIMIT_FIELDS {
        if let Some(value) = metadata.remove(field) {
            response.metadata_mut().insert(field, value);
        }
    }
    response
}

fn insert(metadata: &mut MetadataMap, state: &QuotaState) {
    let limits = QuotaKind::ALL.map(|kind| (kind.as_str(), state.of(kind)));
    let policies = limits.map(|(name, of)| Item(name, "q", of.limit, "w", seconds(of.window)));
    let states = limits.map(|(name, of)| Item(name, "r", of.remaining, "t", seconds(of.reset)));
    let [policy, limit] = RATE_LIMIT_FIELDS;
    for (field, items) in [(policy, policies), (limit, states)] {
        if let Some(value) = value(&items) {
            metadata.insert(field, value);
        }
    }
}

/// One item of a structured field (RFC 9651): a string with two parameters.
struct Item(&'static str, &'static str, u32, &'static str, u64);

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, first, number, second, seconds) = self;
        write!(f, "\"{name}\";{first}={number};{second}={seconds}")
    }
}

/// Written on the stack and copied once, because every issued token has two of them.
fn value([rate, live]: &[Item; 2]) -> Option<AsciiMetadataValue> {
    let mut buffer = Cursor::new([0; LONGEST]);
    write!(buffer, "{rate}, {live}").ok()?;
    let length = usize::try_from(buffer.position()).ok()?;
    AsciiMetadataValue::try_from(buffer.get_ref().get(..length)?).ok()
}

/// Whole seconds, rounded up: a client that waits for as long does not come too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::LimitState;

    #[test]
    fn the_fields_are_structured_and_their_seconds_are_rounded_up() {
        let limit = |limit, remaining, window, reset| LimitState {
            limit,
            remaining,
            window: Duration::from_millis(window),
            reset: Duration::from_millis(reset),
        };
        let of = |rate, live| {
            let response = response((), Some(QuotaState { rate, live }));
            RATE_LIMIT_FIELDS
                .map(|field| response.metadata().get(field).unwrap().to_str().unwrap().to_owned())
        };
        let [policy, state] = of(limit(500, 499, 10_000, 1), limit(9, 0, 3_600_000, 3_600_001));
        assert_eq!(policy, r#""rate";q=500;w=10, "live";q=9;w=3600"#);
        assert_eq!(state, r#""rate";r=499;t=1, "live";r=0;t=3601"#);
        // The longest fits.
        let longest = limit(u32::MAX, u32::MAX, u64::MAX, u64::MAX);
        assert!(of(longest, longest)[0].contains(r#""live";q=4294967295"#));
        assert!(response((), None).metadata().is_empty());
    }
}
