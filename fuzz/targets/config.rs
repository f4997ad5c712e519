//! The configuration file: what is read is checked and taken, and the password of the database is
//! neither shown nor told by an error.

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
};

use jeton::config::{Config, File};
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

fn load(path: &Path, text: &str) {
    fs::write(path, text).expect("a temporary file can be written");
    let file = match File::read(path) {
        Ok(file) => file,
        Err(error) => {
            let told = format!("{error:?}{error:#}");
            assert!(!told.contains(CANARY), "{told}");
            return;
        }
    };
    let config: Config = file.config().expect("what a file was checked for is taken");
    if config.tls.check().is_ok() {
        assert_eq!(config.tls.tls_cert.is_some(), config.tls.tls_key.is_some());
    }
    let issuer = &config.http.issuer;
    assert!(issuer.as_ref().is_none_or(|issuer| !issuer.ends_with('/')));
    let shown = format!("{config:?}");
    assert!(!shown.contains(CANARY), "{shown}");
}
