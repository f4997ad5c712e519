//! Replays the corpus of the fuzzer, so that what was once found is found again on every machine.
//! `./test --fuzz MINUTES` looks for more; docs/fuzzing.md says how.

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use std::{fs, path::Path};

use targets::TARGETS;

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            // Seen only if the input fails.
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        // A folder under another name would be replayed by nobody.
        assert!(inputs > 0, "{name} has no corpus");
    }
}
