//! The percent-decoder, beside the lenient one of the URL standard: where ours accepts, both read
//! the same; where it refuses, there is a cause that can be pointed at.

use form_urlencoded::{byte_serialize, parse};
use jeton::fuzzing::{DecodeError, decode, decode_any_text};

pub(super) fn target(data: &[u8]) {
    let strict = decode(data);
    match decode_any_text(data) {
        Ok(text) => {
            assert!(!has_bare_percent(data));
            // `&` and `=` mean something to the other one, and never reach ours.
            if !data.contains(&b'&') && !data.contains(&b'=') {
                let read = parse(data).next().map(|(name, _)| name.into_owned());
                assert_eq!(read.unwrap_or_default(), text);
            }
            let encoded: String = byte_serialize(text.as_bytes()).collect();
            assert_eq!(decode_any_text(encoded.as_bytes()).as_ref(), Ok(&text));
            let is_plain = !text.chars().any(char::is_control);
            assert_eq!(strict, is_plain.then_some(text).ok_or(DecodeError::ControlCharacter));
        }
        Err(fault) => {
            assert_eq!(fault == DecodeError::BadPercent, has_bare_percent(data));
            assert_eq!(strict, Err(fault));
        }
    }
}

/// Whether a percent sign lacks its two digits. Digits are taken from left to right, so that in
/// `%%41` it is the first sign that lacks them.
pub(super) fn has_bare_percent(mut data: &[u8]) -> bool {
    while let Some(at) = data.iter().position(|byte| *byte == b'%') {
        match data.get(at + 1..at + 3) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => data = &data[at + 3..],
            _ => return true,
        }
    }
    false
}
