//! The commands: one file each.

mod audit;
mod backup;
mod bench;
mod client;
mod config;
mod deadline;
mod dev;
mod endpoint;
mod migrate;
mod node;
mod output;
mod restore;
mod serve;
mod shim;
mod shutdown;
mod target;
mod token;
mod unreadable;
mod web;

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
#[cfg(all(target_os = "linux", not(debug_assertions)))]
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, setrlimit, umask},
};

use self::deadline::Deadline;
use crate::{
    config::{self as knobs, File, Log, Seconds},
    telemetry::{self, Telemetry},
};

/// Access tokens for machines: the OAuth 2.0 client-credentials grant over gRPC and HTTP
#[derive(Debug, Parser)]
#[command(
    name = "jeton",
    version,
    max_term_width = 100,
    after_help = "\
Example:
  jeton dev        starts a node with an embedded database, issues a first token, shows how"
)]
struct Cli {
    /// Configuration file, TOML; its keys are the long flags of `jeton serve` with _ for -
    #[arg(long, global = true, value_name = "FILE", env = "JETON_CONFIG")]
    config: Option<PathBuf>,

    /// Timeout of a command that waits for a database or a node, in seconds; 0 for none
    /// [default: 30, and none where the work itself takes long: backup, restore]
    #[arg(long, global = true, value_name = "SECONDS", env = "JETON_TIMEOUT")]
    timeout: Option<Seconds<0, 31_536_000>>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(serve::Serve),
    /// Run a node to try things out: embedded database, self-signed TLS, a client, a first token
    Dev(dev::Dev),
    /// Bring the schema of the database up to date
    Migrate(migrate::Migrate),
    /// Save the database in a file, beside running nodes
    Backup(backup::Backup),
    /// Put a backup back; tokens that were issued before are inactive then
    Restore(restore::Restore),
    /// Run the HTTP face alone, before a node elsewhere
    Shim(shim::Shim),
    /// Administer clients and their secrets, straight in the database
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Look at the audit trail, and check that nobody altered it
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Ask a running node over gRPC
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Ask a running node as much as it can, and say what that took
    Bench(bench::Bench),
    /// Show the configuration in force, and where each value came from
    Config(config::ShowConfig),
}

/// Runs the command that the arguments name.
#[must_use]
pub fn main() -> ExitCode {
    forbid_core_dumps();
    // Whatever is made holds secrets or hashes, unless the code says otherwise.
    umask(Mode::from_raw_mode(0o077));
    match parse().and_then(start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// What the arguments, the environment and the file ask for.
struct Asked {
    cli: Cli,
    matches: ArgMatches,
    file: File,
    unknown_variables: Vec<String>,
}

/// Reads the arguments, twice if they name a file: what it says takes the place of the defaults.
fn parse() -> anyhow::Result<Asked> {
    let command = knobs::without_empty_variables(Cli::command());
    let unknown_variables = knobs::unknown_variables(&Cli::command());
    let arguments: Vec<_> = env::args_os().collect();
    let (mut cli, mut matches) = read(&command, &arguments);
    let file = cli.config.as_deref().map(File::read).transpose()?;
    if let Some(file) = &file {
        (cli, matches) = read(&file.beneath(command), &arguments);
    }
    Ok(Asked { cli, matches, file: file.unwrap_or_default(), unknown_variables })
}

fn read(command: &clap::Command, arguments: &[OsString]) -> (Cli, ArgMatches) {
    let matches = command.clone().try_get_matches_from(arguments);
    let read = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    read.unwrap_or_else(|error| knobs::name_variable(error, command, arguments).exit())
}

/// Starts the log, with what is strange about the environment as its first lines.
fn start_log(log: &Log, strange: &[String]) -> anyhow::Result<Telemetry> {
    let telemetry = telemetry::start(log)?;
    for told in strange {
        tracing::warn!("{told}");
    }
    Ok(telemetry)
}

fn start(asked: Asked) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(asked));
    // A command that gave up does not wait for what it gave up.
    runtime.shutdown_background();
    outcome
}

/// A core dump would hold the secrets and tokens that are being handled. The limit alone does not
/// do: where dumps are piped to a program, Linux ignores it. Not being dumpable also keeps other
/// processes of the same user from reading the memory; a developer's build is left open to them,
/// since a debugger is one.
fn forbid_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(all(target_os = "linux", not(debug_assertions)))]
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

async fn run(asked: Asked) -> anyhow::Result<()> {
    let Asked { cli, matches, file, unknown_variables } = asked;
    // What runs for long has a log, which may be one for machines.
    if !matches!(cli.command, Command::Serve(_) | Command::Dev(_) | Command::Shim(_)) {
        for told in &unknown_variables {
            output::remark(&format!("jeton: {told}"));
        }
    }
    let timeout = cli.timeout.map(Seconds::duration);
    let (deadline, whole) = (Deadline::brief(timeout), Deadline::whole(timeout));
    match cli.command {
        Command::Serve(serve) => serve.run(&unknown_variables).await,
        Command::Dev(dev) => dev.run(&unknown_variables).await,
        Command::Migrate(migrate) => migrate.run(deadline).await,
        Command::Backup(backup) => backup.run(deadline, whole).await,
        Command::Restore(restore) => restore.run(deadline, whole).await,
        Command::Shim(shim) => shim.run(&unknown_variables).await,
        Command::Client(client) => client.run(deadline).await,
        Command::Audit(audit) => audit.run(deadline).await,
        Command::Token(token) => token.run(deadline).await,
        Command::Bench(bench) => bench.run().await,
        Command::Config(show) => show.run(innermost(&matches), &file),
    }
}

/// The matches of the command itself, below all the names that lead to it.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    let mut matches = matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent_and_every_command_shows_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        command.build();
        let mut all = vec![command];
        while let Some(command) = all.pop() {
            if command.get_name() == "help" {
                continue;
            }
            all.extend(command.get_subcommands().cloned());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", command.get_name());
        }
    }
}
