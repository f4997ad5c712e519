//! Characters that a text for people must not contain, because a terminal obeys them or because
//! they change how the text around them reads.

use super::Malformed;

/// Maximum length of the owner of a client, in bytes.
pub const MAX_OWNER_LENGTH: usize = 128;

/// Maximum length of the note about a client, in bytes.
pub const MAX_NOTE_LENGTH: usize = 1024;

/// Whether a character is a control character, a line separator, a change of the direction of text,
/// or invisible. The two joiners are allowed: some scripts are spelled with them.
#[must_use]
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text with a replacement character in place of each unprintable one.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if is_unprintable(c) { '\u{fffd}' } else { c }).collect()
}

/// Parses the display name of a client.
pub fn parse_name(text: &str) -> Result<String, Malformed> {
    text_for_people(text, super::MAX_NAME_LENGTH).ok_or(Malformed(
        "a name has at most 256 bytes, and no control characters or invisible ones",
    ))
}

/// Parses the label of a secret.
pub fn parse_label(text: &str) -> Result<String, Malformed> {
    text_for_people(text, super::MAX_LABEL_LENGTH).ok_or(Malformed(
        "a label has at most 128 bytes, and no control characters or invisible ones",
    ))
}

/// Parses the owner of a client: a person, a team or an address.
pub fn parse_owner(text: &str) -> Result<String, Malformed> {
    text_for_people(text, MAX_OWNER_LENGTH).ok_or(Malformed(
        "an owner has at most 128 bytes, and no control characters or invisible ones",
    ))
}

/// Parses the note about a client.
pub fn parse_note(text: &str) -> Result<String, Malformed> {
    text_for_people(text, MAX_NOTE_LENGTH).ok_or(Malformed(
        "a note has at most 1024 bytes, and no control characters, line breaks or invisible ones",
    ))
}

fn text_for_people(text: &str, max_bytes: usize) -> Option<String> {
    (text.len() <= max_bytes && !text.contains(is_unprintable)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_refused_and_what_people_write_is_not() {
        for text in ["", "Bestellungen für Größen", "注文", "می\u{200c}خواهم", "a \"b\" <c>"]
        {
            assert_eq!(parse_name(text).as_deref(), Ok(text));
            assert_eq!(parse_label(text).as_deref(), Ok(text));
            assert_eq!(printable(text), text);
        }
        for c in
            ['\0', '\u{1b}', '\n', '\t', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}']
        {
            parse_name(&format!("a{c}b")).unwrap_err();
            parse_label(&format!("a{c}b")).unwrap_err();
            parse_owner(&format!("a{c}b")).unwrap_err();
            parse_note(&format!("a{c}b")).unwrap_err();
            assert_eq!(printable(&format!("a{c}b")), "a\u{fffd}b");
        }
        parse_name(&"a".repeat(257)).unwrap_err();
        parse_label(&"a".repeat(129)).unwrap_err();
        parse_owner(&"a".repeat(129)).unwrap_err();
        parse_note(&"a".repeat(1025)).unwrap_err();
    }
}
