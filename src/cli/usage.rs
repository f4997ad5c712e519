//! Errors of the command line, and the help: printed by clap, but never with a secret or with
//! characters that a terminal would obey.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
};

use clap::{
    builder::StyledStr,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    exit::Exit,
    output,
    tagged_text::{ADVICE, redacted},
};
use crate::{
    config,
    domain::{ClientId, is_unprintable},
};

/// Commands that take a client id by a flag, where others take it as their first argument.
const BY_FLAG: [&str; 4] =
    ["jeton client create", "jeton bootstrap", "jeton token issue", "jeton token introspect"];

/// Prints what clap has to say. Returns the exit status of an error; help and version are none.
pub(super) fn tell(mut error: clap::Error) -> Option<Exit> {
    if let Some(id) = id_without_flag(&error) {
        let tip = vec![StyledStr::from(format!("the client id has a flag here: --client-id {id}"))];
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tip));
    }
    let text = error.render();
    if !error.use_stderr() {
        let is_colored = io::stdout().is_terminal() && !config::without_color();
        let text = if is_colored { text.ansi().to_string() } else { text.to_string() };
        output::say(text.trim_end());
        return None;
    }
    let text = text.to_string();
    let clean = clean(&text);
    if clean == text && !output::errors_are_json() {
        // In colour on a terminal.
        let _ = error.print();
    } else {
        let message = clean.strip_prefix("error: ").unwrap_or(&clean);
        let message = message.split("\n\nUsage:").next().unwrap_or_default();
        output::complain_of(Exit::Usage, message.trim_end(), clean.trim_end());
    }
    Some(Exit::Usage)
}

/// The client id that was given as an argument to a command that takes it by a flag.
fn id_without_flag(error: &clap::Error) -> Option<ClientId> {
    let ContextValue::String(argument) = error.get(ContextKind::InvalidArg)? else { return None };
    let usage = error.get(ContextKind::Usage)?.to_string();
    let is_by_flag = BY_FLAG.iter().any(|command| usage.contains(command));
    let is_argument = error.kind() == ErrorKind::UnknownArgument && !argument.starts_with('-');
    if is_by_flag && is_argument { ClientId::parse(argument).ok() } else { None }
}

/// Whether the command line asks for JSON, even if it cannot be parsed.
pub(super) fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--json")
}

fn clean(text: &str) -> String {
    let redacted = redacted(text);
    let advice = if redacted == text { String::new() } else { format!("\n  note: {ADVICE}\n") };
    let is_bad = |c| c != '\n' && is_unprintable(c);
    redacted.chars().map(|c| if is_bad(c) { '\u{fffd}' } else { c }).collect::<String>() + &advice
}
