//! Confirmation of changes that cannot be undone.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, StdinLock},
};

use anyhow::bail;
use clap::Args;

use super::{exit::Exit, output};

/// Confirmation by a flag or by the user.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long)]
    pub(super) yes: bool,
}

impl Confirmation {
    /// Prints `consequence` and asks whether to go on, unless `--yes` was given.
    ///
    /// # Errors
    /// If the user does not answer `yes`, or if there is no terminal to ask at.
    pub(super) fn ask(self, consequence: &str) -> anyhow::Result<()> {
        self.ask_by(consequence, "yes", at_stdin)
    }

    /// The same, with a name as the answer instead of `yes`, so that nobody confirms by habit.
    ///
    /// # Errors
    /// If the user does not type the name, or if there is no terminal to ask at.
    pub(super) fn ask_for_name(self, consequence: &str, name: &str) -> anyhow::Result<()> {
        self.ask_by(consequence, name, at_stdin)
    }

    /// The same, with this answer, for a command that reads something else from standard input:
    /// asks at the terminal of the process.
    ///
    /// # Errors
    /// As those of [`ask`](Self::ask).
    pub(super) fn ask_at_terminal(self, consequence: &str, wanted: &str) -> anyhow::Result<()> {
        self.ask_by(consequence, wanted, || {
            let is_seen = io::stderr().is_terminal();
            is_seen.then(|| File::open("/dev/tty").ok().map(BufReader::new)).flatten()
        })
    }

    fn ask_by<R: BufRead>(
        self,
        consequence: &str,
        wanted: &str,
        terminal: impl FnOnce() -> Option<R>,
    ) -> anyhow::Result<()> {
        output::remark(consequence);
        if self.yes {
            return Ok(());
        }
        let Some(mut terminal) = terminal() else {
            return Err(Exit::Usage
                .error("nothing was changed: there is no terminal to confirm at, so add --yes"));
        };
        output::remark(&format!("Type {wanted} to go on:"));
        let mut answer = String::new();
        terminal.read_line(&mut answer)?;
        if answer.trim() != wanted {
            bail!("nothing was changed: it was not confirmed");
        }
        Ok(())
    }

    /// Whether a person is there to be asked about one client: a script that names the client has
    /// decided already.
    pub(super) fn is_to_be_asked(self) -> bool {
        !self.yes && io::stdin().is_terminal()
    }
}

/// Standard input, if it is a terminal.
fn at_stdin() -> Option<StdinLock<'static>> {
    let stdin = io::stdin();
    stdin.is_terminal().then(|| stdin.lock())
}
