//! The last step of `./test --secrecy`.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
};

use aho_corasick::AhoCorasick;

use super::search::Search;
use crate::support::everything::{CANARIES, FOLDER};

/// Bytes of a file that are searched at once, and how many of them again with the next piece, since
/// a spelling may lie across two pieces.
const PIECE: usize = 16 << 20;
const OVERLAP: usize = 1 << 10;

/// Secrets and tokens that are looked for in one pass.
const AT_ONCE: usize = 2_000;

/// Reads a file piece by piece.
fn pieces(mut file: File, mut take: impl FnMut(&[u8])) {
    let mut held = Vec::new();
    loop {
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut held).unwrap();
        take(&held);
        if read == 0 {
            return;
        }
        held.drain(..held.len().saturating_sub(OVERLAP));
    }
}

#[test]
#[ignore = "looks through what the other tests left behind: ./test --secrecy"]
fn nothing_that_the_suite_wrote_down_holds_a_secret_or_a_token() {
    let folder = FOLDER.as_ref().expect("./test --secrecy says where");
    let canaries = fs::read_to_string(folder.join(CANARIES)).unwrap();
    let canaries: BTreeSet<_> = canaries.lines().map(str::to_owned).collect();
    let canaries: Vec<_> = canaries.into_iter().collect();
    let passes: Vec<_> = canaries.chunks(AT_ONCE).map(Search::new).collect();
    // Each is in one kind of what was kept: a log, a refusal, a database.
    let signs = AhoCorasick::new(["TRACE", "invalid_client", "$argon2id$"]).unwrap();
    let (mut found, mut searched, mut files) = (Vec::new(), 0, 0);
    let mut kinds = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == CANARIES {
            continue;
        }
        files += 1;
        pieces(File::open(&path).unwrap(), |piece| {
            searched += piece.len();
            for hit in signs.find_iter(piece) {
                kinds.insert(hit.pattern());
            }
            for search in &passes {
                found.extend(search.first_hit(piece).map(|hit| format!("{name}: {hit}")));
            }
        });
    }
    println!(
        "{} secrets and tokens, looked for in {} MiB of {files} files: found {} times",
        canaries.len(),
        searched >> 20,
        found.len()
    );
    assert_eq!(kinds.len(), 3, "logs, refusals and databases were kept: {kinds:?}");
    assert!(canaries.len() > 500, "{}", canaries.len());
    assert!(found.is_empty(), "{}", found.join("\n"));
}
