//! Environment variables. clap reads the variable of each flag; this module adds the checks that
//! clap lacks: empty variables, unknown variables, and errors that name the variable.

use std::{collections::BTreeSet, env, ffi::OsString};

use clap::{
    Arg, Command,
    error::{ContextKind, ContextValue},
};

/// Prefix of the names of all variables of Jeton.
const PREFIX: &str = "JETON_";

/// Environment variable for a secret. It has no flag, because other users of the machine can see
/// the arguments of a process.
pub struct SecretVariable(&'static str);

/// Secret of the client that `jeton token` authenticates as.
pub const CLIENT_SECRET: SecretVariable = SecretVariable("JETON_CLIENT_SECRET");
/// Token that `jeton token` introspects or revokes.
pub const TOKEN: SecretVariable = SecretVariable("JETON_TOKEN");

impl SecretVariable {
    /// Value of the variable; `None` if it is unset, empty or not UTF-8.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        env::var(self.0).ok().filter(|value| !value.is_empty())
    }
}

/// Whether `NO_COLOR` asks for output without colours: it is set and not empty (no-color.org).
#[must_use]
pub fn without_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Width of the terminal by the variable `COLUMNS`; `None` if it is unset or no width.
#[must_use]
pub fn terminal_columns() -> Option<usize> {
    env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0)
}

/// Detaches empty variables from a command and all its subcommands, so that setting a variable to
/// the empty string is the same as leaving it unset.
#[must_use]
pub fn without_empty_variables(command: Command) -> Command {
    without(command, |arg| {
        let value = arg.get_env().and_then(env::var_os);
        value.is_some_and(|value| value.is_empty())
    })
}

/// Detaches all variables from a command and all its subcommands.
pub(super) fn without_variables(command: Command) -> Command {
    without(command, |_| true)
}

fn without(command: Command, is_unset: impl Fn(&Arg) -> bool + Copy) -> Command {
    command
        .mut_args(|arg| if is_unset(&arg) { arg.env(None) } else { arg })
        .mut_subcommands(|command| without(command, is_unset))
}

/// Rewrites an error of clap to name the environment variable if the refused value came from it and
/// not from a flag.
#[must_use]
pub fn name_variable(
    mut error: clap::Error,
    command: &Command,
    arguments: &[OsString],
) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let flag = shown.split([' ', '=', '[']).next().unwrap_or_default();
    let is_given = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.split('=').next() == Some(flag)
    };
    let mut all = vec![];
    walk(command, &mut |arg| all.push(arg.clone()));
    let arg = all.iter().find(|arg| arg.get_long() == flag.strip_prefix("--"));
    let variable = arg.and_then(Arg::get_env).filter(|name| env::var_os(name).is_some());
    if let Some(variable) = variable
        && !arguments.iter().any(is_given)
    {
        let named = format!("{} (the variable of {shown})", variable.display());
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// Returns a warning for each variable that has the prefix `JETON_` and is unknown: it belongs to
/// no argument of `command`, is not a [`SecretVariable`], and was not set by Kubernetes for a
/// service.
#[must_use]
pub fn unknown_variables(command: &Command) -> Vec<String> {
    let mut known = BTreeSet::from([CLIENT_SECRET.0, TOKEN.0].map(str::to_owned));
    walk(command, &mut |arg| {
        known.extend(arg.get_env().map(|name| name.to_string_lossy().into_owned()));
    });
    let given = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    given
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name))
        .filter(|name| !is_of_kubernetes(name))
        .map(|name| {
            let ours = known.iter().filter_map(|name| name.strip_prefix(PREFIX));
            let nearest = nearest(ours.map(str::to_owned), name.trim_start_matches(PREFIX));
            let nearest = nearest.map(|nearest| format!("; did you mean {PREFIX}{nearest}?"));
            format!(
                "the environment variable {} is unknown and ignored{}",
                name.escape_debug(),
                nearest.unwrap_or_default()
            )
        })
        .collect()
}

/// Whether Kubernetes set this variable. It describes the services of a namespace in the
/// environment of each pod, so a service called `jeton` or `jeton-…` sets variables such as
/// `JETON_SERVICE_HOST` and `JETON_PORT_8080_TCP_ADDR`.
fn is_of_kubernetes(name: &str) -> bool {
    let has = |part| name.contains(part);
    has("_SERVICE_HOST") || has("_SERVICE_PORT") || has("_PORT_") || name.ends_with("_PORT")
}

fn walk(command: &Command, visit: &mut impl FnMut(&Arg)) {
    command.get_arguments().for_each(&mut *visit);
    for command in command.get_subcommands() {
        walk(command, visit);
    }
}

/// The name that is most similar to a wrong one, if any is similar enough. The comparison is the
/// one by which clap suggests flags.
pub(crate) fn nearest(names: impl Iterator<Item = String>, wrong: &str) -> Option<String> {
    let names = names.map(|name| Arg::new(name.clone()).long(name));
    let command = Command::new("names").disable_help_flag(true).args(names);
    let error = command.try_get_matches_from(["names", &format!("--{wrong}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(nearest) => Some(nearest.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_name_like_none_is_left_alone() {
        let names = || ["grpc_addr", "http_addr", "max_streams"].map(str::to_owned).into_iter();
        assert_eq!(nearest(names(), "grpc_adr").unwrap(), "grpc_addr");
        assert_eq!(nearest(names(), "max-stream").unwrap(), "max_streams");
        for wrong in ["zzz", "", "=", "\u{1b}[2J"] {
            assert_eq!(nearest(names(), wrong), None, "{wrong}");
        }
    }

    #[test]
    fn variables_of_kubernetes_are_known() {
        for name in ["JETON_SERVICE_HOST", "JETON_PORT", "JETON_HTTP_PORT_8080_TCP_ADDR"] {
            assert!(is_of_kubernetes(name), "{name}");
        }
        for name in ["JETON_GRPC_ADR", "JETON_IMPORT"] {
            assert!(!is_of_kubernetes(name), "{name}");
        }
    }
}
