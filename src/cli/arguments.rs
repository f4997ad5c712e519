//! Arguments that several commands share.

use clap::Args;

use super::{confirm::Confirmation, node::Operator};
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
