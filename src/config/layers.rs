//! Precedence of configuration sources: flag, environment, file, default.
//!
//! clap prefers flags to the environment and the environment to defaults. The values of the file
//! are passed to clap as defaults, so that the same parsers check them. A library for layered
//! configuration (confique) was rejected: it does not tell which layer a value came from, and its
//! errors quote lines of the file, which may hold a password.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use anyhow::{Context, anyhow, bail, ensure};
use clap::{
    Arg, ArgMatches, Args, Command,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};
use toml::{Spanned, Value};

use super::{
    Config, DatabaseUrl,
    environment::{nearest, without_variables},
};

/// A configuration file: the text of each value, by the name of its setting.
#[derive(Debug, Clone, Default)]
pub struct File(BTreeMap<String, String>);

/// A setting, its effective value as text, and the source of that value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Name of the setting, as spelled in the file (`hash_queue`).
    pub name: String,
    /// Effective value, with the password of a database URL redacted; empty if there is no value.
    pub value: String,
    /// Source of the value: `flag`, `environment`, `file` or `default`.
    pub source: &'static str,
}

impl File {
    /// Reads a configuration file and checks every value in it, even those that the current command
    /// does not use.
    ///
    /// # Errors
    /// If the file cannot be read or holds an unknown key or a wrong value. Errors name the line,
    /// the setting and the accepted values. They never quote text of the file, which may be a
    /// password.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration file {}", path.display()))
    }

    /// Parses the text of a configuration file, with the same checks and errors as [`File::read`].
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let read = toml::from_str::<BTreeMap<String, Spanned<Value>>>(text);
        // The `Display` of this error would quote the whole line.
        let read = read.map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            anyhow!("{}: {}", place(text, at), error.message())
        })?;
        let command = command::<Config>();
        let mut values = BTreeMap::new();
        for (name, value) in read {
            let at = value.span().start;
            let value = checked(&command, &name, value.get_ref());
            values.insert(name, value.with_context(|| place(text, at))?);
        }
        Ok(Self(values))
    }

    /// Replaces the defaults of a command and all its subcommands with the values of the file.
    /// Flags and environment variables still override them.
    #[must_use]
    pub fn beneath(&self, command: Command) -> Command {
        let value = |arg: &Arg| self.0.get(arg.get_id().as_str()).cloned();
        command
            .mut_args(|arg| match value(&arg) {
                Some(value) => arg.default_value(value),
                None => arg,
            })
            .mut_subcommands(|command| self.beneath(command))
    }

    /// Builds a group of settings from the file and the defaults alone, without flags and
    /// environment.
    ///
    /// # Errors
    /// If a required argument is in neither.
    pub fn config<G: Args>(&self) -> Result<G, clap::Error> {
        let command = self.beneath(command::<G>());
        G::from_arg_matches(&command.try_get_matches_from(["jeton"])?)
    }

    /// Lists the effective value and the source of each setting of a node. `matches` must come from
    /// a command that has all settings, with this file [beneath](Self::beneath) it.
    #[must_use]
    pub fn settings(&self, matches: &ArgMatches) -> Vec<Setting> {
        let setting = |arg: &Arg| {
            let name = arg.get_id().as_str();
            let source = match matches.value_source(name) {
                Some(ValueSource::CommandLine) => "flag",
                Some(ValueSource::EnvVariable) => "environment",
                Some(_) if self.0.contains_key(name) => "file",
                _ => "default",
            };
            let raw = matches.get_raw(name).and_then(|mut values| values.next());
            let value = raw.unwrap_or_default().to_string_lossy().into_owned();
            let value =
                if name == "database_url" { DatabaseUrl::from(value).redacted() } else { value };
            Setting { name: name.to_owned(), value, source }
        };
        command::<Config>().get_arguments().map(setting).collect()
    }
}

/// A command with the arguments of a group, none of which reads the environment.
fn command<G: Args>() -> Command {
    without_variables(G::augment_args(Command::new("jeton")))
}

/// Checks a value of the file with the parser of its flag, and returns it as text.
fn checked(command: &Command, name: &str, value: &Value) -> anyhow::Result<String> {
    if !command.get_arguments().any(|arg| arg.get_id() == name) {
        let names = command.get_arguments().map(|arg| arg.get_id().to_string());
        let nearest = nearest(names, name).map(|nearest| format!("; did you mean `{nearest}`?"));
        let name = name.escape_debug();
        bail!("there is no setting `{name}`{}", nearest.unwrap_or_default());
    }
    let (text, shown) = match value {
        Value::String(text) => (text.clone(), String::new()),
        Value::Integer(number) => (number.to_string(), format!(" = {number}")),
        Value::Boolean(truth) => (truth.to_string(), format!(" = {truth}")),
        _ => bail!("{name} must be a number, a quoted string, true or false"),
    };
    let flag = format!("--{}={text}", name.replace('_', "-"));
    let refused = command.clone().try_get_matches_from(["jeton", &flag]).err();
    ensure!(refused.is_none(), "{name}{shown}: {}", reason(refused.as_ref()));
    Ok(text)
}

/// Why a parser refused a value, without quoting the value.
fn reason(refused: Option<&clap::Error>) -> String {
    let Some(refused) = refused else { return String::new() };
    if let Some(ContextValue::Strings(possible)) = refused.get(ContextKind::ValidValue) {
        return format!("must be one of {}", possible.join(", "));
    }
    let source = refused.source().map(ToString::to_string);
    source.unwrap_or_else(|| "cannot be used".to_owned())
}

/// Line and column of the byte offset `at`, both counted from 1.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests;
