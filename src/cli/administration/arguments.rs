//! The flags that say where a command works.

use std::path::PathBuf;

use clap::Args;

use crate::{
    cli::{
        arguments::Format,
        confirm::Confirmation,
        contexts::{Administrator, NodePlace},
        node::Operator,
    },
    config::{Database, Given},
    domain::ClientId,
};

/// Arguments of a command that reads.
#[derive(Debug, Args)]
pub(in crate::cli) struct Reading {
    #[command(flatten)]
    pub(in crate::cli) format: Format,

    #[command(flatten)]
    pub(in crate::cli) at: At,
}

/// Arguments of a command that changes something.
#[derive(Debug, Args)]
pub(in crate::cli) struct Changing {
    #[command(flatten)]
    pub(in crate::cli) format: Format,

    #[command(flatten)]
    pub(in crate::cli) operator: Operator,

    #[command(flatten)]
    pub(in crate::cli) at: At,
}

/// Arguments of a change after which something no longer works.
#[derive(Debug, Args)]
pub(in crate::cli) struct Ending {
    #[command(flatten)]
    pub(in crate::cli) confirmation: Confirmation,

    #[command(flatten)]
    pub(in crate::cli) changing: Changing,
}

/// Where a command works: through a node if one is named, else directly on the database.
#[derive(Debug, Args)]
pub(in crate::cli) struct At {
    #[command(flatten)]
    pub(super) given: Given,

    #[command(flatten)]
    pub(super) node: NodeFlags,

    #[command(flatten)]
    pub(super) database: Database,
}

/// A node, or a context, in place of a database.
#[derive(Debug, Args)]
#[command(next_help_heading = "Node")]
pub(super) struct NodeFlags {
    /// Context to work in: a node or a database with a name, which `jeton context add` gave it
    #[arg(long, value_name = "NAME", env = "JETON_CONTEXT")]
    pub(super) context: Option<String>,

    /// Work through this node: the address of its control listener, https://HOST:PORT or
    /// `unix:` and a path, such as unix:jeton-data/control.sock
    #[arg(id = "control_server", long = "server", value_name = "URL")]
    server: Option<String>,

    /// Certificate authorities to trust, PEM; for a self-signed node `DATA_DIR/tls/cert.pem`
    #[arg(long, value_name = "FILE", env = "JETON_TLS_CA")]
    tls_ca: Option<PathBuf>,

    /// Administrator to act as; on the Unix socket of a node of your own none is needed
    #[arg(long, value_name = "ID", value_parser = ClientId::parse,
          requires = "control_server", requires = "admin_secret_file",
          requires = "token_server")]
    admin_id: Option<ClientId>,

    /// File with the secret of the administrator, as `jeton bootstrap --out` writes it
    #[arg(long, value_name = "FILE", requires = "admin_id")]
    admin_secret_file: Option<PathBuf>,

    /// Node that issues the token of the administrator, by its address for callers, such as
    /// `https://HOST:50051`
    #[arg(long, value_name = "URL", requires = "admin_id")]
    token_server: Option<String>,
}

impl NodeFlags {
    /// The node that the flags name; `None` if they name none.
    pub(super) fn place(&self) -> anyhow::Result<Option<NodePlace>> {
        let Some(url) = self.server.clone() else { return Ok(None) };
        let administrator = Administrator::of(
            self.admin_id.clone(),
            self.admin_secret_file.clone(),
            self.token_server.clone(),
        )?;
        Ok(Some(NodePlace { url, tls_ca: self.tls_ca.clone(), administrator }))
    }
}
