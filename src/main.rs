//! `jeton`: parse, then run. What there is to run stands in `cli.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jeton::cli::main()
}
