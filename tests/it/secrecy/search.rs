//! The search for secrets and tokens in texts of any kind.

use std::fmt::Write;

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use crate::support::http::basic;

/// A password that the URL of the database carries. The server of the tests asks for none.
pub(crate) const PASSWORD: &str = "canary-password";

/// The spellings that give a secret or a token away. The part before the randomness is no secret:
/// it is the id, which may be logged. Pieces are enough, since half of a secret is too much to show.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let random = &URL_SAFE_NO_PAD.decode(&text[4..]).unwrap()[16..48];
    let piece = &text[26..46];
    let mut spellings = vec![
        piece.to_owned(),
        text[46..66].to_owned(),
        piece.replace('-', "+").replace('_', "/"),
        hex(piece.as_bytes()),
        format!("{:?}", piece.as_bytes()).trim_matches(['[', ']']).to_owned(),
    ];
    // Within a longer text, such as a Basic pair, base64 falls into step with one of these.
    spellings.extend((26..29).map(|start| STANDARD.encode(&text[start..start + 24])));
    let mut bytes = Vec::new();
    for half in [&random[..16], &random[16..]] {
        spellings.extend([hex(half), latin1(half)]);
        bytes.push(half.to_vec());
    }
    bytes.extend(spellings.into_iter().map(String::into_bytes));
    bytes
}

/// Bytes as a text that can be searched, a character each.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Looks for many secrets and tokens in one pass. Making it costs more than a small text.
pub(crate) struct Search {
    automaton: AhoCorasick,
    /// The secret or token of each pattern.
    of: Vec<String>,
}

impl Search {
    /// A search for these, in any spelling, and for the password of the database.
    pub(crate) fn new(texts: &[String]) -> Self {
        let spelt = texts
            .iter()
            .flat_map(|text| spellings(text).into_iter().map(move |spelling| (spelling, text)))
            .map(|(spelling, text)| (spelling, text.clone()))
            .chain([(PASSWORD.as_bytes().to_vec(), "the password of the database".to_owned())]);
        let (patterns, of): (Vec<_>, Vec<_>) = spelt.unzip();
        Self { automaton: AhoCorasick::new(patterns).unwrap(), of }
    }

    /// The first that is found, with what stands before it.
    pub(crate) fn first_hit(&self, found: &[u8]) -> Option<String> {
        let hit = self.automaton.find(found)?;
        let around = String::from_utf8_lossy(&found[hit.start().saturating_sub(300)..hit.end()]);
        Some(format!("{}, at the end of: {around}", self.of[hit.pattern()]))
    }
}

/// Where the first of these is found, in any spelling.
pub(crate) fn first_hit(texts: &[String], found: &str) -> Option<String> {
    Search::new(texts).first_hit(found.as_bytes())
}

pub(crate) fn assert_free_of(texts: &[String], place: &str, found: &str) {
    if let Some(hit) = first_hit(texts, found) {
        panic!("{place} holds {hit}");
    }
}

#[test]
fn the_search_finds_what_it_looks_for() {
    let text = format!("jts_{}", URL_SAFE_NO_PAD.encode([0xfb; 56]));
    let spoilt = [
        format!("secret={text}"),
        format!("{:?}", text.as_bytes()),
        basic("a", &text),
        basic("ab", &text),
        basic("abc", &text),
        latin1(&[0xfb; 56]),
        "fb".repeat(56),
        STANDARD.encode([0xfb; 56]),
    ];
    for place in spoilt {
        let searched = std::panic::catch_unwind(|| {
            assert_free_of(std::slice::from_ref(&text), "a place", &place);
        });
        assert!(searched.is_err(), "{place}");
    }
    assert_free_of(std::slice::from_ref(&text), "an id", &text[..25]);
}
