//! `Authorization: Basic`, beside a reading of it that is put together from other parts.

use base64::{Engine, engine::general_purpose::STANDARD};
use form_urlencoded::{byte_serialize, parse};
use jeton::fuzzing::parse_basic;

use super::form_encoding::has_bare_percent;

pub(super) fn target(data: &[u8]) {
    // The bytes as a header, and the bytes as credentials within a header.
    if let Ok(header) = str::from_utf8(data) {
        let _ = parse_basic(header);
        check(header, header.strip_prefix("Basic ").and_then(|rest| STANDARD.decode(rest).ok()));
    }
    check(&format!("Basic {}", STANDARD.encode(data)), Some(data.to_vec()));
    round_trip(data);
}

/// If the header is accepted, its halves are what stands in `credentials`; if those are in order,
/// it is accepted.
fn check(header: &str, credentials: Option<Vec<u8>>) {
    let Some(credentials) = credentials else { return };
    let expected = halves(&credentials).filter(|_| header.len() <= 2_048);
    let read = parse_basic(header);
    let read =
        read.as_ref().map(|basic| (basic.client_id.clone(), basic.client_secret.to_string()));
    assert_eq!(read, expected);
}

fn halves(credentials: &[u8]) -> Option<(String, String)> {
    let colon = credentials.iter().position(|byte| *byte == b':')?;
    Some((half(&credentials[..colon])?, half(&credentials[colon + 1..])?))
}

fn half(encoded: &[u8]) -> Option<String> {
    if has_bare_percent(encoded) {
        return None;
    }
    // `&` and `=` would split the text for a parser of whole forms.
    let escaped = encoded.iter().flat_map(|byte| match byte {
        b'&' => b"%26".to_vec(),
        b'=' => b"%3D".to_vec(),
        other => vec![*other],
    });
    let form = escaped.collect::<Vec<_>>();
    let text = parse(&form).next().map(|(text, _)| text.into_owned()).unwrap_or_default();
    // The lenient one writes U+FFFD for what is not UTF-8, which may also have been sent as such.
    let is_utf8 = text.matches('\u{FFFD}').count() == sent_replacements(&form);
    (is_utf8 && !text.chars().any(char::is_control)).then_some(text)
}

/// How often U+FFFD itself was sent, in whatever spelling.
fn sent_replacements(form: &[u8]) -> usize {
    let mut bytes = Vec::with_capacity(form.len());
    let mut rest = form;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let hex = |byte: u8| char::from(byte).to_digit(16);
        let digits = rest.first_chunk().and_then(|[a, b]| Some(hex(*a)? * 16 + hex(*b)?));
        match digits.filter(|_| *first == b'%') {
            Some(value) => {
                bytes.extend(u8::try_from(value));
                rest = &rest[2..];
            }
            None => bytes.push(*first),
        }
    }
    bytes.windows(3).filter(|window| *window == "\u{FFFD}".as_bytes()).count()
}

/// What a careful client encodes is read back, whatever it is.
fn round_trip(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (id, secret) = text.split_once('\n').unwrap_or((&text, ""));
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let header =
        format!("bAsIc   {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))));
    let is_plain = !id.chars().chain(secret.chars()).any(char::is_control);
    let read = parse_basic(&header);
    assert_eq!(read.is_some(), is_plain && header.len() <= 2_048);
    if let Some(basic) = read {
        assert_eq!((basic.client_id.as_str(), basic.client_secret.as_str()), (id, secret));
    }
}
