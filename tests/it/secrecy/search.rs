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

/// What gives a secret or a token away. The part before the randomness is no secret: it is the id,
/// which may be logged. Pieces are enough, since half of a secret is too much to show.
fn spellings(text: &str) -> Vec<String> {
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
    for half in [&random[..16], &random[16..]] {
        spellings.extend([hex(half), latin1(half)]);
    }
    // Within a longer text, such as a Basic pair, base64 falls into step with one of these.
    spellings.extend((26..29).map(|start| STANDARD.encode(&text[start..start + 24])));
    spellings
}

/// Bytes as a text that can be searched, a character each.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Where the first of these is found, in any spelling. Many are looked for in one pass.
pub(crate) fn first_hit(texts: &[String], found: &str) -> Option<String> {
    let spelt: Vec<(String, &String)> = texts
        .iter()
        .flat_map(|text| spellings(text).into_iter().map(move |spelling| (spelling, text)))
        .chain([(PASSWORD.to_owned(), &texts[0])])
        .collect();
    let search = AhoCorasick::new(spelt.iter().map(|(spelling, _)| spelling)).unwrap();
    let hit = search.find(found)?;
    let (spelling, text) = &spelt[hit.pattern()];
    let around: String = found[..hit.start()].chars().rev().take(300).collect();
    let before: String = around.chars().rev().collect();
    Some(format!("{spelling} of {text}, after: {before}"))
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
