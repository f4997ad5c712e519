//! Vectors of other implementations: `hashlib` of Python and `crypt` of the C library.

use super::*;
use crate::SeededRandom;

const TEXT: &str = "a secret from elsewhere";

const HASHES: [&str; 5] = [
    "$pbkdf2-sha1$i=1000,l=20$c2FsdC1vZi1zaXh0ZWVuIQ$kYUuMlNsolAoruFfLbW3MUFrQIE",
    "$pbkdf2-sha256$i=1000,l=32$c2FsdC1vZi1zaXh0ZWVuIQ$q0y+vG3m+1m5H95UBY8prdBjW77s6hPTw1+r3XDe3R0",
    "$pbkdf2-sha512$i=1000,l=64$c2FsdC1vZi1zaXh0ZWVuIQ$Zd8y4+67jO7xP8OYttwl6lnv/NKN1louiB20Dha9jsL\
     H33Z1UpB0iAn5XHAyxBZ8a6WGvksN+uhEP934LqBPzQ",
    "$2b$04$abcdefghijklmnopqrstuurv9WxoE/rc/7N6hITQQm7Q4paPVzvXG",
    "$2y$05$abcdefghijklmnopqrstuueMa2j.wVejSJ5xRnzXaatqUY3H8qiqO",
];

/// bcrypt of 72 times `x`.
const BCRYPT_OF_72: &str = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";

fn verify(hash: &str, text: &str) -> Result<bool, Malformed> {
    let secret = ForeignSecret::parse(text).unwrap();
    let mut memory = HashMemory::default();
    SecretHash::parse_foreign(hash)?.verify_foreign(&secret, HashCostCap::DEFAULT, &mut memory)
}

#[test]
fn hashes_of_other_systems_verify_their_text_and_no_other() {
    for hash in HASHES {
        assert_eq!(verify(hash, TEXT), Ok(true), "{hash}");
        assert_eq!(verify(hash, "a secret from elsewherf"), Ok(false), "{hash}");
    }
}

#[test]
fn bcrypt_does_not_accept_what_it_does_not_look_at() {
    assert_eq!(verify(BCRYPT_OF_72, &"x".repeat(72)), Ok(true));
    assert_eq!(verify(BCRYPT_OF_72, &"x".repeat(73)), Ok(false));
}

#[test]
fn a_replaced_hash_verifies_the_same_text() {
    let cost = HashCost { memory_kib: 64, passes: 1, lanes: 1 };
    let (secret, mut memory) = (ForeignSecret::parse(TEXT).unwrap(), HashMemory::default());
    let random = SeededRandom::default();
    let hash = SecretHash::compute_foreign(&secret, cost, &random, &mut memory).unwrap();
    assert!(!hash.is_to_be_replaced());
    assert_eq!(verify(hash.as_str(), TEXT), Ok(true));
    assert_eq!(verify(hash.as_str(), "something else"), Ok(false));
    assert!(HASHES.iter().all(|hash| SecretHash::from_stored((*hash).into()).is_to_be_replaced()));
}

#[test]
fn what_costs_too_much_or_is_not_what_it_says_is_refused_with_the_reason() {
    let (salt, key) = ("c2FsdA", "q0y+vG3m+1m5H95UBY8prdBjW77s6hPTw1+r3XDe3R0");
    let pbkdf2 = |name: &str, cost: &str| format!("$pbkdf2-{name}${cost}${salt}${key}");
    for (hash, reason) in [
        (pbkdf2("sha256", "i=2000001,l=32"), "2000000"),
        (pbkdf2("sha256", "i=99999999999,l=32"), "2000000"),
        (pbkdf2("sha256", "i=0,l=32"), "2000000"),
        (pbkdf2("sha1", "i=1000001,l=32"), "each block"),
        (pbkdf2("sha256", "i=1000,l=31"), "malformed"),
        (pbkdf2("sha256", "l=32"), "malformed"),
        (pbkdf2("sha384", "i=1000,l=32"), "SHA3"),
        (pbkdf2("sha224", "i=1000,l=32"), "SHA3"),
        (pbkdf2("md5", "i=1000,l=32"), "sha1, sha256 or sha512"),
        (format!("$pbkdf2-sha256$i=1000,l=8${salt}$q0y+vG3m+1k"), "16 to 64"),
        (format!("$pbkdf2-sha256$i=1000,l=32${salt}$=={key}"), "malformed"),
        (HASHES[3].replace("$04$", "$13$"), "4 to 12"),
        (HASHES[3].replace("$04$", "$03$"), "4 to 12"),
        ("$2b$04$short".to_owned(), "malformed"),
        ("$argon2id$v=19$m=4194304,t=2,p=1$c2FsdHNhbHQ$AAAA".to_owned(), "stored hash"),
        ("plain".to_owned(), "no known kind"),
        (String::new(), "no known kind"),
        (format!("$pbkdf2-sha256$i=1,l=32${}${key}", "A".repeat(300)), "no known kind"),
    ] {
        let refused = verify(&hash, TEXT).unwrap_err().0;
        assert!(refused.contains(reason), "{hash}: {refused}");
    }
}

#[test]
fn a_text_is_bounded_and_is_not_one_of_ours() {
    for text in ["", "a\nb", "a\0b", "jts_something", "jta_something", &"a".repeat(257)] {
        ForeignSecret::parse(text).unwrap_err();
    }
    ForeignSecret::parse(&"a".repeat(256)).unwrap();
    ForeignSecret::parse_imported("fifteen letters").unwrap_err();
    ForeignSecret::parse_imported("sixteen letters!").unwrap();
    let shown = format!("{:?}", ForeignSecret::parse("do not show this").unwrap());
    assert!(!shown.contains("do not"), "{shown}");
}
