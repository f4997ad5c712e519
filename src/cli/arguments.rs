//! Arguments that several commands share.

use clap::Args;

use super::{confirm::Confirmation, node::Operator, output};
use crate::config::Database;

/// Form of the output.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Format {
    /// Print JSON, errors as well
    #[arg(long)]
    pub(super) json: bool,
}

/// Arguments of a command that reads the database.
#[derive(Debug, Args)]
pub(super) struct Reading {
    #[command(flatten)]
    pub(super) format: Format,

    #[command(flatten)]
    pub(super) database: Database,
}

/// Arguments of a command that changes the database.
#[derive(Debug, Args)]
pub(super) struct Changing {
    #[command(flatten)]
    pub(super) format: Format,

    #[command(flatten)]
    pub(super) operator: Operator,

    #[command(flatten)]
    pub(super) database: Database,
}

/// Arguments of a change after which something no longer works.
#[derive(Debug, Args)]
pub(super) struct Ending {
    #[command(flatten)]
    pub(super) confirmation: Confirmation,

    #[command(flatten)]
    pub(super) changing: Changing,
}

/// Tells of values with a comma. RFC 6749 allows a comma in a scope, but who writes one usually
/// means several scopes.
pub(super) fn remark_on_commas<T: ToString>(flag: &str, values: &[T]) {
    let values = values.iter().map(ToString::to_string);
    for value in values.filter(|value| value.contains(',')) {
        let several: Vec<_> = value.split(',').map(|one| format!("{flag} {one}")).collect();
        let several = several.join(" ");
        let text = format!("{flag} {value} is one with a comma in it; several are {several}");
        output::remark(&output::printable(&text));
    }
}
