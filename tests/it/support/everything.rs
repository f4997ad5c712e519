//! For `./test --secrecy`: keeps everything that the nodes of the whole suite log, at the finest
//! level, with every refusal and every database, and every secret and token that there was. A last
//! test looks for the one in the other. Otherwise nothing here does anything.

use std::{
    env,
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::{LazyLock, Mutex, Once},
};

use tracing_subscriber::filter::LevelFilter;

/// Where all of it is kept.
pub(crate) static FOLDER: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| env::var_os("JETON_TEST_SECRECY").map(PathBuf::from));

/// Secrets and tokens, one a line.
pub(crate) const CANARIES: &str = "canaries";

/// The part after `jts_` or `jta_`.
const ENCODED: usize = 75;

fn open(name: &str) -> Option<File> {
    let path = FOLDER.as_ref()?.join(name);
    Some(OpenOptions::new().create(true).append(true).open(path).unwrap())
}

/// Keeps what the nodes in this process log.
pub(crate) fn keep_log_of_this_process() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let Some(file) = open("log-of-nodes-in-the-tests") else { return };
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .init();
    });
}

/// Keeps a piece of what was said, in a file of this name.
pub(crate) fn keep(name: &str, piece: &str) {
    static FILES: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILES.lock().unwrap();
    if let Some(mut file) = open(name) {
        writeln!(file, "{piece}").unwrap();
    }
}

/// Notes each secret and token in a text.
pub(crate) fn note_secrets_in(text: &str) {
    if FOLDER.is_none() {
        return;
    }
    for prefix in ["jts_", "jta_"] {
        for (start, _) in text.match_indices(prefix) {
            let end = start + prefix.len() + ENCODED;
            let found = text.get(start..end).filter(|found| {
                found.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
            });
            if let Some(found) = found {
                keep(CANARIES, found);
            }
        }
    }
}
