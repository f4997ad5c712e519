//! `jeton token revoke`: as its client, at a running node; or by its id as an operator, directly in
//! the database or through the control listener of a node.

use std::path::PathBuf;

use clap::Args;
use jeton_client::request;
use serde_json::json;
use uuid::Uuid;

use super::{Caller, Node, input, parse_token_id};
use crate::{
    cli::{
        administration::{Revoked, Site},
        arguments::Changing,
        contexts::{self, Administrator, NodePlace},
        deadline::Deadline,
        exit::Exit,
        output,
        server::Server,
    },
    config::Given,
    domain::{ClientId, TokenId},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Revoke {
    /// Id of the token, its `jti`: revoke it as an operator, in the database; or through a node, if
    /// --server names its control listener
    #[arg(long, value_name = "TOKEN_ID", value_parser = parse_token_id,
          conflicts_with_all = ["secret_file", "token_file"])]
    id: Option<Uuid>,

    #[command(flatten)]
    given: Given,

    #[command(flatten)]
    server: Server,

    /// Context to revoke by --id in [default: the variable `JETON_CONTEXT`]
    #[arg(long, value_name = "NAME", requires = "id")]
    context: Option<String>,

    /// Administrator to revoke by --id as
    #[arg(long, value_name = "ID", value_parser = ClientId::parse, requires = "id",
          requires = "admin_secret_file", requires = "token_server")]
    admin_id: Option<ClientId>,

    /// File with the secret of the administrator
    #[arg(long, value_name = "FILE", requires = "admin_id")]
    admin_secret_file: Option<PathBuf>,

    /// Node that issues the token of the administrator, by its address for callers
    #[arg(long, value_name = "URL", requires = "admin_id")]
    token_server: Option<String>,

    /// Client identifier to authenticate with
    #[arg(long, value_name = "ID", env = "JETON_CLIENT_ID", required_unless_present = "id")]
    client_id: Option<String>,

    /// File with the client secret [default: the variable `JETON_CLIENT_SECRET`, else a prompt]
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// File with the token [default: the variable `JETON_TOKEN`, else standard input]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    #[command(flatten)]
    on: Changing,
}

impl Revoke {
    pub(super) async fn run(self, deadline: Deadline) -> anyhow::Result<()> {
        match self.id {
            Some(id) => self.by_operator(id, deadline).await,
            None => self.by_client(deadline).await,
        }
    }

    /// The token is read before the credentials, as at introspection.
    async fn by_client(self, deadline: Deadline) -> anyhow::Result<()> {
        let token = input::token(self.token_file.as_deref(), "--token-file")?;
        let caller = Caller {
            server: self.server,
            links: self.on.database.links,
            client_id: self.client_id.unwrap_or_default(),
            secret_file: self.secret_file,
        };
        let request = request::revoke(token, Some(caller.authentication()?));
        let undecided = "The token may or may not be revoked: run the command again.";
        let call = async |mut node: Node| node.revoke_token(request).await;
        caller.ask(deadline, undecided, call).await?;
        if self.on.format.json {
            output::json(&json!({ "active": false }));
        } else {
            output::say("The token can no longer be used.");
        }
        Ok(())
    }

    async fn by_operator(self, id: Uuid, deadline: Deadline) -> anyhow::Result<()> {
        let Changing { format, operator, database } = self.on;
        let undecided = format!(
            "The token {id} may or may not be revoked, and the change may still take effect: check \
             with `jeton token explain --id {id}`, then run the command again."
        );
        let administrator =
            Administrator::of(self.admin_id, self.admin_secret_file, self.token_server)?;
        if administrator.is_some() && !self.given.server {
            return Err(Exit::Usage
                .error("--admin-id acts through a node: name its control listener with --server"));
        }
        let Server { url, tls_ca } = self.server;
        let node = self.given.server.then_some(NodePlace { url, tls_ca, administrator });
        let variable = contexts::variable();
        let context = self.context.as_deref().or(variable.as_deref());
        let site = Site::named(node, context, self.context.is_some(), database)?;
        let tokens = site.tokens(operator.actor());
        let revoked = site.change(deadline, &undecided, tokens.revoke(TokenId(id))).await?;
        let Revoked { client_id, is_new } = revoked;
        if format.json {
            output::json(&json!({
                "token_id": id,
                "client_id": client_id,
                "revoked": true,
                "already_revoked": !is_new,
            }));
            return Ok(());
        }
        let of = client_id.map(|client| format!(" of client {client}")).unwrap_or_default();
        let already = if is_new { "" } else { " already" };
        output::say(&format!("Token {id}{of} is revoked{already} in {}.", site.place));
        Ok(())
    }
}
