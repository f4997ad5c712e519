//! The stored hash: whatever stands in the row, no more memory is taken than the cap allows, and
//! a hash counts only for the secret that it was made of.

use std::cell::RefCell;

use jeton::domain::{
    ClientSecret, HashCost, HashCostCap, HashMemory, SecretHash, SeededRandom, TagKey,
};

const CAP: HashCost = HashCost { memory_kib: 32, passes: 2, lanes: 2 };

struct Known {
    secret: ClientSecret,
    other: ClientSecret,
    /// The tail of a real hash, so that an input need not guess 256 bits to reach the comparison.
    tail: String,
    memory: HashMemory,
}

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(known());
}

fn known() -> Known {
    let random = SeededRandom::default();
    let key = TagKey::from_bytes([1; 32]);
    let secret = ClientSecret::generate(&random, &key).expect("seeded");
    let other = ClientSecret::generate(&random, &key).expect("seeded");
    let cost = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
    let mut memory = HashMemory::default();
    let hash = SecretHash::compute(&secret, cost, &random, &mut memory).expect("a fair cost");
    let tail = hash.as_str().split('$').skip(4).collect::<Vec<_>>().join("$");
    Known { secret, other, tail, memory }
}

pub(super) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    KNOWN.with_borrow_mut(|known| {
        // `*` stands for salt and output of the real hash.
        let text = text.replacen('*', &known.tail, 1);
        let hash = SecretHash::from_stored(text.clone());
        let verified = hash.verify(&known.secret, HashCostCap(CAP), &mut known.memory);

        let blocks = format!("{:?}", known.memory);
        let blocks: u32 = blocks.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("KiB");
        assert!(blocks <= CAP.memory_kib, "{blocks} KiB for {text}");
        assert_eq!(format!("{hash:?}"), "SecretHash([redacted])");

        if let Ok(matches) = verified {
            let cost = cost(&text).expect("verified with parameters that cannot be read");
            assert!(
                cost.memory_kib <= CAP.memory_kib
                    && cost.passes <= CAP.passes
                    && cost.lanes <= CAP.lanes
            );
            let made_at = HashCost { memory_kib: 8, passes: 1, lanes: 1 };
            let is_real = text.ends_with(&format!("${}", known.tail)) && cost == made_at;
            // PHC strings may carry data of their own, which changes the hash.
            assert!(is_real || !matches, "{text}");
            assert!(!is_real || matches || text.contains("data="), "{text}");
            if matches {
                let other = hash.verify(&known.other, HashCostCap(CAP), &mut known.memory);
                assert_eq!(other, Ok(false));
            }
        }
    });
}

/// The parameters, read without the parser of PHC strings.
fn cost(text: &str) -> Option<HashCost> {
    let mut fields = text.split('$');
    let head = [fields.next()?, fields.next()?, fields.next()?];
    if head != ["", "argon2id", "v=19"] {
        return None;
    }
    // Of a parameter that is given twice the library takes the last.
    let read = |name| {
        let mut parameters = text.split('$').nth(3)?.rsplit(',');
        parameters.find_map(|pair| pair.strip_prefix(name)?.parse().ok())
    };
    // The three have defaults in the library where a row leaves them out.
    Some(HashCost {
        memory_kib: read("m=").unwrap_or(19_456),
        passes: read("t=").unwrap_or(2),
        lanes: read("p=").unwrap_or(1),
    })
}
