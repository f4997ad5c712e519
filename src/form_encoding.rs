//! Form encoding of one component (RFC 6749, appendix B): a name, a value, or one half of Basic
//! credentials.
//!
//! The decoder is strict where browsers' form parsers are lenient. A lenient one keeps `%zz` as it
//! is and turns bytes that are not UTF-8 into U+FFFD, so many spellings become one client id.

/// Why a component cannot be decoded. Each text says how to fix it and echoes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A percent sign without two hexadecimal digits.
    #[error(
        "a percent sign is not followed by two hexadecimal digits; write %25 for a percent sign"
    )]
    BadPercent,
    /// The decoded bytes are not UTF-8.
    #[error("a parameter is not UTF-8; encode its text as UTF-8 before percent-encoding it")]
    NotUtf8,
    /// The decoded text contains NUL or another control character.
    #[error("a parameter holds a control character, perhaps a line break at its end; leave it out")]
    ControlCharacter,
}

/// Decodes one component, and refuses NUL and every other control character.
pub fn decode(component: &[u8]) -> Result<String, DecodeError> {
    let text = decode_any_text(component)?;
    refuse_control_characters(&text)?;
    Ok(text)
}

/// Decodes one component that may contain any character: unknown parameters are ignored and not
/// validated.
pub fn decode_any_text(component: &[u8]) -> Result<String, DecodeError> {
    if !component.contains(&b'+') && !component.contains(&b'%') {
        return String::from_utf8(component.to_vec()).map_err(|_| DecodeError::NotUtf8);
    }
    let mut decoded = Vec::with_capacity(component.len());
    let mut rest = component.iter().copied();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(rest.next())? << 4 | hexadecimal(rest.next())?,
            literal => literal,
        });
    }
    String::from_utf8(decoded).map_err(|_| DecodeError::NotUtf8)
}

/// Refuses control characters: no grammar in RFC 6749, appendix A, allows one, and Postgres refuses
/// NUL.
pub(crate) fn refuse_control_characters(text: &str) -> Result<(), DecodeError> {
    // Without an early end, so that the compiler looks at many bytes at a time.
    let is_printable = text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
    if !is_printable && text.chars().any(char::is_control) {
        return Err(DecodeError::ControlCharacter);
    }
    Ok(())
}

fn hexadecimal(digit: Option<u8>) -> Result<u8, DecodeError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(DecodeError::BadPercent),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn components_are_decoded_as_appendix_b_says() {
        let table: [(&[u8], &str); 9] = [
            (b"+%25%26%2B%C2%A3%E2%82%AC", " %&+\u{a3}\u{20ac}"), // the vector of appendix B
            (b"", ""),
            (b"a+b%20c%2Bd", "a b c+d"),
            (b"%67rant%5ftype", "grant_type"),
            (b"%c2%a3%C2%A3", "\u{a3}\u{a3}"),
            ("\u{20ac}".as_bytes(), "\u{20ac}"),
            (b"a;b=2", "a;b=2"),
            (b"%2525", "%25"), // decoded once, never twice
            (b"\xef\xbb\xbfa", "\u{feff}a"),
        ];
        for (component, text) in table {
            assert_eq!(decode(component).as_deref(), Ok(text), "{component:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_cause() {
        use DecodeError::{BadPercent, ControlCharacter, NotUtf8};
        let table: [(&[u8], DecodeError); 16] = [
            (b"%", BadPercent),
            (b"%z", BadPercent),
            (b"%zz", BadPercent),
            (b"%2", BadPercent),
            (b"a%4", BadPercent),
            (b"%+1", BadPercent),
            (b"%%41", BadPercent),
            (b"%ff", NotUtf8),
            (b"\xff", NotUtf8),
            (b"%c0%80", NotUtf8),    // an overlong NUL
            (b"%ed%a0%80", NotUtf8), // a surrogate
            (b"%c2", NotUtf8),
            (b"%00", ControlCharacter),
            (b"\0", ControlCharacter),
            (b"a%0d%0A", ControlCharacter),
            (b"%7F", ControlCharacter),
        ];
        for (component, fault) in table {
            assert_eq!(decode(component), Err(fault), "{component:?}");
        }
    }

    /// Percent-encodes all but the unreserved characters, as a careful client does.
    fn encode(text: &str) -> String {
        text.bytes()
            .map(|byte| match byte {
                b' ' => "+".to_owned(),
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    char::from(byte).to_string()
                }
                other => format!("%{other:02X}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn every_component_is_answered(component: Vec<u8>) {
            let decoded = decode(&component);
            prop_assert!(decoded.is_err() || decode_any_text(&component) == decoded);
        }

        #[test]
        fn what_was_encoded_is_read_back(text: String) {
            prop_assert_eq!(decode_any_text(encode(&text).as_bytes()), Ok(text));
        }
    }
}
