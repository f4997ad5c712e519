//! Command-line interface: argument parsing, and one file per command.

mod administration;
mod apply;
mod arguments;
mod audit;
mod backup;
mod bench;
mod bootstrap;
mod client;
mod completions;
mod config;
mod confirm;
mod context;
mod contexts;
mod control;
mod copy;
mod core_dumps;
mod deadline;
mod declared;
mod dev;
mod doctor;
mod duration;
mod exit;
mod export;
mod health;
mod import;
mod input;
mod links;
mod man;
mod migrate;
mod node;
mod output;
mod parsing;
mod restore;
mod secret;
mod secret_file;
mod serve;
mod server;
mod service_manager;
mod shim;
mod shutdown;
mod table;
mod tag_key;
mod tagged_text;
mod target;
mod token;
mod unreadable;
mod usage;

use std::{path::PathBuf, process::ExitCode, sync::LazyLock, time::Duration};

use clap::{ArgMatches, CommandFactory, Parser, Subcommand};
use rustix::{fs::Mode, process::umask};

use self::{
    deadline::Deadline,
    parsing::{Asked, Parsed},
};
use crate::{
    config::{Links, Log},
    telemetry::{self, Telemetry},
};

/// End of the help: the exit status of all commands, and an example.
static LONG_HELP: LazyLock<String> = LazyLock::new(|| {
    let example =
        "jeton dev        starts a node with an embedded database and issues a first token";
    format!("{}\n\nExample:\n  {example}", exit::TABLE)
});

/// Access tokens for machines: the OAuth 2.0 client-credentials grant over gRPC and HTTP
#[derive(Debug, Parser)]
#[command(
    name = "jeton",
    version = version(),
    max_term_width = 100,
    after_help = "\
Example:
  jeton dev        starts a node with an embedded database and issues a first token",
    after_long_help = LONG_HELP.as_str()
)]
struct Cli {
    /// Configuration file (TOML); its keys are the long flags of `jeton serve` with _ instead of -
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "JETON_CONFIG",
        help_heading = "All commands"
    )]
    config: Option<PathBuf>,

    /// Timeout of commands that wait for a database or a node, such as 5m; 0 for none
    /// [default: 30, and none for backup, restore and copy, whose work itself takes long]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "JETON_TIMEOUT",
        value_parser = duration::parse_duration,
        help_heading = "All commands"
    )]
    timeout: Option<Duration>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node
    Serve(serve::Serve),
    /// Run a trial node: embedded database, self-signed TLS, a client and a first token
    Dev(dev::Dev),
    /// Migrate the schema of the database to this version
    Migrate(migrate::Migrate),
    /// Back up the database to a file, while nodes run
    Backup(backup::Backup),
    /// Restore a backup; all tokens issued until then become inactive
    Restore(restore::Restore),
    /// Copy the embedded database to Postgres, with everything that was issued
    Copy(copy::CopyCommand),
    /// Run only the HTTP shim, in front of a node elsewhere
    Shim(shim::Shim),
    /// Create the first administrator, directly in the database
    Bootstrap(bootstrap::Bootstrap),
    /// Look at an installation as a whole, and say what needs an operator
    Doctor(doctor::Doctor),
    /// Manage clients and their secrets, directly in the database or through a node
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Make clients as files declare them, directly in the database or through a node
    Apply(apply::Apply),
    /// Write clients to a file that declares them
    Export(export::Export),
    /// Import clients of another system with their secrets: Hydra, Keycloak or a table
    Import(import::Import),
    /// Give nodes and databases names, and choose the one that commands work in
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Burn a leaked secret, and find secrets and tokens in any text
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    /// Rotate the key of the tags in secrets and tokens, directly in the database
    #[command(subcommand)]
    TagKey(tag_key::TagKeyCommand),
    /// List the audit trail, and verify that it was not altered
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Issue, introspect, revoke, list and explain tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Ask a node of this machine whether it is ready, and exit with 0 only if it is
    Health(health::Health),
    /// Put a running node under load and report throughput, latency and CPU time
    Bench(bench::Bench),
    /// Show the effective value of each setting and its source
    Config(config::ShowConfig),
    /// Print a script that completes commands and flags in a shell
    Completions(completions::Completions),
    /// Write a man page for each command
    Man(man::Man),
}

/// Version of this build, with its commit where the build was told one: a container is built
/// without the history of the source.
fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("JETON_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version.to_owned(),
    }
}

/// Runs the command named by the arguments of the process. An error is printed in one line. Returns
/// the exit status; `Exit` lists them.
#[must_use]
pub fn main() -> ExitCode {
    core_dumps::forbid();
    // Files that commands create may hold secrets or hashes, so only their owner may read them
    // unless the code sets other permissions.
    umask(Mode::from_raw_mode(0o077));
    let outcome = match parsing::parse() {
        Ok(Parsed::Command(asked)) => start(*asked).map(|()| None),
        Ok(Parsed::Told(exit)) => Ok(exit),
        Err(error) => Err(error),
    };
    let outcome = outcome.and_then(|exit| output::finish().map(|()| exit));
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(exit)) => exit.into(),
        Err(error) => output::complain(&error).into(),
    }
}

/// Starts logging. Warnings about the environment are the first lines of the log.
fn start_log(links: Links, log: &Log, strange: &[String]) -> anyhow::Result<Telemetry> {
    #[cfg(feature = "otel")]
    if let Some(url) = &log.otlp_endpoint {
        links::check_collector(links, url)?;
    }
    #[cfg(not(feature = "otel"))]
    let _ = links;
    let telemetry = telemetry::start(log)?;
    for told in strange {
        tracing::warn!("{told}");
    }
    Ok(telemetry)
}

fn start(asked: Asked) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(run(asked));
    // A command that timed out must not wait here for the work that it abandoned.
    runtime.shutdown_background();
    outcome
}

async fn run(asked: Asked) -> anyhow::Result<()> {
    let Asked { cli, matches, file, unknown_variables } = asked;
    // `serve`, `dev` and `shim` write these warnings to their log, which may be JSON.
    if !matches!(cli.command, Command::Serve(_) | Command::Dev(_) | Command::Shim(_)) {
        for told in &unknown_variables {
            output::remark(&format!("jeton: {told}"));
        }
    }
    let (deadline, whole) = (Deadline::brief(cli.timeout), Deadline::whole(cli.timeout));
    match cli.command {
        Command::Serve(serve) => serve.run(&unknown_variables).await,
        Command::Dev(dev) => dev.run(&unknown_variables).await,
        Command::Migrate(migrate) => migrate.run(deadline).await,
        Command::Backup(backup) => backup.run(deadline, whole).await,
        Command::Restore(restore) => restore.run(deadline, whole).await,
        Command::Copy(copy) => Box::pin(copy.run(deadline, whole)).await,
        Command::Shim(shim) => shim.run(&unknown_variables).await,
        Command::Bootstrap(bootstrap) => Box::pin(bootstrap.run(deadline)).await,
        Command::Doctor(doctor) => Box::pin(doctor.run(deadline)).await,
        Command::Client(client) => Box::pin(client.run(deadline)).await,
        Command::Apply(apply) => Box::pin(apply.run(deadline)).await,
        Command::Export(export) => export.run(deadline).await,
        Command::Import(import) => Box::pin(import.run(deadline)).await,
        Command::Context(context) => context.run(deadline).await,
        Command::Secret(secret) => secret.run(deadline).await,
        Command::TagKey(tag_key) => tag_key.run(deadline).await,
        Command::Audit(audit) => audit.run(deadline).await,
        Command::Token(token) => Box::pin(token.run(deadline)).await,
        Command::Health(health) => health.run(cli.timeout).await,
        Command::Bench(bench) => bench.run().await,
        Command::Config(show) => show.run(innermost(&matches), &file),
        Command::Completions(completions) => {
            completions.run(Cli::command());
            Ok(())
        }
        Command::Man(man) => man.run(Cli::command()),
    }
}

/// Argument matches of the innermost subcommand.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    let mut matches = matches;
    while let Some((_, below)) = matches.subcommand() {
        matches = below;
    }
    matches
}

#[cfg(test)]
mod tests;
