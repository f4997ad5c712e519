//! `jeton completions`: prints a script that completes commands and flags in a shell.

use clap::{Args, Command};
use clap_complete::Shell;

use super::output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jeton completions bash > jeton.bash
  jeton completions zsh > _jeton")]
pub(super) struct Completions {
    /// Shell to write the script for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, mut command: Command) {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        output::say(String::from_utf8_lossy(&script).trim_end());
    }
}
