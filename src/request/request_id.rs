//! The request id, which identifies a request in the logs of every system that it passes.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::Random;

/// The header that carries the id, on requests and on responses.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length in bytes of an id that is accepted from a caller.
const MAX_LENGTH: usize = 64;

/// Length in bytes of the longest id that is made here: two numbers and a hyphen.
const LONGEST_MADE: usize = 33;

/// Generates ids for requests without one: a random start and a counter. Knowing an id grants
/// nothing, and fresh randomness for each would cost a system call.
pub(super) struct RequestIds {
    /// The random start of each id, in hexadecimal.
    start: String,
    made: AtomicU64,
}

impl RequestIds {
    pub(super) fn new(random: &dyn Random) -> Self {
        let mut start = [0; 8];
        // Without randomness no token can be issued either, and issuing reports the error.
        let _ = random.fill(&mut start);
        let start = format!("{:016x}-", u64::from_be_bytes(start));
        Self { start, made: AtomicU64::new(0) }
    }

    /// The caller's id, if it is at most 64 plain ASCII characters; else a new one.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(&REQUEST_ID).filter(|given| is_plain(given.as_bytes()));
        given.cloned().unwrap_or_else(|| {
            let made = self.made.fetch_add(1, Ordering::Relaxed);
            let mut id = String::with_capacity(LONGEST_MADE);
            id.push_str(&self.start);
            // Text can always be written to a string.
            let _ = write!(id, "{made:x}");
            HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
        })
    }
}

fn is_plain(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::OsRandom;

    #[test]
    fn an_id_is_taken_over_only_if_it_is_plain() {
        let ids = RequestIds::new(&OsRandom);
        let longest = "a".repeat(64);
        for good in ["7", "a.B_c-9", "01a20802-dd11-737f-8462-c8fc9f0e8ede", &longest] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, good.parse().unwrap())]);
            assert_eq!(ids.of(&headers), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "a b", "a\tb", "a\"b", "a;b", "{a}", "caf\u{e9}", &long] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            let made = ids.of(&headers);
            assert!(made != bad.as_bytes() && is_plain(made.as_bytes()), "{bad}: {made:?}");
        }
        let none = HeaderMap::new();
        assert_ne!(ids.of(&none), ids.of(&none));
        assert_ne!(RequestIds::new(&OsRandom).of(&none), RequestIds::new(&OsRandom).of(&none));
    }
}
