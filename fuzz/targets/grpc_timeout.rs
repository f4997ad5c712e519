//! The `grpc-timeout` header, beside its grammar counted in nanoseconds.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jeton::fuzzing::grpc_timeout;

pub(super) fn target(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let headers = HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), value)]);
    let read = grpc_timeout(&headers).map(|duration| duration.as_nanos());
    assert_eq!(read, nanoseconds(data));
}

fn nanoseconds(data: &[u8]) -> Option<u128> {
    const UNITS: [(u8, u128); 6] = [
        (b'H', 3_600_000_000_000),
        (b'M', 60_000_000_000),
        (b'S', 1_000_000_000),
        (b'm', 1_000_000),
        (b'u', 1_000),
        (b'n', 1),
    ];
    let (unit, digits) = data.split_last()?;
    let (_, factor) = UNITS.iter().find(|(name, _)| name == unit)?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0, |count, digit| count * 10 + u128::from(digit - b'0'));
    Some(count * factor)
}
