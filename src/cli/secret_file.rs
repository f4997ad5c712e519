//! The file that a command writes a new secret to, in place of standard output.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;

use super::exit::Exit;
use crate::{data_dir::Draft, domain::ClientSecret};

/// Where a command leaves a new secret.
#[derive(Debug, Args)]
pub(super) struct Out {
    /// Write the secret to this file, which must not exist yet, instead of printing it; only its
    /// owner can read the file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Out {
    /// Makes room for the secret, if it is to be written to a file.
    ///
    /// # Errors
    /// As [`SecretFile::prepare`].
    pub(super) fn prepare(&self) -> anyhow::Result<Option<SecretFile>> {
        self.out.as_deref().map(SecretFile::prepare).transpose()
    }
}

/// A file for a secret, without its name. It is there before the secret, so that none is made that
/// cannot be kept, and is removed unless it got its name.
#[derive(Debug)]
pub(super) struct SecretFile {
    draft: Draft,
    path: PathBuf,
}

impl SecretFile {
    /// Creates the file with mode 0600, beside the name that it will get.
    ///
    /// # Errors
    /// If there is a file of this name, or none can be created there.
    pub(super) fn prepare(path: &Path) -> anyhow::Result<Self> {
        if path.symlink_metadata().is_ok() {
            let text = format!("{} exists already: name another file with --out", path.display());
            return Err(Exit::Conflict.error(text));
        }
        let draft = Draft::file_beside(path).context("nothing was changed, because of --out")?;
        Ok(Self { draft, path: path.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the secret to disk and gives the file its name.
    ///
    /// # Errors
    /// If it cannot be written, or the name was taken meanwhile.
    pub(super) fn keep(self, secret: &ClientSecret) -> io::Result<()> {
        fs::write(self.draft.path(), format!("{}\n", secret.expose()))?;
        self.draft.become_file(&self.path)
    }
}
