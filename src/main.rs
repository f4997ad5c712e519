//! The `jeton` command. `cli.rs` parses the arguments and runs the subcommands.

use std::process::ExitCode;

fn main() -> ExitCode {
    jeton::cli::main()
}
