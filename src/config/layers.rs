//! What stands above what: flag, environment, file, default.
//!
//! clap puts flags above the environment above the defaults. What a file says is given to it as
//! defaults, so that the same parsers read it. A library for layers (confique) was left out: its
//! layers do not say where a value came from, and its errors quote lines of the file, which may
//! hold a password.

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

/// A configuration file: the text of each value, by the name of its knob.
#[derive(Debug, Clone, Default)]
pub struct File(BTreeMap<String, String>);

/// A knob, its value as text, and where that came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knob {
    /// The name, as it stands in the file.
    pub name: String,
    /// The value, without the password of a database; empty if there is none.
    pub value: String,
    /// `flag`, `environment`, `file` or `default`.
    pub source: &'static str,
}

impl File {
    /// Reads a file. Each value is checked, whichever command asks.
    ///
    /// # Errors
    /// Say the line, the knob and what it must be, and quote no text of the file: it may be a
    /// password.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("in the configuration file {}", path.display()))
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let read = toml::from_str::<BTreeMap<String, Spanned<Value>>>(text);
        // The library would quote the whole line.
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

    /// Puts the values of the file beneath the flags and variables of a command and all its
    /// subcommands, in the place of the defaults.
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

    /// The file above the defaults, for who has no flags and no environment.
    ///
    /// # Errors
    /// If an argument has neither.
    pub fn config<G: Args>(&self) -> Result<G, clap::Error> {
        let command = self.beneath(command::<G>());
        G::from_arg_matches(&command.try_get_matches_from(["jeton"])?)
    }

    /// What is in force for each knob of a node, and where it came from. The matches are those of a
    /// command that has all knobs, above this file.
    #[must_use]
    pub fn knobs(&self, matches: &ArgMatches) -> Vec<Knob> {
        let knob = |arg: &Arg| {
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
            Knob { name: name.to_owned(), value, source }
        };
        command::<Config>().get_arguments().map(knob).collect()
    }
}

/// The arguments of a group, of which none asks the environment.
fn command<G: Args>() -> Command {
    without_variables(G::augment_args(Command::new("jeton")))
}

/// The value as its flag would take it.
fn checked(command: &Command, name: &str, value: &Value) -> anyhow::Result<String> {
    if !command.get_arguments().any(|arg| arg.get_id() == name) {
        let names = command.get_arguments().map(|arg| arg.get_id().to_string());
        let nearest = nearest(names, name).map(|nearest| format!("; did you mean `{nearest}`?"));
        let name = name.escape_debug();
        bail!("there is no knob `{name}`{}", nearest.unwrap_or_default());
    }
    let (text, shown) = match value {
        Value::String(text) => (text.clone(), String::new()),
        Value::Integer(number) => (number.to_string(), format!(" = {number}")),
        Value::Boolean(truth) => (truth.to_string(), format!(" = {truth}")),
        _ => bail!("{name} must be a number, a text in quotes, true or false"),
    };
    let flag = format!("--{}={text}", name.replace('_', "-"));
    let refused = command.clone().try_get_matches_from(["jeton", &flag]).err();
    ensure!(refused.is_none(), "{name}{shown}: {}", reason(refused.as_ref()));
    Ok(text)
}

/// Why a parser refuses a value, without the value.
fn reason(refused: Option<&clap::Error>) -> String {
    let Some(refused) = refused else { return String::new() };
    if let Some(ContextValue::Strings(possible)) = refused.get(ContextKind::ValidValue) {
        return format!("must be one of {}", possible.join(", "));
    }
    let source = refused.source().map(ToString::to_string);
    source.unwrap_or_else(|| "cannot be used".to_owned())
}

/// Line and column of a byte, counted from 1.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests;
