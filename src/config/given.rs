//! Whether somebody named the place to work in, or it is the default one.

use std::ffi::OsStr;

use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};

use super::database::DATA_DIR;

/// What names a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBy {
    /// A flag.
    Flag,
    /// A variable or the configuration file.
    Surroundings,
}

/// What names a place on the command line and in the environment. It has no flags of its own. It
/// must be the first member of a group, because the members after it take their values away.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// Whether the flag `--context` is given, and not only its variable.
    pub context: bool,
    /// Whether the flag `--server` is given, and not only its variable.
    pub server: bool,
    /// What names a database; `None` if nothing does.
    pub database: Option<GivenBy>,
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // Not every command has each flag, and clap must not be asked for one that is unknown.
        let is_from = |name: &str, sources: &[ValueSource]| {
            matches.ids().any(|id| id.as_str() == name)
                && matches.value_source(name).is_some_and(|source| sources.contains(&source))
        };
        // The values of the configuration file are defaults to clap.
        let is_of_file = |name: &str, default: Option<&str>| {
            let is_known = matches.ids().any(|id| id.as_str() == name);
            let value = is_known.then(|| matches.get_raw(name)?.next()).flatten();
            value != default.map(OsStr::new)
        };
        let names = ["database_url", "data_dir"];
        let database = if names.iter().any(|name| is_from(name, &[ValueSource::CommandLine])) {
            Some(GivenBy::Flag)
        } else if names.iter().any(|name| is_from(name, &[ValueSource::EnvVariable]))
            || is_of_file("database_url", None)
            || is_of_file("data_dir", Some(DATA_DIR))
        {
            Some(GivenBy::Surroundings)
        } else {
            None
        };
        Ok(Self {
            context: is_from("context", &[ValueSource::CommandLine]),
            server: is_from("server", &[ValueSource::CommandLine]),
            database,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}
