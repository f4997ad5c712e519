//! Page tokens: where the next page of a list begins, in a text that only this installation makes.
//!
//! The text names a position and says nothing of what its holder may see, which is checked for each
//! page. It has a tag, so that a position cannot be made up and none is used for another list.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use super::{Malformed, TagKeys, tagged_text::TAG};

/// Beginning of what is tagged. It keeps page tokens apart from secrets and tokens.
const PREFIX: &str = "page";

const BROKEN: Malformed = Malformed(
    "the page token was not made for this request: send the next_page_token of the page before, \
     with all other fields but page_size as they were, or start again without one",
);

/// Makes a page token for the position `after` in a list. `list` identifies the list: the method
/// and everything in its request that selects and orders rows.
#[must_use]
pub fn page_token(keys: &TagKeys, list: &[u8], after: &str) -> String {
    let tag = keys.current().tag(PREFIX, &tagged(list, after));
    URL_SAFE_NO_PAD.encode([&tag[..], after.as_bytes()].concat())
}

/// Reads the position from a page token that was made for the same list.
pub fn position_in(keys: &TagKeys, list: &[u8], page_token: &str) -> Result<String, Malformed> {
    let bytes = URL_SAFE_NO_PAD.decode(page_token).map_err(|_| BROKEN)?;
    let (tag, after) = bytes.split_at_checked(TAG).ok_or(BROKEN)?;
    let after = str::from_utf8(after).map_err(|_| BROKEN)?;
    let is_ours = keys.have_made(PREFIX, &tagged(list, after), tag);
    if is_ours { Ok(after.to_owned()) } else { Err(BROKEN) }
}

/// The digest has a fixed length, so nothing moves from the list into the position.
fn tagged(list: &[u8], after: &str) -> Vec<u8> {
    [&Sha256::digest(list)[..], after.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TagKey;

    fn keys(current: u8, other: Option<u8>) -> TagKeys {
        let key = |byte| TagKey::from_bytes([byte; 32]);
        TagKeys::new(key(current), other.map(key))
    }

    proptest! {
        #[test]
        fn a_position_reads_back_and_no_altered_token_does(
            after: String,
            at: usize,
            by in 1..64_usize,
        ) {
            const DIGITS: &[u8] =
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let token = page_token(&keys(1, None), b"list", &after);
            prop_assert_eq!(position_in(&keys(1, None), b"list", &token), Ok(after));
            let mut bent = token.into_bytes();
            let at = at % bent.len();
            let digit = DIGITS.iter().position(|digit| *digit == bent[at]).unwrap();
            bent[at] = DIGITS[(digit + by) % DIGITS.len()];
            let bent = String::from_utf8(bent).unwrap();
            prop_assert_eq!(position_in(&keys(1, None), b"list", &bent), Err(BROKEN));
        }
    }

    #[test]
    fn a_token_is_for_one_list_of_one_installation() {
        let token = page_token(&keys(1, None), b"list", "orders");
        assert_eq!(position_in(&keys(2, Some(1)), b"list", &token).as_deref(), Ok("orders"));
        assert_eq!(position_in(&keys(2, None), b"list", &token), Err(BROKEN));
        assert_eq!(position_in(&keys(1, None), b"other", &token), Err(BROKEN));
        for text in ["", "x", "!", "AAAAAAAAAAA"] {
            assert_eq!(position_in(&keys(1, None), b"list", text), Err(BROKEN), "{text}");
        }
    }
}
