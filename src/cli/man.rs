//! `jeton man`: writes a man page for each command.

use std::{fs, path::PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use rustix::{fs::Mode, process::umask};

use super::output;

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jeton man man1")]
pub(super) struct Man {
    /// Directory to write the pages to, such as /usr/local/share/man/man1; it is created if it is
    /// missing
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    pub(super) fn run(self, command: Command) -> anyhow::Result<()> {
        let directory = self.directory.display();
        // Pages are for every user of the machine.
        umask(Mode::from_raw_mode(0o022));
        let write = || {
            fs::create_dir_all(&self.directory)?;
            clap_mangen::generate_to(command, &self.directory)
        };
        write().with_context(|| format!("the man pages cannot be written to {directory}"))?;
        output::say(&format!("The man pages are in {directory}; read `man jeton`."));
        Ok(())
    }
}
