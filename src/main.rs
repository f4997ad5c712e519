//! The `jeton` command. `cli.rs` parses the arguments and runs the subcommands.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    jeton::cli::main()
}
