//! Hands the inputs of libFuzzer to one target, which `JETON_FUZZ_TARGET` names when this is built.
//! A program with all targets would carry the counters of all, and libFuzzer looks at every counter
//! after every input: the quick targets would be ten times slower.

#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;
use targets::TARGETS;

/// A name that no target has fails the build here.
const TARGET: fn(&[u8]) = {
    let mut at = 0;
    while !same(TARGETS[at].0, env!("JETON_FUZZ_TARGET")) {
        at += 1;
    }
    TARGETS[at].1
};

/// `==` does not work in a constant.
const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

fuzz_target!(|data: &[u8]| TARGET(data));
