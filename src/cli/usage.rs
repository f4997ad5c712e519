//! Errors of the command line, and the help: printed by clap, but never with a secret or with
//! characters that a terminal would obey.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
};

use super::{
    exit::Exit,
    output,
    tagged_text::{ADVICE, redacted},
};
use crate::{config, domain::is_unprintable};

/// Prints what clap has to say. Returns the exit status of an error; help and version are none.
pub(super) fn tell(error: &clap::Error) -> Option<Exit> {
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
