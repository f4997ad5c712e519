//! The command line: its arguments, and the configuration file that they name.

use std::env;

use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::{Cli, exit::Exit, output, tagged_text, usage};
use crate::config::{self as settings, File};

/// Parsed command line, the configuration file, and warnings about unknown environment variables.
pub(super) struct Asked {
    pub(super) cli: Cli,
    pub(super) matches: ArgMatches,
    pub(super) file: File,
    pub(super) unknown_variables: Vec<String>,
}

/// Outcome of parsing the arguments.
pub(super) enum Parsed {
    /// A command to run.
    Command(Box<Asked>),
    /// The help or an error, which is printed already, and its exit status.
    Told(Option<Exit>),
}

/// Parses the arguments. If they name a configuration file, they are parsed a second time with the
/// values of the file as defaults.
pub(super) fn parse() -> anyhow::Result<Parsed> {
    let arguments: Vec<_> = env::args_os().collect();
    if usage::asks_for_json(&arguments) {
        output::use_json();
    }
    tagged_text::refuse(&arguments)?;
    let command = settings::without_empty_variables(Cli::command());
    let unknown_variables = settings::unknown_variables(&Cli::command());
    let read = |command: &clap::Command| {
        let matches = command.clone().try_get_matches_from(&arguments);
        let read = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
        read.map_err(|error| usage::tell(settings::name_variable(error, command, &arguments)))
    };
    let (mut cli, mut matches) = match read(&command) {
        Ok(read) => read,
        Err(told) => return Ok(Parsed::Told(told)),
    };
    let file = cli.config.as_deref().map(File::read).transpose()?;
    if let Some(file) = &file {
        (cli, matches) = match read(&file.beneath(command)) {
            Ok(read) => read,
            Err(told) => return Ok(Parsed::Told(told)),
        };
    }
    let file = file.unwrap_or_default();
    Ok(Parsed::Command(Box::new(Asked { cli, matches, file, unknown_variables })))
}
