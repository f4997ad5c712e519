//! The configuration file: what is read is checked, reads back the same, and the password of the
//! database is neither shown nor told by an error.

use std::{cell::RefCell, fs, path::PathBuf};

use jeton::config::Config;
use tempfile::TempDir;

use super::{CANARY, world};

thread_local! {
    static FILE: RefCell<(TempDir, PathBuf)> = RefCell::new(file());
}

fn file() -> (TempDir, PathBuf) {
    let directory = world::directory();
    let path = directory.path().join("jeton.toml");
    (directory, path)
}

pub(super) fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    FILE.with_borrow(|(_, path)| {
        load(path, text);
        // A password beside whatever else stands in the file, also on the line that is wrong.
        let url = format!("database_url = 'postgres://u:{CANARY}@h/d'");
        load(path, &format!("{url}\n{text}"));
        load(path, &format!("{text}\n{url}"));
        load(path, &format!("{url} {text}"));
    });
}

fn load(path: &PathBuf, text: &str) {
    fs::write(path, text).expect("a temporary file can be written");
    let loaded = match Config::load(None, Some(path)) {
        Ok(loaded) => loaded,
        Err(error) => {
            let told = format!("{error:?}{error:#}");
            assert!(!told.contains(CANARY), "{told}");
            return;
        }
    };
    let config = loaded.config;
    assert_eq!(config.tls_cert.is_some(), config.tls_key.is_some());
    assert!(config.issuer.as_ref().is_none_or(|issuer| !issuer.ends_with('/')));
    let shown = format!("{:?}{config:?}", config.shown());
    assert!(!shown.contains(CANARY), "{shown}");

    let url = config.database_url.clone();
    let written = toml::to_string(&config).expect("a configuration is a table");
    assert!(!written.contains(CANARY));
    let mut again: Config = toml::from_str(&written).expect("what was written is read");
    again.database_url = url;
    assert_eq!(again.shown(), config.shown());
}
