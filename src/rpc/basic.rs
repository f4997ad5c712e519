//! `Authorization: Basic` as OAuth defines it (RFC 6749, section 2.3.1; RFC 7617).

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

use crate::form_encoding;

/// Longest header value that is decoded, in bytes: more than any client id and secret, encoded
/// twice.
const MAX_LENGTH: usize = 2_048;

/// The standard alphabet, with or without padding: clients differ.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The two halves of a Basic header, decoded and in clear.
#[derive(PartialEq, Eq)]
pub struct Basic {
    /// Text before the first colon, form-decoded.
    pub client_id: String,
    /// Text after the first colon, form-decoded.
    pub client_secret: Zeroizing<String>,
}

/// Parses the value of an `authorization` header. Returns `None` for another scheme and for a
/// malformed value: the caller is then told only that it did not authenticate.
///
/// The halves are split at the first colon and only then form-decoded, as RFC 6749 requires. There
/// is no second attempt with the undecoded text: it would double the cost of each guess to the
/// server, and secrets made here and ids of unreserved characters read the same either way.
#[must_use]
pub fn parse(header: &str) -> Option<Basic> {
    if header.len() > MAX_LENGTH {
        return None;
    }
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = Zeroizing::new(BASE64.decode(encoded.trim_matches(' ')).ok()?);
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (id, secret) = (&decoded[..colon], &decoded[colon + 1..]);
    Some(Basic {
        client_id: form_encoding::decode(id).ok()?,
        client_secret: Zeroizing::new(form_encoding::decode(secret).ok()?),
    })
}

/// Whether `header` is several headers that were joined on the way, as RFC 9110, section 5.3,
/// allows a proxy to do. Basic credentials contain no comma. Those of other schemes may, but other
/// schemes are refused anyway.
#[must_use]
pub(super) fn is_joined(header: &[u8]) -> bool {
    let scheme = header.first_chunk::<6>();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Basic ")) && header.contains(&b',')
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    fn halves(header: &str) -> Option<(String, String)> {
        parse(header).map(|basic| (basic.client_id, basic.client_secret.to_string()))
    }

    #[test]
    fn what_the_rfcs_and_real_clients_send_is_read() {
        let rows = [
            // RFC 6749, section 2.3.1.
            (
                "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
                "s6BhdRkqt3",
                "7Fjfp0ZBr1KtDRbnfVdmIw",
            ),
            // As the oauth2 crate encodes "id with space+plus" and "s:e%c€".
            (
                "Basic aWQrd2l0aCtzcGFjZSUyQnBsdXM6cyUzQWUlMjVjJUUyJTgyJUFD",
                "id with space+plus",
                "s:e%c€",
            ),
            // Any case of the scheme, several spaces after it, missing padding.
            ("basic   YTpi", "a", "b"),
            ("BASIC YTpiYw==", "a", "bc"),
            ("Basic YTpiYw", "a", "bc"),
            // The second colon belongs to the secret, raw or encoded.
            ("Basic YTpiOmM=", "a", "b:c"),
            ("Basic YSUzQWI6YyUzQWQrZQ==", "a:b", "c:d e"),
            // An e-mail address and a URL, as the form encoding writes them.
            ("Basic b3BzJTQwYS5jb206eA==", "ops@a.com", "x"),
            ("Basic aHR0cHMlM0ElMkYlMkZhLmNvbSUyRiUyNTIwJTJCJTNEOng=", "https://a.com/%20+=", "x"),
        ];
        for (header, id, secret) in rows {
            assert_eq!(halves(header), Some((id.into(), secret.into())), "{header}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let bad_percent = format!("Basic {}", STANDARD.encode("a:%zz"));
        let not_utf8 = format!("Basic {}", STANDARD.encode(b"a:\xff"));
        let nul = format!("Basic {}", STANDARD.encode("a:%00"));
        let long = format!("Basic {}", "YTpi".repeat(600));
        let rows = [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "Basic YWI=",
            "Basic ***",
            "Basic YTpi,Basic YTpi",
            "Basic YTp_",
            &bad_percent,
            &not_utf8,
            &nul,
            &long,
        ];
        for header in rows {
            assert!(parse(header).is_none(), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in any::<String>()) {
            let _ = parse(&header);
        }

        #[test]
        fn unreserved_text_reads_back_without_form_encoding(
            id in "[A-Za-z0-9._~-]{1,64}", secret in "[A-Za-z0-9_-]{1,80}",
        ) {
            let header = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
            prop_assert_eq!(halves(&header), Some((id, secret)));
        }
    }
}
