//! `jeton secret …`: what to do with a secret of which only the text is known, directly in the
//! database or through a node.

mod burn;
mod scan;
mod text;

use clap::Subcommand;

use super::deadline::Deadline;

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Example:
  git log --patch | jeton secret scan")]
pub(super) enum SecretCommand {
    /// Declare a secret leaked of which only the text is known, and end its tokens
    #[command(after_help = "\
The owner is found by the id in the text. The text may be the secret alone, or a log or a file that
has it somewhere; each secret in it is declared leaked. Before the last live secret of a client is,
the command asks at the terminal, or needs --yes.

Examples:
  jeton secret burn < leaked.txt
  jeton secret burn --yes ci.log
  jeton secret burn --server unix:jeton-data/control.sock --yes ci.log")]
    Burn(burn::Burn),
    /// Find secrets and tokens in any text, and say whose they are and whether they can be used
    #[command(after_help = "\
The text need not be UTF-8. A tag in each secret and token shows that this installation made it, so
there is no false alarm. None is printed. A node (--server) is asked about one text at a time, which
needs the scope jeton:read. The exit status is 3 if there is one.

Examples:
  git log --patch | jeton secret scan
  jeton secret scan --json ci.log backup.tar")]
    Scan(scan::Scan),
}

impl SecretCommand {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self {
            Self::Burn(burn) => burn.run(deadline).await,
            Self::Scan(scan) => scan.run(deadline).await,
        }
    }
}

/// Says that there are texts which this installation did not make.
fn strange(count: u64) -> String {
    format!(
        "Texts in the form of a secret or a token that were made elsewhere, or with a tag key that \
         is retired: {count}. They mean nothing here."
    )
}
